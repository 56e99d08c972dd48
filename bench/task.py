"""A task: everything about a race but the racers, as a TOML file read into validated, hashed, plain data."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import pydantic
from pydantic import Field

from methods.base import InputError, Prediction, nearest

TASKS = Path(__file__).parent / "tasks"
M = TypeVar("M", bound="Model")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(Model):
    kind: Literal["digits"]
    sha256: str
    sigma_data: float = Field(gt=0)  # the data's standard deviation in [-1, 1]
    flip: bool = False


class NetworkConfig(Model):
    """The U-Net's fields, in the names of its papers; image size and channels come from the data."""

    kind: Literal["unet"] = "unet"
    channels: int = Field(gt=0)
    multipliers: tuple[pydantic.PositiveInt, ...] = Field(min_length=1)
    res_blocks: int = Field(gt=0)
    attention_resolutions: tuple[int, ...] = ()
    heads: int = Field(default=1, gt=0)
    head_channels: int | None = Field(default=None, gt=0)
    scale_shift: bool = False
    resblock_updown: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    classes: int | None = Field(default=None, gt=0)
    norm_groups: int = Field(default=32, gt=0)

    @pydantic.model_validator(mode="after")
    def _groups_divide(self) -> "NetworkConfig":
        if self.channels % self.norm_groups:
            raise ValueError(f"norm_groups = {self.norm_groups} does not divide {self.channels} channels")
        return self


class DiffusionConfig(Model):
    schedule: Literal["linear", "cosine"]
    timesteps: int = Field(ge=2)
    prediction: Prediction = "eps"


class OptimizerConfig(Model):
    """AdamW; `warmup` iterations of linearly rising learning rate."""

    batch: int = Field(gt=0, le=2**20)
    lr: float = Field(gt=0)
    warmup: int = Field(default=0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)


class EmaConfig(Model):
    decay: float = Field(ge=0, lt=1)


class SamplerConfig(Model):
    kind: Literal["ddim"] = "ddim"
    steps: int = Field(gt=0)


class QualityConfig(Model):
    """`metric` is the distance's name in every table; only Inception features may call it fid."""

    metric: str
    features: Literal["digits"]
    features_sha256: str
    samples: int = Field(ge=2)
    heldout_repeats: int = Field(gt=0)  # timesteps per held-out image in the eps-MSE


class BudgetConfig(Model):
    """B iterations, evaluated at 0, B/E, 2B/E, ..., B and once more one grid step past B; threads of each run."""

    iterations: int = Field(gt=0)
    evaluations: int = Field(gt=0)
    threads: int = Field(default=1, gt=0)

    @pydantic.model_validator(mode="after")
    def _grid_fits(self) -> "BudgetConfig":
        if self.iterations < self.evaluations:
            raise ValueError(f"{self.evaluations} evaluations do not fit into a budget of {self.iterations} iterations")
        return self

    def grid(self) -> tuple[int, ...]:
        return tuple(round(k * self.iterations / self.evaluations) for k in range(self.evaluations + 2))


class TargetConfig(Model):
    fd: float = Field(gt=0)
    how: str


class DefaultsConfig(Model):
    methods: tuple[str, ...]
    seeds: int = Field(gt=0)


class Task(Model):
    name: str
    summary: str
    data: DataConfig
    network: NetworkConfig
    diffusion: DiffusionConfig
    optimizer: OptimizerConfig
    ema: EmaConfig
    sampler: SamplerConfig
    quality: QualityConfig
    budget: BudgetConfig
    target: TargetConfig
    defaults: DefaultsConfig

    @pydantic.model_validator(mode="after")
    def _sampler_fits(self) -> "Task":
        if self.sampler.steps > self.diffusion.timesteps:
            raise ValueError(f"sampler.steps = {self.sampler.steps} is more than the {self.diffusion.timesteps} timesteps")
        return self

    def fixed(self) -> dict[str, Any]:
        """What every run of one table must share: all but names, the target and the defaults."""
        return self.model_dump(mode="json", exclude={"name", "summary", "target", "defaults"})

    def fixed_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.fixed(), sort_keys=True).encode()).hexdigest()


def task_names() -> list[str]:
    return sorted(file.stem for file in TASKS.glob("*.toml"))


def load_task(name: str, changes: Mapping[str, Any] = {}) -> Task:
    """The packaged task `name` with the dotted fields in `changes` replaced; raises InputError naming what is wrong."""
    if name not in task_names():
        raise InputError(f"unknown task {name!r}{nearest(name, task_names())} (`fidrace tasks` lists all)")
    table = read_toml(TASKS / f"{name}.toml")
    for key, value in changes.items():
        section, _, field = key.partition(".")
        if section not in Task.model_fields or section in ("name", "summary", "target", "defaults"):
            raise InputError(f"--set {key}: no section {section!r} to set{nearest(section, Task(**table).fixed())}")
        if not field:
            raise InputError(f"--set {key}: write section.field=value")
        table[section] = {**table[section], field: value}
    return validated(Task, table, f"task {name}")


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from error


def validated(model: type[M], table: dict[str, Any], where: str) -> M:
    """`table` as `model`; raises InputError of one line: the first wrong field, what was wrong, the nearest name."""
    try:
        return model.model_validate(table)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            parent: Any = model
            for step in first["loc"][:-1]:
                parent = get_args(parent)[0] if isinstance(step, int) else parent.model_fields[step].annotation
            raise InputError(f"{where}: unknown field {field!r}{nearest(str(first['loc'][-1]), parent.model_fields)}") from None
        message = first["msg"].removeprefix("Value error, ")
        scalar = isinstance(first["input"], str | int | float) and first["type"] != "missing"
        raise InputError(
            ": ".join(filter(None, (where, field, message))) + (f" (got {first['input']!r})" if scalar else "")
        ) from None
