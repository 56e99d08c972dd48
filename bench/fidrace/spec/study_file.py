"""The TOML file of a study, and how a study is found by its name."""

from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from fidrace.errors import InputError, nearest
from fidrace.packaged import packaged_studies
from fidrace.spec.looks import Looks
from fidrace.spec.task import task_names
from fidrace.spec.trainer import TrainerConfig
from fidrace.spec.user_input import Model, Target, WindowRatio, read_toml, validate


class StudyFile(Model):
    """The TOML file of a study of a packaged `task`, or of somebody's [trainer]. `set` changes fields of the task, written as
    in `--set`: optimizer.lr = 1e-4. Factors are measured against `baseline`, if not against the method of that name.
    `evaluations`, the number of them, belongs to a trainer's study."""

    task: str = ""
    trainer: TrainerConfig | None = None
    baseline: str | None = None
    evaluations: int | None = Field(default=None, gt=0)
    methods: tuple[str, ...] | None = Field(default=None, min_length=1)
    seeds: int | tuple[int, ...] | None = None
    budget: int | None = None
    target: Target | None = None
    window: WindowRatio | None = None
    contrasts: tuple[str, ...] = ()  # METHOD/CONTROL
    until_decided: Looks | None = None
    set: dict[str, Any] = Field(default_factory=dict)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _says_what_is_raced(cls, content: dict[str, Any]) -> dict[str, Any]:
        if not content.get("task") and "trainer" not in content:
            raise ValueError("no task: name a packaged one, or describe a [trainer]")
        return content

    @pydantic.model_validator(mode="after")
    def _has_one_kind(self) -> "StudyFile":
        if self.trainer is None:
            if self.evaluations is not None:
                raise ValueError("evaluations: belongs to a study with a [trainer]; a task has its own")
            return self
        for name in ("task", "set", "until_decided"):
            if getattr(self, name):
                raise ValueError(f"{name}: does not go with [trainer], whose runs are its command")
        for name in ("methods", "budget"):
            if getattr(self, name) is None:
                raise ValueError(f"{name}: a study with a [trainer] says it")
        return self


def load_study_file(path: Path) -> StudyFile:
    return validate(StudyFile, read_toml(path), str(path))


def find_study(source: str) -> tuple[StudyFile, str]:
    """The study file and the study's name for `source`: a path that ends in .toml, a packaged study, or a task. Raises
    InputError."""
    if source.endswith(".toml"):
        return load_study_file(Path(source)), Path(source).stem
    studies = packaged_studies()
    if source in studies:
        return load_study_file(studies[source]), source
    if source not in task_names():
        known = nearest(source, [*task_names(), *studies])
        raise InputError(f"no task or study {source!r}{known} (`fidrace tasks` lists all)")
    return StudyFile(task=source), source
