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
from fidrace.score.comparison import RunTable
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import Curve, axes_of, check_axis
from fidrace.score.guards import FLAGGED, guard_table, lost_guards
from fidrace.score.imports import are_imported
from fidrace.score.notes import notes_of
from fidrace.score.one_seed import describe_without_interval
from fidrace.score.reading import read_tables
from fidrace.score.resolution import remarks_on_resolution
from fidrace.score.rules import DECLARATION, FINAL, Question, Rules, read_declaration, read_rules
from fidrace.score.run_tables import make_run_table
from fidrace.score.speedups import FASTER, NAN
from fidrace.score.verdicts import adjust_p_values, format_p, judge_on_honest_axes
from fidrace.spec.user_input import BASELINE, Target

SPEEDUP_COLUMNS = (
    "task method axis target pairs reached baseline_reached median_to_target speedup ci_low ci_high bound factor_low "
    "factor_high p_value p_holm p_slower p_slower_holm detectable correlation verdict flags"
).split()
CONTRAST_COLUMNS = (
    "task method control axis target pairs reached control_reached speedup ci_low ci_high bound factor_low factor_high "
    "p_value p_holm p_slower p_slower_holm detectable correlation verdict flags"
).split()
LEADERBOARD_COLUMNS = (
    "rank task method axis target reached runs median_to_target speedup ci_low ci_high bound factor_low factor_high p_holm "
    "p_slower_holm verdict final_fd seconds_per_1000 flags"
).split()
WINDOW_COLUMNS = ["window", "speedup_alone"]  # of studies that declare a window


@dataclass(frozen=True)
class Scores:
    """speedups.csv, contrasts.csv, leaderboard.csv, guards.csv and curve.csv as tables, the curves they were made from, the
    metric's name, the rules, the axes without rows because their factors repeat those in the table's unit, what one seed can
    say of methods without an interval, and remarks on how the tables were read."""

    speedups: pd.DataFrame
    contrasts: pd.DataFrame
    leaderboard: pd.DataFrame
    guards: pd.DataFrame
    curve: pd.DataFrame
    curves: list[Curve]
    metric: str
    rules: Rules
    redundant_axes: tuple[str, ...]
    without_interval: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def headline(self) -> str:
        """The fastest method, if one is shown to be faster than the baseline; none of imported runs."""
        if are_imported(self.curves):
            return "no headline: these runs were imported, and only their authors know which others there were"
        table = self.leaderboard
        shown = table[(table["verdict"] == FASTER) & (table["bound"] != "<=")]
        name = "the baseline" if self.rules.baseline == BASELINE else self.rules.baseline
        if len(shown):
            best = shown.iloc[0]
            factor = f"{'at least ' if best['bound'] == '>=' else ''}{best['speedup']:.2f}x {name}"
            price = "".join(f"; it {note}" for note in best["flags"].split("; ") if note in FLAGGED.values())
            return f"fastest: {best['method']}, {factor} (Holm-adjusted p = {format_p(best['p_holm'])}){price}"
        if len(table) < 2:
            return f"only {name} was raced: no method to compare with it"
        return f"no method is shown to be faster than {name} (Holm-adjusted p < 0.05, one-sided)"

    def redundancy_note(self) -> str:
        """Which axes have no rows of their own, and why; empty if all have."""
        if not self.redundant_axes:
            return ""
        axes = " and ".join(self.redundant_axes)
        return (
            f"{axes}: the same factors as in {self.rules.unit}, because every run costs the same per iteration; no rows of "
            "their own"
        )

    def window_note(self) -> str:
        """Over which targets factors are averaged, and what they are at the target alone; empty without a window."""
        window, target = self.rules.window, self.rules.target
        if window == 1 or isinstance(target, str):
            return ""
        alone = [
            f"{row['method']} {row['speedup_alone']:.2f}x"
            for row in self.leaderboard.to_dict("records")
            if row["method"] != self.rules.baseline and np.isfinite(row["speedup_alone"])
        ]
        told = f"; at {target:g} alone: {', '.join(alone)}" if alone else ""
        return f"factors are averaged over targets from {target / window:.3g} to {target * window:.3g}{told}"

    def axis_with_rows(self, axis: str) -> str:
        """The axis whose rows hold the factors on `axis`."""
        return self.rules.unit if axis in self.redundant_axes else axis


def score_folder(
    folder: str | Path,
    target: Target | None = None,
    axis: str | None = None,
    contrasts: Sequence[tuple[str, str]] = (),
    *,
    baseline: str | None = None,
    unit: str | None = None,
    budget: float | None = None,
    paired: bool | None = None,
    window: float | None = None,
) -> Scores:
    """Score runs.csv and evals.csv in `folder`, a path or the name of published tables. The leaderboard is on `axis` (default:
    the table's unit), which then has rows in `speedups` and `contrasts` even if they repeat those in the unit. `contrasts`
    replace the study's own. `baseline` names the method to compare with, `unit` what training is counted in, `budget` how
    much of it (default: each run's own end), `paired` whether equal seeds share their chances, `window` the ratio of targets
    over which costs are averaged. Raises InputError for tables that cannot be read and for contrasts of methods that they do
    not hold, NothingToConclude without a baseline."""
    return score_tables(find_tables(folder), Question(target, baseline, unit, budget, paired, window), axis, contrasts)


def score_tables(folder: Path, asked: Question, axis: str | None = None, contrasts: Sequence[tuple[str, str]] = ()) -> Scores:
    """As `score_folder`, with what is asked in one piece."""
    table = read_run_table(folder, asked)
    axis = check_axis(axis, table.curves)
    for name in {name for pair in contrasts for name in pair} - {*table.methods}:
        raise InputError(f"{folder}: no runs of {name!r}{nearest(name, table.methods)}")
    if contrasts:
        table = replace(table, rules=replace(table.rules, contrasts=tuple(dict.fromkeys(contrasts)), replaced=True))
    axes = [name for name in axes_of(table.curves) if name in (*table.axes, axis)]
    guards = guard_table(table)
    methods = [method for method in table.methods if method != table.rules.baseline]
    added = WINDOW_COLUMNS if table.rules.window > 1 else []
    speedups = adjust_p_values(
        [speedup_row(table, guards, method, name) for name in axes for method in methods], SPEEDUP_COLUMNS + added, table.family
    )
    pairs = [pair for pair in table.rules.contrasts if {*pair} <= {*table.methods}]
    rows = [contrast_row(table, guards, *pair, name) for name in axes for pair in pairs]
    against_controls = adjust_p_values(
        [{**row, "flags": flag_post_hoc(row["flags"], bool(contrasts))} for row in rows],
        CONTRAST_COLUMNS + added,
        len(table.rules.contrasts) if table.rules.until_decided else 0,
    )
    honest = {method: table.honest_axes(method) for method in table.methods}
    speedups, against_controls = (judge_on_honest_axes(one, honest) for one in (speedups, against_controls))
    return Scores(
        speedups,
        against_controls,
        leaderboard(table, speedups, guards, axis),
        guards,
        speedup_curve(table),
        table.curves,
        table.metric,
        table.rules,
        table.redundant_axes,
        tuple(filter(None, (describe_without_interval(table, method, axis) for method in methods))),
        (*table.remarks, *remarks_on_resolution(table)),
    )


def read_run_table(folder: Path, asked: Question = Question(), aimless: bool = False) -> RunTable:
    """The runs in `folder` with their rules; with `aimless` they need no target. Raises InputError for tables that cannot be
    read, NothingToConclude if no run of the baseline is usable."""
    tables = read_tables(folder, asked.unit or read_declaration(folder).unit)
    rules = read_rules(folder, tables, asked, aimless)
    table = make_run_table(tables.curves, rules, tables)
    if rules.baseline not in table.methods and (asked.baseline or rules.baseline != BASELINE):
        raise InputError(f"{folder}: no runs of the baseline {rules.baseline!r}{nearest(rules.baseline, table.methods)}")
    if not table.usable.get(rules.baseline):
        if rules.baseline not in table.methods:
            raise NothingToConclude(
                f"{folder}: no runs of {rules.baseline!r}, so there is nothing to compare with; --baseline NAME takes one of "
                f"{', '.join(table.methods)}, and so does {DECLARATION}"
            )
        lower = " that ends lower than it began" if rules.target == FINAL else ""
        raise NothingToConclude(f"{folder}: no finished run of {rules.baseline!r}{lower}, so there is nothing to compare with")
    return table


def flag_post_hoc(flags: str, afterwards: bool) -> str:
    """`flags` with `post hoc` in front for a contrast that the study did not declare."""
    return "; ".join(filter(None, ["post hoc" if afterwards and "post hoc" not in flags else "", flags]))


def contrast_row(table: RunTable, guards: pd.DataFrame, method: str, control: str, axis: str) -> dict[str, Any]:
    """One row of contrasts.csv: a method against its control instead of the baseline."""
    row = speedup_row(table, guards, method, axis, control)
    theirs = [note for note in notes_of(table, control, axis, None, control) if note not in row["flags"]]
    flags = "; ".join(filter(None, [row["flags"], *(f"control: {note}" for note in theirs)]))
    return {**row, "control": control, "control_reached": row["baseline_reached"], "flags": flags}


def speedup_row(table: RunTable, guards: pd.DataFrame, method: str, axis: str, reference: str = "") -> dict[str, Any]:
    """One row of speedups.csv, against the baseline or another reference; guards are noted only against the baseline."""
    comparison = table.compare(method, axis, reference)
    notes = notes_of(table, method, axis, comparison, reference) + (lost_guards(guards, method) if not reference else [])
    return {
        "task": table.task,
        "method": method,
        "axis": axis,
        "target": table.rules.target,
        "window": table.rules.window,
        **comparison.figures(),
        "speedup_alone": comparison.factor_alone,
        "median_to_target": median_cost(comparison.ours),
        "flags": "; ".join(notes),
    }


def leaderboard(table: RunTable, speedups: pd.DataFrame, guards: pd.DataFrame, axis: str) -> pd.DataFrame:
    """leaderboard.csv: one row per method on one axis, fastest first; methods without a factor last, by final FD."""
    rows = []
    for method in table.methods:
        runs, costs = [*table.usable[method].values()], [*table.costs(method, axis).values()]
        matching = speedups[(speedups["method"] == method) & (speedups["axis"] == axis)]
        compared: dict[str, Any] = dict.fromkeys(("speedup", "factor_low", "factor_high", "speedup_alone"), 1.0) | {
            "bound": "="
        }
        if method != table.rules.baseline:
            compared = {str(key): value for key, value in matching.iloc[0].items()}
        own = {
            "task": table.task,
            "method": method,
            "axis": axis,
            "target": table.rules.target,
            "window": table.rules.window,
            "reached": sum(not cost.censored for cost in costs),
            "runs": len(runs),
            "median_to_target": median_cost(costs),
            "final_fd": median_final_fd(runs, table.rules.budget),
            "seconds_per_1000": median_known([seconds_per_1000(curve) for curve in runs]),
            "flags": compared.get("flags", "; ".join(notes_of(table, method, axis))),
        }
        rows.append({**compared, **own})
    rows.sort(key=sort_key)
    columns = LEADERBOARD_COLUMNS + (WINDOW_COLUMNS if table.rules.window > 1 else [])
    return pd.DataFrame([{**row, "rank": k} for k, row in enumerate(rows, 1)], columns=pd.Index(columns))


def sort_key(row: dict[str, Any]) -> tuple[int, float, float, str]:
    """By factor, then upper bounds, then rows with neither by final FD."""
    bounds = {"=": 0, ">=": 0, "<=": 1}
    final = np.nan_to_num(row["final_fd"], nan=np.inf)  # NaN has no place in an order
    return bounds.get(row["bound"], 2), -np.nan_to_num(row.get("speedup", NAN)), final, row["method"]


def median_known(values: list[float]) -> float:
    """The median of the values that are not NaN."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.median(known)) if known else NAN


def median_cost(costs: Sequence[TargetCost]) -> float:
    """The median cost of the target alone; NaN if it falls among censored runs."""
    median = np.median([np.inf if cost.censored else cost.of_target.cost for cost in costs]) if costs else NAN
    return float(median) if np.isfinite(median) else NAN


def median_final_fd(runs: list[Curve], budget: float) -> float:
    """The median FD at the budget; NaN if a run stopped at its crossing: the median of the others would be that of the slow."""
    return NAN if any(curve.stopped for curve in runs) else median_known([final_fd(curve, budget) for curve in runs])


def final_fd(curve: Curve, budget: float) -> float:
    """FD at the budget, or at the last evaluation of a run that ended before it; NaN for a run without evaluations."""
    within = curve.fd[curve.iteration <= curve.within(budget)]
    return float(within[-1]) if len(within) else NAN


def seconds_per_1000(curve: Curve) -> float:
    """Seconds of training per 1000 iterations."""
    return NAN if curve.never_trained else float(1000 * curve.columns["train_seconds"][-1] / curve.iteration[-1])
