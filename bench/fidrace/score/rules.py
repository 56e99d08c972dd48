"""The rules of a table: the target, the budget, and what a reader must know about each method."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.curves import Curve
from fidrace.score.speedups import NAN
from fidrace.spec.task import load_task, task_names
from fidrace.spec.user_input import Target, check_target
from fidrace.storage.manifest import MethodRecord, read_manifest

FINAL = "baseline-final"


@dataclass(frozen=True)
class Rules:
    """The target and how it was set, the budget in iterations, the seeds declared at the first run (None: unknown), what the
    study records of each method, `contrasts` (pairs of a method and its control), the iterations at which runs are evaluated
    (empty: unknown), and the fixed part that all runs share (empty: unknown). `replaced`: target or contrasts are not those
    of the folder's study."""

    target: Target
    how: str
    budget: float
    declared_seeds: tuple[int, ...] | None = None
    methods: dict[str, MethodRecord] = field(default_factory=dict)
    contrasts: tuple[tuple[str, str], ...] = ()
    evaluations_at: tuple[float, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    replaced: bool = False

    @property
    def post_hoc(self) -> bool:
        return self.how.startswith("post hoc")

    @property
    def aims(self) -> bool:
        """True if there is a target."""
        return self.target == FINAL or not np.isnan(float(self.target))

    def whole(self, curve: Curve) -> bool:
        """True if a finished run has all of its evaluations; otherwise rows were lost."""
        due = {n for n in self.evaluations_at if not curve.timed_out or n <= curve.iteration[-1]}
        return curve.ends_by(self.budget) and due <= {*curve.iteration}


def read_rules(folder: Path, curves: list[Curve], target: Target | None, aimless: bool = False) -> Rules:
    """The rules of the tables in `folder`, from study.json or else from the packaged task of that name. `target` replaces the
    target and makes the scores post hoc. Raises InputError if no target is known, unless `aimless`: then it is NaN."""
    tasks = sorted({curve.task for curve in curves})
    if not tasks:
        raise NothingToConclude(f"{folder}: runs.csv holds no runs")
    if len(tasks) != 1:
        raise InputError(f"{folder}: {len(tasks)} tasks in one table ({', '.join(tasks)}) do not compare")
    declared = (folder / "study.json").exists()
    if declared:
        rules = rules_of_manifest(folder, curves)
    elif tasks[0] in task_names():
        task = load_task(tasks[0])
        rules = Rules(task.target.fd, task.target.how, task.budget.iterations)
    else:
        # The last evaluation only confirms, so the budget is the one before it.
        budget = max((curve.iteration[-2] for curve in curves if len(curve.fd) > 1), default=0.0)
        rules = Rules(NAN, "", float(budget))
    if target is not None:
        check_target(target)
    if target is not None and target != rules.target:
        return replace(rules, target=target, how="post hoc: --target", replaced=declared)
    if not rules.aims and not aimless:
        raise InputError(f"{folder}: task {tasks[0]!r} is not packaged and there is no study.json: give --target")
    return rules


def rules_of_manifest(folder: Path, curves: list[Curve]) -> Rules:
    """The rules in study.json; raises InputError if runs.csv has runs of another task or fixed part."""
    study = read_manifest(folder / "study.json")
    for curve in curves:
        if curve.task != study.task:
            raise InputError(f"{folder}: the task is {curve.task!r} in runs.csv and {study.task!r} in study.json")
        if curve.config_hash not in ("", study.fixed_hash or curve.config_hash):
            raise InputError(
                f"{folder}: {curve.method} seed {curve.seed} has another fixed part (config_hash) than study.json: it does "
                "not belong in this table (`fidrace merge` names the field that differs)"
            )
    return Rules(
        study.target,
        study.target_how,
        study.budget,
        tuple(study.declared_seeds),
        study.methods,
        tuple((method, control) for method, control in study.contrasts),
        tuple(study.evaluations_at),
        study.fixed,
    )
