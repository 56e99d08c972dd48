"""The tables that people quote: speedups on every axis, and a leaderboard with one line per method, best first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError, NothingToConclude, nearest
from fidrace.packaged import find_tables
from fidrace.score.against_target import speedup_curve
from fidrace.score.comparison import RunTable, make_run_table
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import AXES, Curve, check_axis, read_curves
from fidrace.score.guards import FLAGGED, guard_table, lost_guards
from fidrace.score.rules import FINAL, Rules, read_rules
from fidrace.score.speedups import MIN_PAIRS, NAN, holm
from fidrace.spec.user_input import BASELINE, Target

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


@dataclass(frozen=True)
class Scores:
    """speedups.csv, contrasts.csv, leaderboard.csv, guards.csv and curve.csv as tables, the curves they were made from, the
    metric's name, the rules, and the axes without rows because their factors repeat those in iterations."""

    speedups: pd.DataFrame
    contrasts: pd.DataFrame
    leaderboard: pd.DataFrame
    guards: pd.DataFrame
    curve: pd.DataFrame
    curves: list[Curve]
    metric: str
    rules: Rules
    redundant_axes: tuple[str, ...]

    def headline(self) -> str:
        """The fastest method, if one is shown to be faster than the baseline."""
        table = self.leaderboard
        shown = table[(table["p_holm"] < 0.05) & (table["verdict"] == "faster") & (table["bound"] != "<=")]
        if len(shown):
            best = shown.iloc[0]
            factor = f"{'at least ' if best['bound'] == '>=' else ''}{best['speedup']:.2f}x the baseline"
            price = "".join(f"; it {note}" for note in best["flags"].split("; ") if note in FLAGGED.values())
            return f"fastest: {best['method']}, {factor} (Holm-adjusted p = {best['p_holm']:.2g}){price}"
        return "no method is shown to be faster than the baseline (Holm-adjusted p < 0.05, one-sided)"

    def redundancy_note(self) -> str:
        """Which axes have no rows of their own, and why; empty if all have."""
        if not self.redundant_axes:
            return ""
        axes = " and ".join(self.redundant_axes)
        return (
            f"{axes}: the same factors as in iterations, because every run costs the same per iteration; no rows of their own"
        )

    def axis_with_rows(self, axis: str) -> str:
        """The axis whose rows hold the factors on `axis`."""
        return "iterations" if axis in self.redundant_axes else axis


def score_folder(
    folder: str | Path, target: Target | None = None, axis: str = "iterations", contrasts: Sequence[tuple[str, str]] = ()
) -> Scores:
    """Score runs.csv and evals.csv in `folder`, a path or the name of published tables. The leaderboard is on `axis`, which
    then has rows in `speedups` and `contrasts` even if they repeat those in iterations. `contrasts` replace the study's own.
    Raises InputError for tables that cannot be read and for contrasts of methods that they do not hold, NothingToConclude
    without a baseline."""
    check_axis(axis)
    folder = find_tables(folder)
    table = read_run_table(folder, target)
    for name in {name for pair in contrasts for name in pair} - {*table.methods}:
        raise InputError(f"{folder}: no runs of {name!r}{nearest(name, table.methods)}")
    if contrasts:
        table = replace(table, rules=replace(table.rules, contrasts=tuple(dict.fromkeys(contrasts)), replaced=True))
    axes = [name for name in AXES if name in (*table.axes, axis)]
    guards = guard_table(table)
    methods = [method for method in table.methods if method != BASELINE]
    speedups = adjust_p_values(
        [speedup_row(table, guards, method, name) for name in axes for method in methods], SPEEDUP_COLUMNS
    )
    pairs = [pair for pair in table.rules.contrasts if {*pair} <= {*table.methods}]
    rows = [contrast_row(table, guards, *pair, name) for name in axes for pair in pairs]
    against_controls = adjust_p_values(
        [{**row, "flags": flag_post_hoc(row["flags"], bool(contrasts))} for row in rows], CONTRAST_COLUMNS
    )
    board = leaderboard(table, speedups, guards, axis)
    metric = str(pd.read_csv(folder / "evals.csv", usecols=["metric"], nrows=1)["metric"].iloc[0])
    curve = speedup_curve(table)
    return Scores(speedups, against_controls, board, guards, curve, table.curves, metric, table.rules, table.redundant_axes)


def read_run_table(folder: Path, target: Target | None = None, aimless: bool = False) -> RunTable:
    """The runs in `folder` with their rules; with `aimless` they need no target. Raises InputError for tables that cannot be
    read, NothingToConclude if no run of the baseline is usable."""
    curves = read_curves(folder)
    table = make_run_table(curves, read_rules(folder, curves, target, aimless))
    if not table.usable.get(BASELINE):
        lower = " that ends lower than it began" if table.rules.target == FINAL else ""
        raise NothingToConclude(f"{folder}: no finished run of {BASELINE!r}{lower}, so there is nothing to compare with")
    return table


def flag_post_hoc(flags: str, afterwards: bool) -> str:
    """`flags` with `post hoc` in front for a contrast that the study did not declare."""
    return "; ".join(filter(None, ["post hoc" if afterwards and "post hoc" not in flags else "", flags]))


def adjust_p_values(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """`rows` as a table, with p adjusted by Holm over all rows of one axis."""
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    for axis in AXES:
        on_axis = table["axis"] == axis
        table.loc[on_axis, "p_holm"] = holm(table.loc[on_axis, "p_value"].to_numpy(float))
    return table


def contrast_row(table: RunTable, guards: pd.DataFrame, method: str, control: str, axis: str) -> dict[str, Any]:
    """One row of contrasts.csv: a method against its control instead of the baseline."""
    row = speedup_row(table, guards, method, axis, control)
    theirs = [note for note in table.notes(control, axis, row["pairs"], control) if note not in row["flags"]]
    flags = "; ".join(filter(None, [row["flags"], *(f"control: {note}" for note in theirs)]))
    return {**row, "control": control, "control_reached": row["baseline_reached"], "flags": flags}


def speedup_row(table: RunTable, guards: pd.DataFrame, method: str, axis: str, reference: str = BASELINE) -> dict[str, Any]:
    """One row of speedups.csv; guards are noted only against the baseline."""
    comparison = table.compare(method, axis, reference)
    pairs = len(comparison.seeds)
    notes = table.notes(method, axis, pairs, reference) + (lost_guards(guards, method) if reference == BASELINE else [])
    return {
        "task": table.task,
        "method": method,
        "axis": axis,
        "target": table.rules.target,
        **comparison.figures(),
        "median_to_target": median_cost(comparison.ours),
        "flags": "; ".join(notes),
    }


def leaderboard(table: RunTable, speedups: pd.DataFrame, guards: pd.DataFrame, axis: str) -> pd.DataFrame:
    """leaderboard.csv: one row per method on one axis, fastest first; methods without a factor last, by final FD."""
    rows = []
    for method in table.methods:
        runs, costs = [*table.usable[method].values()], [*table.costs(method, axis).values()]
        matching = speedups[(speedups["method"] == method) & (speedups["axis"] == axis)]
        compared: dict[str, Any] = {"speedup": 1.0, "bound": "="}
        if method != BASELINE:
            compared = {str(key): value for key, value in matching.iloc[0].items()}
        own = {
            "task": table.task,
            "method": method,
            "axis": axis,
            "target": table.rules.target,
            "reached": sum(not cost.censored for cost in costs),
            "runs": len(runs),
            "median_to_target": median_cost(costs),
            "final_fd": median_known([final_fd(curve, table.rules.budget) for curve in runs]),
            "seconds_per_1000": median_known([seconds_per_1000(curve) for curve in runs]),
            "flags": compared.get("flags", "; ".join(table.notes(method, axis, MIN_PAIRS))),
        }
        rows.append({**compared, **own})
    rows.sort(key=sort_key)
    return pd.DataFrame([{**row, "rank": k} for k, row in enumerate(rows, 1)], columns=pd.Index(LEADERBOARD_COLUMNS))


def sort_key(row: dict[str, Any]) -> tuple[int, float, float, str]:
    """By factor, then upper bounds, then rows with neither by final FD."""
    bounds = {"=": 0, ">=": 0, "<=": 1}
    return bounds.get(row["bound"], 2), -np.nan_to_num(row.get("speedup", NAN)), row["final_fd"], row["method"]


def median_known(values: list[float]) -> float:
    """The median of the values that are not NaN."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.median(known)) if known else NAN


def median_cost(costs: list[TargetCost]) -> float:
    """The median cost; NaN if it falls among censored runs."""
    median = np.median([np.inf if cost.censored else cost.cost for cost in costs]) if costs else NAN
    return float(median) if np.isfinite(median) else NAN


def final_fd(curve: Curve, budget: float) -> float:
    """FD at the budget, or at the last evaluation of a run that ended before it; NaN for a run without evaluations."""
    within = curve.fd[curve.iteration <= curve.within(budget)]
    return float(within[-1]) if len(within) else NAN


def seconds_per_1000(curve: Curve) -> float:
    """Seconds of training per 1000 iterations."""
    return NAN if curve.never_trained else float(1000 * curve.columns["train_seconds"][-1] / curve.iteration[-1])
