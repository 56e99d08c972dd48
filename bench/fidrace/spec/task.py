"""A task: everything that a study holds fixed except the methods, read from a TOML file into validated, hashed data."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from fidrace.errors import InputError, nearest
from fidrace.method.base import NoiseSchedule, Prediction
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.measurement import QualityConfig, SignatureConfig
from fidrace.spec.network import NetworkConfig, keep_what_fits
from fidrace.spec.random_streams import VERSION
from fidrace.spec.user_input import Goal, Model, Place, WindowRatio, later, read_toml, validate

TASKS = Path(__file__).parent / "tasks"


class DataConfig(Model):
    """`sha256` identifies the content; if empty, a study records that of the data it finds. `root` is the data set's folder
    (default: one named after `kind` in the cache). Its images are resized to `size`, their number must be `images`, and
    `heldout` of them are kept from training if the set has no test images."""

    kind: Literal["digits", "mnist", "cifar10", "imagenet", "folder"]
    sha256: str = ""
    sigma_data: float = Field(gt=0)  # the data's standard deviation in [-1, 1]
    flip: bool = False
    size: int | None = later(None, gt=0)
    images: int | None = later(None, gt=0)
    heldout: int = later(0, ge=0)
    root: Place = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """[C, H, W] of the images; raises InputError if the task does not set a size."""
        known = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
        if self.kind in known:
            return known[self.kind]
        if self.size is None:
            raise InputError(f"data.kind = {self.kind!r} needs data.size, the side that images are resized to")
        return 3, self.size, self.size


class DiffusionConfig(Model):
    """`schedule` = flow: flow matching on the linear path, whose network predicts the velocity (`prediction` = flow)."""

    schedule: Literal["linear", "cosine", "flow"]
    timesteps: int = Field(ge=2)
    prediction: Prediction = "eps"
    learned_sigma: bool = later(False)  # the network predicts the reverse variance too, trained by L_hybrid

    @pydantic.model_validator(mode="after")
    def _flow_is_whole(self) -> "DiffusionConfig":
        if (self.schedule == "flow") != (self.prediction == "flow"):
            found = f"schedule = {self.schedule!r} with prediction = {self.prediction!r}"
            raise ValueError(
                f"{found}: a flow's network predicts its velocity, and no other does; say flow in both or in neither"
            )
        if self.learned_sigma and self.schedule == "flow":
            raise ValueError("learned_sigma belongs to a reverse process with noise; a flow has none")
        return self


class OptimizerConfig(Model):
    """AdamW; `warmup` iterations of linearly rising learning rate."""

    batch: int = Field(gt=0, le=2**20)
    lr: float = Field(gt=0)
    warmup: int = Field(default=0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = later(None, gt=0)  # maximum norm of a step's gradient


class EmaConfig(Model):
    decay: float = Field(ge=0, lt=1)


class SamplerConfig(Model):
    """`kind`: euler and heun integrate a flow, in `steps` equal steps of its time; heun evaluates the network twice a step."""

    kind: Literal["ddim", "ancestral", "euler", "heun"] = "ddim"
    steps: int = Field(gt=0)
    batch: int = later(512, gt=0)  # samples at a time

    @property
    def forwards(self) -> int:
        """Forward passes per sample."""
        return self.steps * (2 if self.kind == "heun" else 1)


class BudgetConfig(Model):
    """B iterations, evaluated at 0, B/E, 2B/E, ..., B and once more one grid step past B; `threads` of each run. How often
    the state is saved between evaluations (0: whenever losses are read back) and whether the averaged weights of every
    evaluation are kept for `fidrace analyze` does not change what is measured.

    `stop` = crossed: a run ends at the evaluation that confirms its crossing of the target. `search`: only every
    `search_step`-th evaluation is measured as it is reached, and in between what the crossing needs."""

    iterations: int = Field(gt=0)
    evaluations: int = Field(gt=0)
    threads: int = Field(default=1, gt=0)
    checkpoint_minutes: float = Field(default=10.0, ge=0, exclude=True)
    keep_weights: bool = Field(default=False, exclude=True)
    gpu_hours: float | None = later(
        None, gt=0
    )  # of training, summed over devices; a run ends at this limit or its last iteration
    stop: Literal["crossed"] | None = later(None)
    search: bool = later(False)
    search_step: int = later(2, ge=2)

    @pydantic.model_validator(mode="after")
    def _grid_fits(self) -> "BudgetConfig":
        if self.iterations < self.evaluations:
            raise ValueError(f"{self.evaluations} evaluations do not fit into a budget of {self.iterations} iterations")
        return self

    @pydantic.model_validator(mode="after")
    def _step_belongs_to_search(self) -> "BudgetConfig":
        if not self.search and self.search_step != BudgetConfig.model_fields["search_step"].default:
            raise ValueError(f"search_step = {self.search_step} takes search = true")
        return self

    @property
    def needs_target(self) -> str:
        """The field that needs a target known in advance; empty if there is none."""
        return "stop" if self.stop else "search" if self.search else ""

    def evaluation_steps(self) -> tuple[int, ...]:
        return tuple(round(k * self.iterations / self.evaluations) for k in range(self.evaluations + 2))


class SpeedConfig(Model):
    """Options for speed; all of them change the last digits or the seconds, so they are held fixed too."""

    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    fused: bool = True  # AdamW in one kernel
    foreach: bool = True  # the average of the weights in few kernels
    resident: bool | None = None  # keep the training images on the device; None: if they take less than MAX_RESIDENT bytes
    microbatch: int | None = Field(default=None, gt=0)  # examples per forward pass; their gradients are accumulated
    checkpointing: bool = False  # recompute activations instead of storing them


class TargetConfig(Model):
    """`window`: costs are averaged over the targets from fd / window to fd * window."""

    fd: Goal
    how: str
    window: WindowRatio = 1.0


class DefaultsConfig(Model):
    methods: tuple[str, ...]
    seeds: int = Field(gt=0)
    contrasts: tuple[str, ...] = ()  # METHOD/CONTROL


FLOW_SAMPLERS = ("euler", "heun")
GRID_FIELDS = ("stop", "search", "search_step")  # of the budget: which evaluations are measured, and not what they would be
NOT_FIXED = {"name", "summary", "remark", "target", "defaults"}
EMA_SHARE = 0.2  # of the budget: an average that remembers more still holds the first, bad weights when it is measured


class Task(Model):
    """`remark`: what whoever races the packaged task must know of its verdicts."""

    name: str
    summary: str
    remark: str = ""
    data: DataConfig
    network: NetworkConfig
    diffusion: DiffusionConfig
    optimizer: OptimizerConfig
    ema: EmaConfig
    sampler: SamplerConfig
    quality: QualityConfig
    budget: BudgetConfig
    speed: SpeedConfig = later(SpeedConfig())
    signatures: SignatureConfig = later(SignatureConfig())
    target: TargetConfig
    defaults: DefaultsConfig

    @pydantic.model_validator(mode="after")
    def _sampler_fits(self) -> "Task":
        kind, schedule = self.sampler.kind, self.diffusion.schedule
        if (kind in FLOW_SAMPLERS) != (schedule == "flow"):
            fitting = " or ".join(FLOW_SAMPLERS if schedule == "flow" else ("ddim", "ancestral"))
            raise ValueError(f"schedule = {schedule!r} is not sampled by {kind!r}: sampler.kind is {fitting}")
        if self.sampler.steps > self.diffusion.timesteps:
            raise ValueError(f"sampler.steps = {self.sampler.steps} is more than the {self.diffusion.timesteps} timesteps")
        return self

    @property
    def has_open_content(self) -> bool:
        """True if content that all runs must share is known only by its path so far, not by its hash."""
        return not self.data.sha256 or bool(self.quality.reference and not self.quality.reference_sha256)

    def noise_schedule(self) -> NoiseSchedule:
        """What a method is prepared for."""
        abar = noise_schedule(self.diffusion.schedule, self.diffusion.timesteps)
        return NoiseSchedule(abar, self.diffusion.prediction, self.data.sigma_data, self.budget.iterations, self.ema.decay)

    def sampling_forwards(self, evaluations: int | None = None) -> int:
        """Forward passes, counted in images, for the samples of `evaluations` evaluations (None: all) and `final_samples`."""
        count = len(self.budget.evaluation_steps()) if evaluations is None else evaluations
        return (count * self.quality.samples + (self.quality.final_samples or 0)) * self.sampler.forwards

    def with_settings(self, settings: Mapping[str, float]) -> "Task":
        """The task with fields of its optimizer set otherwise, by dotted names. Raises InputError for other fields."""
        fields = {}
        for key, value in settings.items():
            section, _, field = key.partition(".")
            if section != "optimizer" or field in ("", "batch"):
                raise InputError(f"{key}: a method may set fields of the optimizer other than its batch")
            fields[field] = value
        table = self.model_dump() | {"optimizer": self.optimizer.model_dump() | fields}
        return validate(Task, table, f"task {self.name}") if fields else self

    def ema_warning(self) -> str | None:
        """One line if the average of the weights remembers more than EMA_SHARE of the budget, and the decay that does not."""
        memory, allowed = 1 / (1 - self.ema.decay), EMA_SHARE * self.budget.iterations
        if memory <= allowed * (1 + 1e-9):  # a decay of 0.9 remembers 10.000000000000002 iterations
            return None
        return (
            f"warning: ema.decay = {self.ema.decay} remembers {memory:.0f} iterations, more than a fifth of the budget of "
            f"{self.budget.iterations}: FD lags behind the weights; --set ema.decay={decay_that_remembers(allowed)} is a fifth"
        )

    def microbatch_size(self) -> int:
        """The number of examples whose activations training holds at a time."""
        return min(self.speed.microbatch or self.optimizer.batch, self.optimizer.batch)

    def fixed_part(self) -> dict[str, Any]:
        """What every run of one table must share: all fields but the names, the target and the defaults, and the streams."""
        return self.model_dump(mode="json", exclude=NOT_FIXED) | {"random_streams": VERSION}

    def whole_grid(self) -> "Task":
        """The same task with every evaluation of its grid measured: what a target was set for, and a claim made of."""
        reset = {name: BudgetConfig.model_fields[name].default for name in GRID_FIELDS}
        return self.model_copy(update={"budget": self.budget.model_copy(update=reset)})

    def fixed_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.fixed_part(), sort_keys=True).encode()).hexdigest()


def decay_that_remembers(iterations: float) -> float:
    """The decay of an average that remembers at most `iterations`, 1 - decay rounded up to two figures."""
    if iterations <= 1:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(1 / iterations)) - 1)
    return round(1 - math.ceil(1 / iterations / unit * (1 - 1e-9)) * unit, 12)


def task_names() -> list[str]:
    return sorted(file.stem for file in TASKS.glob("*.toml"))


def read_task(name: str) -> dict[str, Any]:
    """The content of a packaged task; what it does not say is that of its `base`, if it names one."""
    table = read_toml(TASKS / f"{name}.toml")
    if "base" not in table:
        return table
    base = read_task(table.pop("base"))
    keep_what_fits(base, table.get("network", {}))
    return base | {key: base.get(key, {}) | value if isinstance(value, dict) else value for key, value in table.items()}


def load_task(name: str, changes: Mapping[str, Any] = {}) -> Task:
    """The packaged task `name` with the dotted fields in `changes` replaced; the change "none" resets a field to its default.
    Raises InputError naming what is wrong."""
    if name not in task_names():
        raise InputError(f"unknown task {name!r}{nearest(name, task_names())} (`fidrace tasks` lists all)")
    table, sections = read_task(name), sorted(Task.model_fields.keys() - NOT_FIXED)
    keep_what_fits(table, {"kind": changes.get("network.kind")})
    for key, value in changes.items():
        section, _, field = key.partition(".")
        if section not in sections:
            raise InputError(f"--set {key}: no section {section!r} to set{nearest(section, sections)}")
        if not field:
            raise InputError(f"--set {key}: write section.field=value")
        table[section] = {**table.get(section, {}), field: value}
        if value == "none":
            del table[section][field]
    return validate(Task, table, f"task {name}")
