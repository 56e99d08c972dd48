"""What tuning has found: for each method the trial that came to the target soonest, as `tuning.csv` records it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError, nearest
from fidrace.score.comparison import RunTable
from fidrace.score.leaderboard import final_fd, median_known, read_run_table
from fidrace.spec.tuning import FILE, Range, Trial, Tuning
from fidrace.spec.user_input import BASELINE
from fidrace.storage.manifest import read_manifest
from fidrace.storage.tables import write_table

COLUMNS = "method trial raced_as settings at_edge seeds reached iterations final_fd spent factor chosen".split()


def tabulate(folder: Path, trials: Sequence[Trial], ranges: Sequence[Range], seeds: Sequence[int]) -> pd.DataFrame:
    """A row for each trial, from its runs with `seeds` in `folder`, the same for all: settings whose value is the lowest or
    highest that was tried, how many runs came to the target, the geometric mean of their iterations, the median FD at the end,
    iterations spent, the factor over the baseline's best, and whether it is the method's best: the most runs that arrive, then
    the fewest iterations; if none arrives anywhere, the lowest final FD. Ties go to the earlier trial."""
    table = read_run_table(folder)
    rows = [row_of(table, trial, ranges, seeds) for trial in trials]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        min(own, key=rank)["chosen"] = "yes"
    (best,) = (row["iterations"] for row in rows if row["method"] == BASELINE and row["chosen"])
    values = np.array([trial.values for trial in trials])
    ends = np.stack([values.min(axis=0), values.max(axis=0)])
    for row, own_values in zip(rows, values, strict=True):
        row["factor"] = best / row["iterations"]
        row["at_edge"] = " ".join(one.key for one, at in zip(ranges, (own_values == ends).any(axis=0), strict=True) if at)
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def row_of(table: RunTable, trial: Trial, ranges: Sequence[Range], seeds: Sequence[int]) -> dict[str, Any]:
    found = table.costs(trial.raced_as, table.rules.unit)
    costs = [cost.cost for seed, cost in found.items() if seed in seeds and not cost.censored]
    runs = [curve for curve in table.curves if curve.method == trial.raced_as and curve.seed in seeds]
    settings = "; ".join(f"{one.key}={value:g}" for one, value in zip(ranges, trial.values, strict=True))
    return {
        "method": trial.method,
        "trial": trial.number,
        "raced_as": trial.raced_as,
        "settings": settings,
        "seeds": " ".join(str(curve.seed) for curve in runs),
        "reached": len(costs),
        "iterations": float(np.exp(np.mean(np.log(costs)))) if costs else math.nan,
        "final_fd": median_known([final_fd(curve, table.rules.budget) for curve in runs]),
        "spent": sum(float(curve.iteration[-1]) for curve in runs if len(curve.iteration)),
        "chosen": "",
    }  # and, by the other rows, at_edge and factor


def rank(row: dict[str, Any]) -> tuple[int, float, float]:
    cost, final = (math.inf if math.isnan(row[name]) else row[name] for name in ("iterations", "final_fd"))
    return -row["reached"], cost, final


def write_tuning(folder: Path, table: pd.DataFrame) -> Path:
    write_table(folder / FILE, [dict(zip(COLUMNS, row, strict=True)) for row in table.to_numpy()], COLUMNS)
    return folder / FILE


def read_tuning(folder: Path) -> Tuning:
    """What the table that `write_tuning` wrote has chosen, of the runs that study.json there declares. Raises InputError if
    there is none, or it is none."""
    path = folder / FILE
    try:
        table = pd.read_csv(path, dtype={"seeds": str, "chosen": str}).fillna({"chosen": "", "seeds": ""})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; `fidrace tune` writes it") from error
    chosen = table[table["chosen"] == "yes"] if table.columns.tolist() == COLUMNS else table[:0]
    names = dict(zip(chosen["method"], chosen["raced_as"], strict=True)) if len(chosen) else {}
    if BASELINE not in names or len(names) < len(chosen):
        raise InputError(f"{path}: not a table of `fidrace tune`, which chooses once for each method and the baseline")
    manifest = read_manifest(folder / "study.json")
    for name in names.values():
        if name not in manifest.methods:
            raise InputError(f"{path}: {name!r} was not tried there{nearest(name, manifest.methods)}")
    try:
        seeds = {int(seed) for cell in table["seeds"] for seed in str(cell).split()}
        trials = int(table["trial"].max()) + 1
        return Tuning(names, trials, tuple(sorted(seeds)), manifest.task, manifest.fixed_hash, manifest.target)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
