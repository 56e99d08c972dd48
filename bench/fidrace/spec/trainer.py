"""[trainer] of a study file: a study whose runs are somebody else's command.

The harness chooses which checkpoints are measured and with which latents, and measures all alike; what a run trains is the
command's.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from fidrace.errors import InputError, nearest
from fidrace.method.registry import Registry, content_hash
from fidrace.spec.command import check_template
from fidrace.spec.task import BudgetConfig, load_task, task_names
from fidrace.spec.user_input import BASELINE, Model

UNITS = {"step": 1.0, "iteration": 1.0, "kimg": 1e3, "nimg": 1.0, "images": 1.0, "epoch": 0.0, "milestone": 0.0}
IMAGES = ("kimg", "nimg", "images")  # units that are steps once the batch is known
RUN_FIELDS = ("out", "seed", "method", "arguments", "budget")
CHECKPOINT_FIELDS = (*RUN_FIELDS, "checkpoint", "step")
SAMPLE_FIELDS = (*CHECKPOINT_FIELDS, "samples", "first", "last", "count")
OTHERS = "*"  # in [trainer.methods], stands for every method that is not listed


class FidCommand(Model):
    """Their own FID: `command` prints it, and `read`, a regular expression with one group, finds it in what it prints."""

    command: str
    read: str

    @pydantic.field_validator("read")
    @classmethod
    def _reads_one_number(cls, pattern: str) -> str:
        if compile_pattern(pattern).groups != 1:
            raise ValueError(f"{pattern!r} has not one group, which is the number")
        return pattern


class TrainerConfig(Model):
    """`command` trains one run in `source`, the folder that it is started in (by default the study file's).

    checkpoints: a regular expression for their paths below {out}; its named group, one of UNITS, is the progress.
    steps_each: optimizer steps of one epoch or milestone. batch: images of one step.
    resume: goes on from {checkpoint}; without it an interrupted run begins anew.
    config: the trainer's own record of what it ran, below {out}, in which only the fields in `varies` may differ between runs.
    evaluate: draws `samples` samples from {checkpoint} into the folder {samples}, or into {samples}.npz or .zip.
    fid: their own command; None for "fidrace", which compares them with `ref` by `features`.
    patience: minutes without output and without a checkpoint after which a run is given up.
    ema: what is evaluated, in words."""

    command: str
    checkpoints: str
    source: Path | None = Field(default=None, exclude=True)
    resume: str = Field(default="", exclude=True)
    config: str = ""
    varies: tuple[str, ...] = Field(default=(), exclude=True)
    steps_each: float | None = Field(default=None, gt=0)
    batch: int | None = Field(default=None, gt=0)
    evaluate: str = ""
    samples: int = Field(default=0, ge=0, le=10**9)
    ref: str = ""
    features: Literal["inception", "thumb8", "digits", "mnist"] | None = None
    fid: FidCommand | None = None
    patience: float = Field(default=60.0, gt=0, exclude=True)
    shell: bool = False
    ema: str = Field(default="", exclude=True)
    methods: dict[str, str] = Field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The name of the group that tells a checkpoint's progress."""
        return next(iter(compile_pattern(self.checkpoints).groupindex))

    @property
    def rounding(self) -> float:
        """By how many steps a checkpoint's name may differ from its steps, because it counts thousands of images."""
        return self.steps_per_unit if self.unit == "kimg" else 0.0

    @property
    def steps_per_unit(self) -> float:
        if self.unit in IMAGES:
            return UNITS[self.unit] / (self.batch or 1)
        return UNITS[self.unit] or self.steps_each or 0.0

    def ref_path(self) -> str:
        """`ref`, a path in it relative to `source`."""
        return self.ref if self.ref in task_names() else str((self.source or Path()) / self.ref)

    @pydantic.field_validator("fid", mode="before")
    @classmethod
    def _is_measured_by_fidrace_or_a_command(cls, value: object) -> object:
        if value == "fidrace":
            return None
        if not isinstance(value, dict):
            raise ValueError(""" "fidrace", or {command = "...", read = "..."}""".strip())
        return value

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> "TrainerConfig":
        names = list(compile_pattern(self.checkpoints).groupindex)
        if len(names) != 1 or names[0] not in UNITS:
            found = ", ".join(names) or "none"
            raise ValueError(
                f"checkpoints: needs one named group, (?P<step>...) or another of {', '.join(UNITS)} (has {found})"
            )
        if self.unit in IMAGES and not self.batch:
            raise ValueError(f"checkpoints: {self.unit} become optimizer steps by `batch`, images of one step")
        if not self.steps_per_unit:
            raise ValueError(f"checkpoints: `steps_each` says how many optimizer steps one {self.unit} is")
        if self.fid is None and not (self.evaluate and self.samples and self.ref):
            raise ValueError("fid = 'fidrace' takes `evaluate`, `samples` and `ref`; or name a command and what it prints")
        if self.evaluate and not self.samples:
            raise ValueError("evaluate takes `samples`, how many it draws")
        return self

    def check(self) -> None:
        """Raise InputError for a template with an unknown field."""
        for name, template, known in (
            ("command", self.command, RUN_FIELDS),
            ("resume", self.resume, CHECKPOINT_FIELDS),
            ("evaluate", self.evaluate, SAMPLE_FIELDS),
            ("fid.command", self.fid.command if self.fid else "", SAMPLE_FIELDS),
            *((f"methods.{method}", f"x {arguments}", ("method", "seed", "out")) for method, arguments in self.methods.items()),
        ):
            if template:
                check_template(f"trainer.{name}", template, known)
        if self.evaluate and self.samples < 2:
            raise InputError(f"trainer.samples = {self.samples}: a distance takes two or more")
        if Path(self.config).is_absolute():
            raise InputError(f"trainer.config {self.config}: a path below {{out}}, such as */config.json")
        if "{out}" not in self.command:
            raise InputError("trainer.command: no {out}, the folder that a run must write into")
        if "{method}" not in self.command and "{arguments}" not in self.command:
            raise InputError("trainer.command: neither {method} nor {arguments}: all methods would be the same run")
        if "{arguments}" in self.command and not self.methods:
            raise InputError("trainer.command: {arguments} takes [trainer.methods], what each method's arguments are")

    def arguments_of(self, method: str) -> str:
        """What {arguments} is for a method; raises InputError for one that [trainer.methods] does not know."""
        if not self.methods:
            return ""
        if method not in self.methods and OTHERS not in self.methods:
            raise InputError(f"method {method!r} is not in [trainer.methods]{nearest(method, self.methods)}")
        return self.methods.get(method, self.methods.get(OTHERS, ""))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None


class TrainerBudget(BudgetConfig):
    """Evaluations at B/E, 2B/E, ..., B: a foreign trainer has no checkpoint before its first step, and none past its budget."""

    def evaluation_steps(self) -> tuple[int, ...]:
        return tuple(round(k * self.iterations / self.evaluations) for k in range(1, self.evaluations + 1))


class TrainerQuality(Model):
    metric: str
    samples: int


class TrainerTask(Model):
    """What all runs of a study with a trainer share, in the place of a packaged task."""

    name: str
    trainer: TrainerConfig
    budget: TrainerBudget
    quality: TrainerQuality
    ref_sha256: str = ""  # of a reference that is a file
    remark: str = ""

    @property
    def has_open_content(self) -> bool:
        return False

    def ema_warning(self) -> str | None:
        return None

    def fixed_part(self) -> dict[str, Any]:
        """The commands and the measurement; not the arguments of single methods, which are hashed with each of them."""
        return self.model_dump(mode="json", exclude={"name": True, "remark": True, "trainer": {"methods"}})

    def fixed_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.fixed_part(), sort_keys=True).encode()).hexdigest()

    def whole_grid(self) -> "TrainerTask":
        return self


def reference_hash(trainer: TrainerConfig) -> str:
    """SHA-256 of a reference that is a file; empty for a task, which has its own, and for a folder."""
    path = Path(trainer.ref_path())
    if trainer.ref in ("", *task_names()) or not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def metric_of(trainer: TrainerConfig) -> str:
    """The name of the distance that a trainer's samples are measured by."""
    if trainer.fid or ((trainer.features or "inception") == "inception" and trainer.ref not in task_names()):
        return "fid"
    if trainer.ref in task_names():
        return load_task(trainer.ref).quality.metric.removesuffix("_inf")
    return f"fd_{trainer.features}"


def identity_of(method: str, trainer: TrainerConfig, registry: Registry) -> tuple[str, bool, str]:
    """Hash, horizon and evidence of a method: of its arguments, and of fidrace's code if the name is one of fidrace's methods,
    which the trainer then is taken to run through fidrace.torch."""
    text, horizon, evidence = trainer.arguments_of(method), False, ""
    try:
        composition = registry.compose(method)
    except InputError:
        pass
    else:
        text, horizon, evidence = text + content_hash(composition), composition.depends_on_horizon(), composition.evidence()
    return hashlib.sha256(f"{method}\n{text}".encode()).hexdigest(), horizon, evidence


def baseline_of(named: str | None, methods: tuple[str, ...]) -> str:
    """The method that factors are measured against: the one named, else `baseline`, else the first."""
    if named is None:
        return BASELINE if BASELINE in methods else methods[0]
    if named not in methods:
        raise InputError(f"baseline = {named!r} is not among the methods{nearest(named, methods)}")
    return named
