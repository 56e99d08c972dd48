"""The rules of a table: the target, the budget, and what a reader must know about each method."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.columns import ITERATIONS
from fidrace.score.curves import Curve
from fidrace.score.provenance import Guarantee, read_provenance
from fidrace.score.reading import Tables
from fidrace.score.speedups import NAN
from fidrace.spec.looks import Design
from fidrace.spec.task import load_task, task_names
from fidrace.spec.user_input import (
    BASELINE,
    Goal,
    Model,
    Target,
    WindowRatio,
    check_target,
    check_window,
    read_toml,
    validate,
    window_edges,
)
from fidrace.storage.manifest import MethodRecord, read_manifest

FINAL = "baseline-final"
NO_FINAL = "runs stopped when their crossing was confirmed, so their final FD is unknown"


@dataclass(frozen=True)
class Rules:
    """The target and how it was set, the budget in the table's unit (inf: each run's own end), the seeds declared at the first
    run (None: unknown), what the study records of each method, `contrasts` (pairs of a method and its control), the
    iterations at which runs are evaluated (empty: unknown), and the fixed part that all runs share (empty: unknown).
    `replaced`: what is asked is not what the folder declares. `paired`: equal seeds share their chances. `ends_freely`: a run
    may end anywhere. `window`: costs are averaged over the targets from target / window to target * window. `until_decided`:
    the looks of a study that is raced until it is decided. `edges`: the highest and the lowest target that the folder declares
    (None: unknown). `guarantees`: what the runs of another trainer have in common, and who holds it."""

    target: Target
    how: str
    budget: float
    declared_seeds: tuple[int, ...] | None = None
    methods: dict[str, MethodRecord] = field(default_factory=dict)
    contrasts: tuple[tuple[str, str], ...] = ()
    evaluations_at: tuple[float, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    replaced: bool = False
    baseline: str = BASELINE
    unit: str = ITERATIONS
    paired: bool = True
    ends_freely: bool = False
    window: float = 1.0
    until_decided: Design | None = None
    edges: tuple[float, float] | None = None
    guarantees: tuple[Guarantee, ...] = ()

    @property
    def stopped(self) -> bool:
        """True if runs end where their crossing is confirmed."""
        return bool(self.fixed.get("budget", {}).get("stop"))

    @property
    def searched(self) -> bool:
        """True if of the grid only those evaluations are measured that the declared target needs."""
        return bool(self.fixed.get("budget", {}).get("search"))

    @property
    def is_searched_for(self) -> bool:
        """True if the search has found what the whole grid would say at this target and in the window around it."""
        if not self.searched or self.edges is None or self.target == FINAL:
            return False
        high, low = window_edges(float(self.target), self.window)
        return self.edges[1] <= low and high <= self.edges[0]

    @property
    def post_hoc(self) -> bool:
        return self.how.startswith("post hoc")

    @property
    def aims(self) -> bool:
        """True if there is a target."""
        return self.target == FINAL or not np.isnan(float(self.target))

    def whole(self, curve: Curve) -> bool:
        """True if a finished run has all of its evaluations; otherwise rows were lost."""
        if self.ends_freely:
            return True
        if curve.stopped and self.edges and curve.descent.index(self.edges[1]) is None:
            return False
        if self.searched:
            return curve.ends_by(self.budget) and all(self.is_bracketed(curve, edge) for edge in self.edges or ())
        due = {n for n in self.evaluations_at if not curve.ended_early or n <= curve.iteration[-1]}
        return curve.ends_by(self.budget) and due <= {*curve.iteration}

    def is_bracketed(self, curve: Curve, edge: float) -> bool:
        """True if the evaluations around the curve's crossing of `edge` are neighbours on the grid, or if it does not cross."""
        k, grid = curve.descent.index(edge), [*self.evaluations_at]
        around = [] if k is None else [*curve.iteration[k : k + 3]]
        return k is None or any(grid[place : place + 3] == around for place in range(len(grid)))


@dataclass(frozen=True)
class Question:
    """What a reader asks of a table, where that is not what the folder declares (None): the target, the baseline's name, what
    training is counted in, the budget, whether equal seeds share their chances, and the window around the target."""

    target: Target | None = None
    baseline: str | None = None
    unit: str | None = None
    budget: float | None = None
    paired: bool | None = None
    window: float | None = None


class Declaration(Model):
    """study.toml beside tables that fidrace did not make: what a `Question` says, set before the comparison was seen."""

    target: Goal | None = None
    baseline: str | None = None
    unit: str | None = None
    budget: float | None = Field(default=None, gt=0)
    paired: bool | None = None
    window: WindowRatio | None = None
    contrasts: tuple[tuple[str, str], ...] = ()


DECLARATION = "study.toml"


def read_declaration(folder: Path) -> Declaration:
    """The folder's study.toml; empty if there is none, or if study.json, which fidrace writes, declares the study."""
    path = folder / DECLARATION
    if (folder / "study.json").exists() or not path.exists():
        return Declaration()
    return validate(Declaration, read_toml(path), str(path))


def read_rules(folder: Path, tables: Tables, asked: Question = Question(), aimless: bool = False) -> Rules:
    """The rules of the tables in `folder`: those of study.json, or of study.toml, or of the packaged task of that name, with
    what is `asked` in their place; another target makes the scores post hoc. Raises InputError if no target is known, unless
    `aimless`: then it is NaN."""
    curves = tables.curves
    tasks = sorted({curve.task for curve in curves})
    if not tasks:
        raise NothingToConclude(f"{folder}: the tables hold no runs")
    if len(tasks) != 1:
        raise InputError(f"{folder}: {len(tasks)} tasks in one table ({', '.join(tasks)}) do not compare")
    declared = read_declaration(folder)
    if (folder / "study.json").exists():
        rules = rules_of_manifest(folder, curves)
    elif tables.ours and tasks[0] in task_names() and declared.target is None:
        task = load_task(tasks[0])
        rules = Rules(task.target.fd, task.target.how, task.budget.iterations, paired=tables.ours)
    else:
        how = f"declared in {DECLARATION}" if declared.target is not None else ""
        target = NAN if declared.target is None else declared.target
        rules = Rules(target, how, math.inf, contrasts=declared.contrasts, paired=tables.ours, ends_freely=True)
    rules = replace(
        rules,
        baseline=asked.baseline or declared.baseline or rules.baseline,
        unit=tables.unit,
        budget=asked.budget or declared.budget or rules.budget,
        window=declared.window or rules.window,
        paired=next((said for said in (asked.paired, declared.paired) if said is not None), rules.paired),
    )
    others = [(asked.baseline, declared.baseline or BASELINE), (asked.unit, declared.unit), (asked.budget, declared.budget)]
    if any(said is not None and said != known for said, known in [*others, (asked.paired, declared.paired)]):
        rules = replace(rules, replaced=(folder / "study.json").exists() or (folder / DECLARATION).exists())
    if asked.budget is not None and not 0 < asked.budget < math.inf:
        raise InputError(f"--budget {asked.budget:g}: write how much training to look at, in {tables.unit}")
    check_window(asked.window)
    if asked.window not in (None, rules.window):
        fixed = (folder / "study.json").exists() or (folder / DECLARATION).exists()
        rules = replace(rules, window=asked.window, how="post hoc: --window", replaced=rules.replaced or fixed)
    if asked.target is not None:
        check_target(asked.target)
    if asked.target == FINAL and any(curve.stopped for curve in curves):
        raise InputError(f"{folder}: --target {FINAL}: {NO_FINAL}")
    if (asked.target or rules.target) == FINAL:  # what each baseline ends at is no target to look around
        rules = replace(rules, window=1.0)
    if asked.target is not None and asked.target != rules.target:
        fixed = (folder / "study.json").exists() or declared.target is not None
        return replace(rules, target=asked.target, how="post hoc: --target", replaced=fixed)
    if not rules.aims and not aimless:
        raise InputError(
            f"{folder}: no target is declared: give --target FD, or write target = FD into {folder / DECLARATION} before you "
            "look, and verdicts are not post hoc"
        )
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
        baseline=study.baseline,
        window=study.window,
        until_decided=study.until_decided,
        edges=None if isinstance(study.target, str) else window_edges(study.target, study.window),
        guarantees=read_provenance(folder),
    )
