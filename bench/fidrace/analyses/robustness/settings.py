"""A grid of settings: each cell is the same task at one learning rate, batch, noise schedule and gradient clipping.

Every cell keeps the task's budget in iterations, so at half the batch half as many images are seen.
"""

from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from fidrace.errors import InputError, nearest
from fidrace.method.noise_schedule import SCHEDULES
from fidrace.spec.task import DiffusionConfig, OptimizerConfig, Task, validate

NONE = "none"
T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One setting; `clip` is the norm that a step's gradient may have, None for any."""

    lr: float
    batch: int
    schedule: str
    clip: float | None

    @property
    def home(self) -> str:
        """The folder of its study."""
        return f"lr-{self.lr!r},batch-{self.batch},{self.schedule},clip-{self.clipping}"

    @property
    def clipping(self) -> str:
        return NONE if self.clip is None else repr(self.clip).removesuffix(".0")

    def of(self, task: Task) -> Task:
        """`task` at this setting, its networks not kept; raises InputError where a value is none that the task can take."""
        optimizer = task.optimizer.model_dump() | {"lr": self.lr, "batch": self.batch, "clip": self.clip}
        diffusion = task.diffusion.model_dump() | {"schedule": self.schedule}
        sections = {
            "optimizer": validate(OptimizerConfig, optimizer, "optimizer"),
            "diffusion": validate(DiffusionConfig, diffusion, "diffusion"),
            "budget": task.budget.model_copy(update={"keep_weights": False}),
        }
        return task.model_copy(update=sections)


@dataclass(frozen=True)
class Settings:
    """The values of each setting, in the order in which they were given; the first of each is what others are held against."""

    lr: tuple[float, ...]
    batch: tuple[int, ...]
    schedule: tuple[str, ...]
    clip: tuple[float | None, ...]

    @classmethod
    def parsed(cls, task: Task, lr: str | None, batch: str | None, schedule: str, clip: str) -> "Settings":
        """From lists as options have them; learning rates and batches that are not given are the task's and its half. Raises
        InputError for what is no setting, and for one that is listed twice."""
        own = task.optimizer
        rates = [own.lr, own.lr / 2] if lr is None else [parse_positive("--lr", word) for word in split_list("--lr", lr)]
        sizes = (
            [own.batch, own.batch // 2]
            if batch is None
            else [parse_whole("--batch", word) for word in split_list("--batch", batch)]
        )
        clips = [
            None if word == NONE else parse_positive("--clip", word, f" or {NONE!r}") for word in split_list("--clip", clip)
        ]
        found = cls(
            check_distinct("--lr", rates),
            check_distinct("--batch", [size for size in sizes if size]),  # a batch of 1 has no half
            check_distinct("--schedule", [check_schedule(word) for word in split_list("--schedule", schedule)]),
            check_distinct("--clip", clips),
        )
        for cell in found.cells:
            cell.of(task)
        return found

    @property
    def cells(self) -> list[Setting]:
        return [Setting(*setting) for setting in product(self.lr, self.batch, self.schedule, self.clip)]

    def values(self, name: str) -> tuple[object, ...]:
        """Of the setting `name`, as tables have them."""
        return tuple(NONE if value is None else value for value in getattr(self, name))


def split_list(option: str, text: str) -> list[str]:
    """The parts of a list; raises InputError for one without any."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise InputError(f"{option} {text!r}: nothing is listed")
    return found


def parse_positive(option: str, word: str, otherwise: str = "") -> float:
    """A number above 0."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{option} {word}: write a number above 0{otherwise}")
    return value


def parse_whole(option: str, word: str) -> int:
    """A whole number above 0."""
    if not word.isdecimal() or int(word) < 1:
        raise InputError(f"{option} {word}: write a whole number above 0")
    return int(word)


def check_schedule(word: str) -> str:
    if word not in SCHEDULES:
        raise InputError(f"--schedule {word}: no noise schedule of that name{nearest(word, SCHEDULES)}")
    return word


def check_distinct(option: str, values: list[T]) -> tuple[T, ...]:
    """`values`; raises InputError where one is there twice, however it is written."""
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{option}: {NONE if value is None else value} is listed twice")
    return tuple(values)
