"""The tables that people quote: speedups on every axis, and one line per method, best first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.score.crossings import Reached, flat, reached
from bench.score.curves import AXES, Curve, read_curves
from bench.score.errors import NothingToConclude
from bench.score.speedups import MIN_PAIRS, NAN, holm, speedup
from bench.store import StudyDir
from bench.study import BASELINE, Target
from bench.task import load_task, task_names
from methods.base import InputError, nearest

FINAL = "baseline-final"
SPEEDUP_COLUMNS = (
    "task method axis target pairs reached baseline_reached median_to_target speedup ci_low ci_high bound p_value p_holm "
    "detectable correlation verdict flags"
).split()
CONTRAST_COLUMNS = (
    "task method control axis target pairs reached control_reached speedup ci_low ci_high bound p_value p_holm "
    "detectable correlation verdict flags"
).split()
LEADERBOARD_COLUMNS = (
    "rank task method axis target reached runs median_to_target speedup ci_low ci_high bound p_holm verdict final_fd "
    "seconds_per_1000 flags"
).split()

MISSING = ("failed", "diverged", "running", "incomplete")


@dataclass(frozen=True)
class Rules:
    """What a table is scored by: the target and how it was set, the budget in iterations, the seeds declared at the first
    run (None: unknown), and of each method whether its curve depends on the budget and how sure its formula is.
    `contrasts`: pairs of a method and its control. `replaced`: target or contrasts are not those of the folder's study."""

    target: Target
    how: str
    budget: float
    declared_seeds: tuple[int, ...] | None
    methods: dict[str, dict[str, Any]]
    contrasts: tuple[tuple[str, str], ...] = ()
    replaced: bool = False

    @property
    def post_hoc(self) -> bool:
        return self.how.startswith("post hoc")


@dataclass(frozen=True)
class Scores:
    """speedups.csv, contrasts.csv and leaderboard.csv as tables, the curves they were made from, the metric's name, and the
    rules."""

    speedups: pd.DataFrame
    contrasts: pd.DataFrame
    leaderboard: pd.DataFrame
    curves: list[Curve]
    metric: str
    rules: Rules

    def headline(self) -> str:
        """Who is fastest, if anyone is shown to be."""
        table = self.leaderboard
        shown = table[(table["p_holm"] < 0.05) & (table["verdict"] == "faster") & (table["bound"] != "<=")]
        if len(shown):
            best = shown.iloc[0]
            factor = f"{'at least ' if best['bound'] == '>=' else ''}{best['speedup']:.2f}x the baseline"
            return f"fastest: {best['method']}, {factor} (Holm-adjusted p = {best['p_holm']:.2g})"
        return "no method is shown to be faster than the baseline (Holm-adjusted p < 0.05, one-sided)"


def read_rules(folder: Path, curves: list[Curve], target: Target | None) -> Rules:
    """The rules of the tables in `folder`: study.json's, else the packaged task's of that name; `target` replaces the
    target, and then the scores are post hoc. Raises InputError where no target is known."""
    tasks = sorted({curve.task for curve in curves})
    if not tasks:
        raise NothingToConclude(f"{folder}: runs.csv holds no runs")
    if len(tasks) != 1:
        raise InputError(f"{folder}: {len(tasks)} tasks in one table ({', '.join(tasks)}): they do not compare")
    if (folder / "study.json").exists():
        study = StudyDir(folder).declared()
        seeds = tuple(study["declared_seeds"])
        contrasts = tuple((method, control) for method, control in study["contrasts"])
        rules = Rules(study["target"], study["target_how"], study["budget"], seeds, study["methods"], contrasts)
    elif tasks[0] in task_names():
        task = load_task(tasks[0])
        rules = Rules(task.target.fd, task.target.how, task.budget.iterations, None, {})
    else:
        # The last evaluation only confirms, so the budget is the one before it.
        budget = max((curve.iteration[-2] for curve in curves if len(curve.fd) > 1), default=0.0)
        rules = Rules(NAN, "", float(budget), None, {})
    if target is not None and target != rules.target:
        declared = (folder / "study.json").exists()
        return replace(rules, target=target, how="post hoc: --target", replaced=declared)
    if rules.target != FINAL and np.isnan(rules.target):
        raise InputError(f"{folder}: task {tasks[0]!r} is not packaged and there is no study.json: give --target")
    return rules


def score(
    folder: Path, target: Target | None = None, axis: str = "iterations", contrasts: Sequence[tuple[str, str]] = ()
) -> Scores:
    """Score runs.csv and evals.csv in `folder`; `contrasts` replace the study's own. Raises InputError for tables that
    cannot be read and for contrasts of methods that they do not hold, NothingToConclude where there is no baseline."""
    if axis not in AXES:
        raise InputError(f"unknown axis {axis!r} (choices: {', '.join(AXES)})")
    curves = read_curves(folder)
    rules = read_rules(folder, curves, target)
    curves = [mark_incomplete(curve, rules.budget) for curve in curves]
    usable = [curve for curve in curves if curve.status in ("finished", "diverged") and len(curve.fd)]
    if rules.target == FINAL:  # what a baseline that diverged would have ended at is not known
        usable = [curve for curve in usable if curve.method != BASELINE or curve.ends_by(rules.budget)]
    if not any(curve.method == BASELINE for curve in usable):
        raise NothingToConclude(f"{folder}: no finished run of {BASELINE!r}, so there is nothing to compare with")
    methods = list(dict.fromkeys([BASELINE, *rules.methods, *(curve.method for curve in curves)]))
    table = Table(curves, usable, rules, [method for method in methods if any(c.method == method for c in curves)])
    for name in {name for pair in contrasts for name in pair} - {*table.methods}:
        raise InputError(f"{folder}: no runs of {name!r}{nearest(name, table.methods)}")
    if contrasts:
        rules = replace(rules, contrasts=tuple(dict.fromkeys(contrasts)), replaced=True)
    speedups = adjusted(
        [table.speedup_row(method, name) for name in AXES for method in table.methods if method != BASELINE], SPEEDUP_COLUMNS
    )
    raced = [pair for pair in rules.contrasts if {*pair} <= {*table.methods}]
    rows = [table.contrast_row(*pair, name) for name in AXES for pair in raced]
    against = adjusted([{**row, "flags": chosen(row["flags"], bool(contrasts))} for row in rows], CONTRAST_COLUMNS)
    metric = str(pd.read_csv(folder / "evals.csv", usecols=["metric"], nrows=1)["metric"].iloc[0])
    return Scores(speedups, against, table.leaderboard(speedups, axis), curves, metric, rules)


def chosen(flags: str, afterwards: bool) -> str:
    """`flags`, and that a contrast was not declared by the study."""
    return "; ".join(filter(None, ["post hoc" if afterwards and "post hoc" not in flags else "", flags]))


def adjusted(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """`rows` as a table with Holm's p over all rows of one axis."""
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    for axis in AXES:
        where = table["axis"] == axis
        table.loc[where, "p_holm"] = holm(table.loc[where, "p_value"].to_numpy(float))
    return table


@dataclass(frozen=True)
class Table:
    """The runs of one table, ready to be compared."""

    curves: list[Curve]
    usable: list[Curve]
    rules: Rules
    methods: list[str]

    def of(self, method: str) -> dict[int, Curve]:
        return {curve.seed: curve for curve in self.usable if curve.method == method}

    def target(self, seed: int) -> float:
        """The number to reach: the study's, or by the papers' habit what this seed's baseline ends at."""
        if self.rules.target != FINAL:
            return float(self.rules.target)
        baseline = self.of(BASELINE)[seed]
        return float(np.interp(self.rules.budget, baseline.iteration, baseline.fd))

    def cost(self, curve: Curve, axis: str) -> Reached:
        if self.rules.target == FINAL and curve.method == BASELINE:  # by definition, at the budget
            at = curve.at_budget(axis, self.rules.budget)
            return Reached(at, at, at)
        return reached(curve, self.target(curve.seed), axis, self.rules.budget)

    def contrast_row(self, method: str, control: str, axis: str) -> dict[str, Any]:
        """A method against its control instead of the baseline."""
        row = self.speedup_row(method, axis, control)
        theirs = [flag for flag in self.flags(control, row["pairs"]).split("; ") if flag and flag not in row["flags"]]
        flags = "; ".join(filter(None, [row["flags"], *(f"control: {flag}" for flag in theirs)]))
        return {**row, "control": control, "control_reached": row["baseline_reached"], "flags": flags}

    def speedup_row(self, method: str, axis: str, reference: str = BASELINE) -> dict[str, Any]:
        baseline, other = self.of(reference), self.of(method)
        seeds = sorted(baseline.keys() & other.keys())
        if self.rules.target == FINAL:  # each seed's baseline sets the target
            seeds = [seed for seed in seeds if seed in self.of(BASELINE)]
        row = {"task": self.usable[0].task, "method": method, "axis": axis, "target": self.rules.target, "pairs": len(seeds)}
        if not seeds:
            return {**row, "reached": 0, "baseline_reached": 0, "bound": "none", "flags": self.flags(method, 0)}
        ours, theirs = [[self.cost(runs[seed], axis) for seed in seeds] for runs in (other, baseline)]
        result = speedup(theirs, ours)
        identical = all(np.array_equal(baseline[seed].fd, other[seed].fd, equal_nan=True) for seed in seeds)
        return {
            **row,
            "reached": sum(not one.censored for one in ours),
            "baseline_reached": sum(not one.censored for one in theirs),
            "median_to_target": median(ours),
            "speedup": 1.0 if identical else result.factor,
            "ci_low": 1.0 if identical else result.ci_low,
            "ci_high": 1.0 if identical else result.ci_high,
            "bound": "=" if identical else result.bound,
            "p_value": result.p_value,
            "detectable": result.detectable,
            "correlation": result.correlation,
            "verdict": "identical" if identical else result.verdict,
            "flags": self.flags(method, len(seeds)),
        }

    def flags(self, method: str, pairs: int) -> str:
        """What a reader must know before believing the row."""
        runs = [curve for curve in self.curves if curve.method == method]
        known = self.rules.methods.get(method, {})
        flat_runs = [curve for curve in self.of(method).values() if curve.seed in self.of(BASELINE)]
        declared = self.rules.declared_seeds
        flags = {
            "post hoc": self.rules.post_hoc,
            "extended": declared is not None and any(curve.seed not in declared for curve in runs),
            f"fewer than {MIN_PAIRS} pairs": pairs < MIN_PAIRS,
            "horizon": known.get("horizon", False),
            "as reconstructed": known.get("evidence") == "reconstructed",
            "flat at target": bool(flat_runs) and np.mean([flat(c, self.target(c.seed)) for c in flat_runs]) > 0.5,
        }
        counts = {status: sum(curve.status == status for curve in runs) for status in MISSING}
        return "; ".join(
            [*(flag for flag, holds in flags.items() if holds), *(f"{n} {what}" for what, n in counts.items() if n)]
        )

    def leaderboard(self, speedups: pd.DataFrame, axis: str) -> pd.DataFrame:
        """One row per method on one axis, fastest first; what has no factor goes last, by final FD."""
        rows = []
        for method in self.methods:
            runs = self.of(method)
            costs = [
                self.cost(curve, axis)
                for curve in runs.values()
                if self.rules.target != FINAL or curve.seed in self.of(BASELINE)
            ]
            found = speedups[(speedups["method"] == method) & (speedups["axis"] == axis)]
            compared: dict[str, Any] = {"speedup": 1.0, "bound": "="}
            if method != BASELINE:
                compared = {str(key): value for key, value in found.iloc[0].items()}
            own = {
                "task": self.usable[0].task,
                "method": method,
                "axis": axis,
                "target": self.rules.target,
                "reached": sum(not one.censored for one in costs),
                "runs": len(runs),
                "median_to_target": median(costs),
                "final_fd": np.median([final_fd(curve, self.rules.budget) for curve in runs.values()]) if runs else NAN,
                "seconds_per_1000": np.median([pace(curve) for curve in runs.values()]) if runs else NAN,
                "flags": self.flags(method, compared.get("pairs", MIN_PAIRS)),
            }
            rows.append({**compared, **own})
        rows.sort(key=lambda row: (-np.nan_to_num(row.get("speedup", NAN), nan=-1.0), row["final_fd"], row["method"]))
        return pd.DataFrame([{**row, "rank": k} for k, row in enumerate(rows, 1)], columns=pd.Index(LEADERBOARD_COLUMNS))


def median(costs: list[Reached]) -> float:
    """The median cost; NaN where it falls among runs that are censored."""
    values = np.median([np.inf if one.censored else one.cost for one in costs]) if costs else NAN
    return float(values) if np.isfinite(values) else NAN


def mark_incomplete(curve: Curve, budget: float) -> Curve:
    """The curve, of status `incomplete` where it calls itself finished and its evaluations end before the budget."""
    lost = curve.status == "finished" and not curve.ends_by(budget)
    return replace(curve, status="incomplete") if lost else curve


def final_fd(curve: Curve, budget: float) -> float:
    """FD at the budget, or at the last evaluation of a run that ended before it."""
    return float(curve.fd[curve.iteration <= budget][-1])


def pace(curve: Curve) -> float:
    """Seconds of training per 1000 iterations."""
    n, seconds = curve.iteration[-1], curve.columns["train_seconds"][-1]
    return float(1000 * seconds / n) if n else NAN
