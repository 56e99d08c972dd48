"""Settings: the same task at one learning rate, batch, noise schedule and gradient clipping.

Every setting keeps the task's budget in iterations, so at half the batch half as many images are seen.
"""

from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from fidrace.errors import InputError, nearest
from fidrace.method.noise_schedule import SCHEDULES
from fidrace.spec.task import DiffusionConfig, OptimizerConfig, Task
from fidrace.spec.user_input import validate

HYPERPARAMETERS = ("lr", "batch", "schedule", "clip")
NONE = "none"  # how options and tables write that gradients are not clipped
T = TypeVar("T")


def format_level(level: object) -> object:
    """A hyperparameter's level as tables have it."""
    return NONE if level is None else level


@dataclass(frozen=True)
class Setting:
    """One level of each hyperparameter; `clip` is the largest norm of a step's gradient, None for no limit."""

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
        """The norm as folders and tables write it."""
        return NONE if self.clip is None else repr(self.clip).removesuffix(".0")

    def apply(self, task: Task) -> Task:
        """`task` at this setting, keeping no networks; raises InputError if the task cannot take a value."""
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
    """The levels of each hyperparameter, in the order given; each is compared with the first."""

    lr: tuple[float, ...]
    batch: tuple[int, ...]
    schedule: tuple[str, ...]
    clip: tuple[float | None, ...]

    @classmethod
    def parse(cls, task: Task, lr: str | None, batch: str | None, schedule: str, clip: str) -> "Settings":
        """From the options' lists; by default the task's learning rate and batch, and half of each. Raises InputError for a
        level that is invalid or listed twice."""
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
        settings = cls(
            check_distinct("--lr", rates),
            check_distinct("--batch", [size for size in sizes if size]),  # a batch of 1 has no half
            check_distinct("--schedule", [check_schedule(word) for word in split_list("--schedule", schedule)]),
            check_distinct("--clip", clips),
        )
        for setting in settings.combinations:
            setting.apply(task)
        return settings

    @property
    def combinations(self) -> list[Setting]:
        """Every setting; the last hyperparameter varies fastest."""
        return [Setting(*levels) for levels in product(self.lr, self.batch, self.schedule, self.clip)]


def split_list(option: str, text: str) -> list[str]:
    """The parts of a list; raises InputError if it has none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError(f"{option} {text!r}: nothing is listed")
    return parts


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
    """`word`; raises InputError if no noise schedule has that name."""
    if word not in SCHEDULES:
        raise InputError(f"--schedule {word}: no noise schedule of that name{nearest(word, SCHEDULES)}")
    return word


def check_distinct(option: str, values: list[T]) -> tuple[T, ...]:
    """`values`; raises InputError if two are equal, however they were written."""
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{option}: {format_level(value)} is listed twice")
    return tuple(values)
