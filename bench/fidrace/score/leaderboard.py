"""The tables that people quote: speedups on every axis, and one line per method, best first."""

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
from fidrace.spec.study import BASELINE, Target

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
    metric's name, and the rules."""

    speedups: pd.DataFrame
    contrasts: pd.DataFrame
    leaderboard: pd.DataFrame
    guards: pd.DataFrame
    curve: pd.DataFrame
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
            price = "".join(f"; it {note}" for note in best["flags"].split("; ") if note in FLAGGED.values())
            return f"fastest: {best['method']}, {factor} (Holm-adjusted p = {best['p_holm']:.2g}){price}"
        return "no method is shown to be faster than the baseline (Holm-adjusted p < 0.05, one-sided)"


def score_folder(
    folder: str | Path, target: Target | None = None, axis: str = "iterations", contrasts: Sequence[tuple[str, str]] = ()
) -> Scores:
    """Score runs.csv and evals.csv in `folder`, a path or the name of published tables; `contrasts`
    replace the study's own. Raises InputError for tables that
    cannot be read and for contrasts of methods that they do not hold, NothingToConclude where there is no baseline."""
    check_axis(axis)
    folder = find_tables(folder)
    races = read_run_table(folder, target)
    for name in {name for pair in contrasts for name in pair} - {*races.methods}:
        raise InputError(f"{folder}: no runs of {name!r}{nearest(name, races.methods)}")
    if contrasts:
        races = replace(races, rules=replace(races.rules, contrasts=tuple(dict.fromkeys(contrasts)), replaced=True))
    guards = guard_table(races)
    methods = [method for method in races.methods if method != BASELINE]
    speedups = adjust_p_values(
        [speedup_row(races, guards, method, name) for name in AXES for method in methods], SPEEDUP_COLUMNS
    )
    raced = [pair for pair in races.rules.contrasts if {*pair} <= {*races.methods}]
    rows = [contrast_row(races, guards, *pair, name) for name in AXES for pair in raced]
    against = adjust_p_values(
        [{**row, "flags": flag_post_hoc(row["flags"], bool(contrasts))} for row in rows], CONTRAST_COLUMNS
    )
    board = leaderboard(races, speedups, guards, axis)
    metric = str(pd.read_csv(folder / "evals.csv", usecols=["metric"], nrows=1)["metric"].iloc[0])
    return Scores(speedups, against, board, guards, speedup_curve(races), races.curves, metric, races.rules)


def read_run_table(folder: Path, target: Target | None = None, aimless: bool = False) -> RunTable:
    """The runs in `folder` and their rules; `aimless` ones may have no target. Raises InputError for tables that cannot be
    read, NothingToConclude where no run of the baseline can be compared with."""
    curves = read_curves(folder)
    races = make_run_table(curves, read_rules(folder, curves, target, aimless))
    if not races.usable.get(BASELINE):
        lower = " that ends lower than it began" if races.rules.target == FINAL else ""
        raise NothingToConclude(f"{folder}: no finished run of {BASELINE!r}{lower}, so there is nothing to compare with")
    return races


def flag_post_hoc(flags: str, afterwards: bool) -> str:
    """`flags`, and that a contrast was not declared by the study."""
    return "; ".join(filter(None, ["post hoc" if afterwards and "post hoc" not in flags else "", flags]))


def adjust_p_values(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """`rows` as a table with Holm's p over all rows of one axis."""
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    for axis in AXES:
        where = table["axis"] == axis
        table.loc[where, "p_holm"] = holm(table.loc[where, "p_value"].to_numpy(float))
    return table


def contrast_row(races: RunTable, guards: pd.DataFrame, method: str, control: str, axis: str) -> dict[str, Any]:
    """A method against its control instead of the baseline."""
    row = speedup_row(races, guards, method, axis, control)
    theirs = [note for note in races.notes(control, axis, row["pairs"], control) if note not in row["flags"]]
    flags = "; ".join(filter(None, [row["flags"], *(f"control: {note}" for note in theirs)]))
    return {**row, "control": control, "control_reached": row["baseline_reached"], "flags": flags}


def speedup_row(races: RunTable, guards: pd.DataFrame, method: str, axis: str, reference: str = BASELINE) -> dict[str, Any]:
    """One row of speedups.csv; a method's guards are told against the baseline only."""
    found = races.compare(method, axis, reference)
    pairs = len(found.seeds)
    notes = races.notes(method, axis, pairs, reference) + (lost_guards(guards, method) if reference == BASELINE else [])
    return {
        "task": races.curves[0].task,
        "method": method,
        "axis": axis,
        "target": races.rules.target,
        **found.figures(),
        "median_to_target": median_cost(found.ours),
        "flags": "; ".join(notes),
    }


def leaderboard(races: RunTable, speedups: pd.DataFrame, guards: pd.DataFrame, axis: str) -> pd.DataFrame:
    """One row per method on one axis, fastest first; what has no factor goes last, by final FD."""
    rows = []
    for method in races.methods:
        runs, costs = [*races.usable[method].values()], [*races.costs(method, axis).values()]
        found = speedups[(speedups["method"] == method) & (speedups["axis"] == axis)]
        compared: dict[str, Any] = {"speedup": 1.0, "bound": "="}
        if method != BASELINE:
            compared = {str(key): value for key, value in found.iloc[0].items()}
        own = {
            "task": races.curves[0].task,
            "method": method,
            "axis": axis,
            "target": races.rules.target,
            "reached": sum(not one.censored for one in costs),
            "runs": len(runs),
            "median_to_target": median_cost(costs),
            "final_fd": median_known([final_fd(curve, races.rules.budget) for curve in runs]),
            "seconds_per_1000": median_known([seconds_per_1000(curve) for curve in runs]),
            "flags": compared.get("flags", "; ".join(races.notes(method, axis, MIN_PAIRS))),
        }
        rows.append({**compared, **own})
    rows.sort(key=sort_key)
    return pd.DataFrame([{**row, "rank": k} for k, row in enumerate(rows, 1)], columns=pd.Index(LEADERBOARD_COLUMNS))


def sort_key(row: dict[str, Any]) -> tuple[int, float, float, str]:
    """By factor; an upper bound is no factor and stands behind them; what has neither goes last, by final FD."""
    bounds = {"=": 0, ">=": 0, "<=": 1}
    return bounds.get(row["bound"], 2), -np.nan_to_num(row.get("speedup", NAN)), row["final_fd"], row["method"]


def median_known(values: list[float]) -> float:
    """The median of those that are numbers."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.median(known)) if known else NAN


def median_cost(costs: list[TargetCost]) -> float:
    """The median cost; NaN where it falls among runs that are censored."""
    values = np.median([np.inf if one.censored else one.cost for one in costs]) if costs else NAN
    return float(values) if np.isfinite(values) else NAN


def final_fd(curve: Curve, budget: float) -> float:
    """FD at the budget, or at the last evaluation of a run that ended before it; NaN for a run without any."""
    within = curve.fd[curve.iteration <= curve.within(budget)]
    return float(within[-1]) if len(within) else NAN


def seconds_per_1000(curve: Curve) -> float:
    """Seconds of training per 1000 iterations."""
    return NAN if curve.never_trained else float(1000 * curve.columns["train_seconds"][-1] / curve.iteration[-1])
