"""Robustness as tables, and the findings in words.

In files a setting is called a cell (of the grid of settings), and `setting` in effects.csv is the name of a hyperparameter.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from fidrace.analyses.robustness.effects import effect_rows
from fidrace.analyses.robustness.own_target import SettingResult
from fidrace.analyses.robustness.settings import Settings
from fidrace.score.comparison import RunTable
from fidrace.score.leaderboard import score_folder
from fidrace.score.speedups import NAN, holm
from fidrace.spec.user_input import BASELINE
from fidrace.storage.atomic import Row

COLUMNS = (
    "task method lr batch schedule clip target pairs reached baseline_reached speedup ci_low ci_high bound p_value p_holm "
    "p_slower p_slower_holm verdict final_fd baseline_final_fd flags"
).split()
EFFECT_COLUMNS = "task method setting level against cells seeds ratio ci_low ci_high".split()
NO_NUMBER = "no number"  # the verdict at a setting at which nothing can be measured; `flags` says why
SIGNIFICANT = 0.05


def setting_table(results: list[SettingResult], task: str, methods: list[str]) -> pd.DataFrame:
    """robustness.csv: one row per method and setting."""
    rows = [setting_row(result, task, method) for method in methods for result in results]
    return adjust_p_values(pd.DataFrame(rows, columns=pd.Index(COLUMNS)))


def effect_table(
    results: list[SettingResult], settings: Settings, task: str, methods: list[str], seeds: tuple[int, ...]
) -> pd.DataFrame:
    """effects.csv: for each method its factor over all settings, and one row per level of a hyperparameter after the first."""
    rows = [
        {"task": task, "method": method, **row} for method in methods for row in effect_rows(results, settings, method, seeds)
    ]
    return pd.DataFrame(rows, columns=pd.Index(EFFECT_COLUMNS))


def setting_row(result: SettingResult, task: str, method: str) -> Row:
    """A method's row of robustness.csv at one setting; the numbers are those of `fidrace score`."""
    setting = result.setting
    names = {
        "task": task,
        "method": method,
        "lr": setting.lr,
        "batch": setting.batch,
        "schedule": setting.schedule,
        "clip": setting.clipping,
    }
    if result.runs is None or not result.has(method):
        return {**names, "bound": "none", "verdict": NO_NUMBER, "flags": result.why_not or "no run of it"}
    scores = score_folder(result.folder, float(result.runs.rules.target))
    speedups = scores.speedups
    score = speedups[(speedups["method"] == method) & (speedups["axis"] == "iterations")].iloc[0]
    finals = scores.leaderboard.set_index("method")["final_fd"]
    measured = {str(key): value for key, value in score.items() if key in COLUMNS}
    if pd.isna(measured["speedup"]):
        why = result.runs.compare(method, "iterations").why_nothing
        measured |= {"verdict": NO_NUMBER, "flags": "; ".join(filter(None, [why, str(measured["flags"])]))}
    return {
        **measured,
        **names,
        "p_slower": p_of_slower(measured),
        "final_fd": finals[method],
        "baseline_final_fd": finals[BASELINE],
    }


def p_of_slower(row: Row) -> float:
    """One-sided p of a factor below 1, from the same Student's t as its interval; 1 if the upper limit is open, NaN without an
    interval."""
    limit = float(row["ci_high"])
    if not np.isfinite(limit):
        return NAN if np.isnan(limit) else 1.0
    freedom = row["pairs"] - 1
    mean = np.log(row["speedup"])
    error = (np.log(limit) - mean) / stdtrit(freedom, 0.975)
    return float(stdtr(freedom, mean / error)) if error > 0 else float(mean >= 0)


def adjust_p_values(table: pd.DataFrame) -> pd.DataFrame:
    """Add Holm's p over the settings of each method, for faster and for slower."""
    for method in table["method"].unique():
        own = table["method"] == method
        for p, adjusted in (("p_value", "p_holm"), ("p_slower", "p_slower_holm")):
            table.loc[own, adjusted] = holm(table.loc[own, p].to_numpy(float))
    return table


def findings(table: pd.DataFrame, effects: pd.DataFrame) -> list[str]:
    """For each method: at how many settings it is faster, slower or neither; where most and least; what each hyperparameter
    changes; and where nothing can be measured."""
    lines = []
    for method, rows in table.groupby("method", sort=False):
        lines.append(f"{method}: {count_verdicts(rows)}")
        points = rows[rows["bound"] == "="].sort_values("speedup", ascending=False, kind="stable")
        if len(points):
            lines.append(f"{method}: largest {format_place(points.iloc[0])}; least {format_place(points.iloc[-1])}")
        lines += [f"{method}: {format_effect(row)}" for _, row in effects[effects["method"] == method].iterrows()]
        silent = rows[rows["verdict"] == NO_NUMBER]
        lines += [f"{method}: no number at {format_setting(row)}: {row['flags']}" for _, row in silent.iterrows()]
    return lines


def count_verdicts(rows: pd.DataFrame) -> str:
    """The verdicts of one method's rows, counted."""
    verdicts = rows["verdict"].value_counts()
    same = f", {verdicts['identical']} identical" if "identical" in verdicts else ""
    none = f", {verdicts[NO_NUMBER]} without a number" if NO_NUMBER in verdicts else ""
    return (
        f"faster in {verdicts.get('faster', 0)}, slower in {verdicts.get('slower', 0)} of {len(rows)} cells, no difference "
        f"shown in {verdicts.get('no difference shown', 0)}{same}{none} (95 % intervals); after Holm's adjustment over the "
        f"cells faster in {(rows['p_holm'] < SIGNIFICANT).sum()}, slower in {(rows['p_slower_holm'] < SIGNIFICANT).sum()}"
    )


def format_setting(row: "pd.Series[Any]") -> str:
    return f"lr {row['lr']:g}, batch {row['batch']}, {row['schedule']}, clip {row['clip']}"


def format_interval(row: "pd.Series[Any]") -> str:
    """`0.90 to 0.98`, with `inf` for an open limit."""
    return "no interval" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.2f} to {row['ci_high']:.2f}"


def format_place(row: "pd.Series[Any]") -> str:
    """A row of robustness.csv: the factor and its setting."""
    return f"{row['speedup']:.2f}x ({format_interval(row)}) at {format_setting(row)}"


def format_effect(row: "pd.Series[Any]") -> str:
    """A row of effects.csv."""
    cells = "cells" if row["setting"] == "all" else "pairs of cells"
    over = f"({format_interval(row)}; {row['cells']} {cells}, {row['seeds']} seeds)"
    if row["setting"] == "all":
        return f"over the cells in which all runs arrive, {row['ratio']:.2f}x {over}"
    return f"{row['setting']} {row['level']} against {row['against']} multiplies the factor by {row['ratio']:.2f} {over}"


def idle_clip_lines(results: list[SettingResult]) -> list[str]:
    """The norms that never bind: at them all baseline runs equal those without clipping, to the last digit."""
    tables = {result.setting: result.runs for result in results if result.runs}
    lines = []
    for clip in dict.fromkeys(setting.clip for setting in tables if setting.clip is not None):
        clipped = [setting for setting in tables if setting.clip == clip and replace(setting, clip=None) in tables]
        same = sum(same_baseline(tables[setting], tables[replace(setting, clip=None)]) for setting in clipped)
        if same:
            lines.append(
                f"clip {clip:g} never binds in {same} of {len(clipped)} cells: the baseline's runs are those without it"
            )
    return lines


def same_baseline(one: RunTable, other: RunTable) -> bool:
    """True if the baseline has the same seeds and distances at two settings."""
    mine, theirs = one.usable[BASELINE], other.usable[BASELINE]
    return mine.keys() == theirs.keys() and all(mine[seed].equals(theirs[seed]) for seed in mine)
