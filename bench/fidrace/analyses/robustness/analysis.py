"""Robustness: a method's speedup in each cell of a grid of settings, against that cell's own baseline.

A fixed target would be out of reach in some cells, so each cell's is set by the rule that set the task's, from the cell's own
baseline runs. They are also what the method is compared with; what that costs is simulated in tests/test_robustness.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from fidrace.analyses.outcome import Outcome
from fidrace.analyses.robustness.effects import effect
from fidrace.analyses.robustness.plots import NO_NUMBER, findings, picture
from fidrace.analyses.robustness.settings import NONE, Setting, Settings
from fidrace.errors import InputError, NothingToConclude
from fidrace.execute.study_series import StudySeries
from fidrace.method.base import Floats
from fidrace.score.comparison import RunTable
from fidrace.score.curves import read_curves
from fidrace.score.leaderboard import read_run_table, score_folder
from fidrace.score.rules import read_rules
from fidrace.score.speedups import MIN_PAIRS, NAN, holm
from fidrace.score.target_rule import sets_target, target_of
from fidrace.spec.study import BASELINE, Study
from fidrace.spec.task import Task

BUDGET_SHARE, EVALUATIONS = 0.4, 5  # of the task's budget, and in it: a grid of many cells is a screening
SETTINGS = ("lr", "batch", "schedule", "clip")
COLUMNS = (
    "task method lr batch schedule clip target pairs reached baseline_reached speedup ci_low ci_high bound p_value p_holm "
    "p_slower p_slower_holm verdict final_fd baseline_final_fd flags"
).split()
EFFECT_COLUMNS = "task method setting level against cells seeds ratio ci_low ci_high".split()

Row = dict[str, Any]


@dataclass(frozen=True)
class SettingResult:
    """A cell and its races to its target; `why_not`: in words, why nothing was measured there."""

    cell: Setting
    folder: Path
    races: RunTable | None
    why_not: str = ""


def shorten(task: Task, budget: bool) -> list[str]:
    """What makes a cell's runs short, as `--set` has it: fewer evaluations and, where it is asked for, a part of the budget."""
    iterations = round(BUDGET_SHARE * task.budget.iterations) if budget else task.budget.iterations
    evaluations = min(EVALUATIONS, task.budget.evaluations, iterations)
    return [f"budget.iterations={iterations}", f"budget.evaluations={evaluations}"]


def studies(base: Study, grid: Settings) -> dict[str, Study]:
    """One for each cell, by its home. Raises InputError where there is nothing to set beside the baseline."""
    if set(base.methods) == {BASELINE}:
        raise InputError("-m: a method is needed, to be set beside the baseline")
    how = "post hoc: the task's; fidrace analyze robustness sets one for each cell"
    return {cell.home: replace(base, task=cell.of(base.task), target_how=how) for cell in grid.cells}


def analyze_robustness(series: StudySeries, grid: Settings) -> Outcome:
    """Score every cell of a series that ran; a cell of which nothing can be said is named and keeps no other from it."""
    for race in series.runners.values():
        race.tabulate()  # a command that was killed may not have come to it
    study = next(iter(series.runners.values())).study
    methods = [method for method in study.methods if method != BASELINE]
    found = [score_setting(series.root / cell.home, cell) for cell in grid.cells]
    rows = [row_of(one, study.task.name, method) for method in methods for one in found]
    table = adjust_p_values(pd.DataFrame(rows, columns=pd.Index(COLUMNS)))
    changes = pd.DataFrame(
        [
            {"task": study.task.name, "method": method, **row}
            for method in methods
            for row in effects(found, grid, method, study.seeds)
        ],
        columns=pd.Index(EFFECT_COLUMNS),
    )
    notes = [f"{len(study.seeds)} seeds: an interval takes {MIN_PAIRS}"] if len(study.seeds) < MIN_PAIRS else []
    lines = [*findings(table, changes), *idle_clips(found), *notes]
    return Outcome({"robustness": table, "effects": changes}, picture(table, grid), lines)


def score_setting(folder: Path, cell: Setting) -> SettingResult:
    """The cell's races to its own target, or why there are none."""
    try:
        return SettingResult(cell, folder, read_run_table(folder, own_target(folder)))
    except (NothingToConclude, InputError) as error:
        return SettingResult(cell, folder, None, str(error).removeprefix(f"{folder}: "))


def own_target(folder: Path) -> float:
    """The protocol's rule for a target, by however many baseline runs there are. Raises NothingToConclude where it gives
    none that could be raced to."""
    curves = read_curves(folder)
    budget = read_rules(folder, curves, None).budget
    ended = [curve for curve in curves if sets_target(curve, budget)]
    if not ended:
        states = sorted(curve.status for curve in curves if curve.method == BASELINE)
        raise NothingToConclude(f"no baseline run came to its end ({', '.join(states) or 'there is none'})")
    return target_of(curves, budget, least=1)


def row_of(raced: SettingResult, task: str, method: str) -> Row:
    """A method's row of robustness.csv in one cell."""
    cell = raced.cell
    names = {
        "task": task,
        "method": method,
        "lr": cell.lr,
        "batch": cell.batch,
        "schedule": cell.schedule,
        "clip": cell.clipping,
    }
    if raced.races is None or method not in raced.races.methods:
        return {**names, "bound": "none", "verdict": NO_NUMBER, "flags": raced.why_not or "no run of it"}
    target = float(raced.races.rules.target)
    scores = score_folder(raced.folder, target)
    one = scores.speedups[(scores.speedups["method"] == method) & (scores.speedups["axis"] == "iterations")].iloc[0]
    finals = scores.leaderboard.set_index("method")["final_fd"]
    measured = {str(key): value for key, value in one.items() if key in COLUMNS}
    if pd.isna(measured["speedup"]):
        why = raced.races.compare(method, "iterations").why_nothing
        measured |= {"verdict": NO_NUMBER, "flags": "; ".join(filter(None, [why, str(measured["flags"])]))}
    return {
        **measured,
        **names,
        "p_slower": p_of_slower(measured),
        "final_fd": finals[method],
        "baseline_final_fd": finals[BASELINE],
    }


def p_of_slower(row: Row) -> float:
    """One-sided p of a factor below 1, from the same Student's t as its interval; 1 where the upper limit is open, NaN where
    there is no interval."""
    limit = float(row["ci_high"])
    if not np.isfinite(limit):
        return NAN if np.isnan(limit) else 1.0
    freedom = row["pairs"] - 1
    mean = np.log(row["speedup"])
    error = (np.log(limit) - mean) / stdtrit(freedom, 0.975)
    return float(stdtr(freedom, mean / error)) if error > 0 else float(mean >= 0)


def adjust_p_values(table: pd.DataFrame) -> pd.DataFrame:
    """With Holm's p over the cells of each method, for faster and for slower."""
    for method in table["method"].unique():
        where = table["method"] == method
        for p, into in (("p_value", "p_holm"), ("p_slower", "p_slower_holm")):
            table.loc[where, into] = holm(table.loc[where, p].to_numpy(float))
    return table


def effects(found: list[SettingResult], grid: Settings, method: str, seeds: tuple[int, ...]) -> list[Row]:
    """Rows of effects.csv: each level of a setting against the setting's first, and the factor over all cells (against 1)."""
    logs = {one.cell: log_factors(one, method, seeds) for one in found}
    sides = []
    for name in SETTINGS:
        first, *others = getattr(grid, name)
        for level in others:
            cells = [cell for cell in grid.cells if getattr(cell, name) == level]
            sides.append((name, level, first, cells, [replace(cell, **{name: first}) for cell in cells]))
    rows = [
        (name, level, first, effect(stack_log_factors(logs, cells), stack_log_factors(logs, against)))
        for name, level, first, cells, against in sides
    ]
    whole = stack_log_factors(logs, grid.cells)
    rows = [("all", "all cells", "baseline", effect(whole, np.zeros_like(whole))), *rows]
    return [
        {"setting": name, "level": NONE if level is None else level, "against": NONE if first is None else first, **vars(one)}
        for name, level, first, one in rows
        if one
    ]


def stack_log_factors(logs: dict[Setting, Floats], cells: list[Setting]) -> Floats:
    """d[S, C] of these cells."""
    return np.stack([logs[cell] for cell in cells], axis=1)


def log_factors(raced: SettingResult, method: str, seeds: tuple[int, ...]) -> Floats:
    """d[S] of a method in one cell; NaN where a run is missing or did not arrive."""
    if raced.races is None or method not in raced.races.methods:
        return np.full(len(seeds), np.nan)
    ours, theirs = (raced.races.costs(one, "iterations") for one in (method, BASELINE))
    arrived = {
        seed: np.log(theirs[seed].cost / ours[seed].cost)
        for seed in seeds
        if seed in ours and seed in theirs and not ours[seed].censored and not theirs[seed].censored
    }
    return np.array([arrived.get(seed, np.nan) for seed in seeds])


def idle_clips(found: list[SettingResult]) -> list[str]:
    """Which norms never bind: all baseline runs are to the last digit those without clipping."""
    races = {one.cell: one.races for one in found if one.races}
    told = []
    for clip in dict.fromkeys(cell.clip for cell in races if cell.clip is not None):
        pairs = [(races[cell], races.get(replace(cell, clip=None))) for cell in races if cell.clip == clip]
        known = [(one, other) for one, other in pairs if other]
        same = sum(same_baseline(one, other) for one, other in known)
        if same:
            told.append(f"clip {clip:g} never binds in {same} of {len(known)} cells: the baseline's runs are those without it")
    return told


def same_baseline(one: RunTable, other: RunTable) -> bool:
    """Whether the baseline's runs in two cells do not differ in one distance."""
    mine, theirs = one.usable[BASELINE], other.usable[BASELINE]
    return mine.keys() == theirs.keys() and all(mine[seed].equals(theirs[seed]) for seed in mine)
