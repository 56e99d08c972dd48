"""Curves: what runs.csv and evals.csv say of each run, in order of iteration."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.store import read_table
from methods.base import Floats, InputError

AXES = {"iterations": "iteration", "images": "images", "seconds": "train_seconds", "forwards": "forwards"}
RUNS_NEEDED = ["task", "method", "seed", "status"]
EVALS_NEEDED = ["task", "method", "seed", "metric", "fd", *AXES.values()]


@dataclass(frozen=True)
class Curve:
    """One run: columns[E] by name (the axes' among them), fd[E] and its standard error se[E], over E evaluations."""

    task: str
    method: str
    seed: int
    status: str
    columns: dict[str, Floats]
    fd: Floats
    se: Floats

    @property
    def iteration(self) -> Floats:
        return self.columns["iteration"]

    def ends_by(self, budget: float) -> bool:
        """Whether its evaluations reach the budget; a finished run whose do not has lost rows."""
        return bool(len(self.fd) and self.iteration[-1] >= budget)

    def at_budget(self, axis: str, budget: float) -> float:
        """The axis at the budget; for a run that ended before it, in proportion to its last evaluation."""
        x = self.columns[AXES[axis]]
        if budget <= self.iteration[-1]:
            return float(np.interp(budget, self.iteration, x))
        return float(x[-1] / self.iteration[-1] * budget) if self.iteration[-1] > 0 else float("nan")


def read_curves(folder: Path) -> list[Curve]:
    """All runs of the tables in `folder`, failed ones with no evaluations; raises InputError where the tables are not
    those of one metric, or contradict themselves."""
    runs = read_table(folder / "runs.csv", RUNS_NEEDED).drop_duplicates()
    evals = read_table(folder / "evals.csv", EVALS_NEEDED).drop_duplicates()
    for names in evals.groupby("task")["metric"].unique():
        if len(names) > 1:
            raise InputError(f"{folder / 'evals.csv'}: one task, two metrics ({', '.join(names)}): they do not compare")
    run = ["task", "method", "seed"]
    for table, key, file in ((runs, run, "runs.csv"), (evals, [*run, "iteration"], "evals.csv")):
        twice = table[table.duplicated(key)]
        if len(twice):
            where = ", ".join(f"{name} {value}" for name, value in zip(key, twice.iloc[0][key], strict=True))
            raise InputError(f"{folder / file}: two different rows for {where}")
        if table[key].isna().any().any() or (table["seed"] % 1 != 0).any():
            raise InputError(f"{folder / file}: a seed or iteration is blank, or a seed is no whole number")
    groups = {key: group.sort_values("iteration") for key, group in evals.groupby(run)}
    return [
        curve_of(*key, status=str(status), rows=groups.get(key, evals.iloc[:0]))
        for key, status in sorted(zip(runs[run].itertuples(index=False, name=None), runs["status"], strict=True))
    ]


def curve_of(task: str, method: str, seed: int, *, status: str, rows: pd.DataFrame) -> Curve:
    columns = {name: rows[name].to_numpy(float) for name in AXES.values()}
    se = rows["fd_se"].to_numpy(float) if "fd_se" in rows else np.full(len(rows), np.nan)
    return Curve(task, method, int(seed), status, columns, rows["fd"].to_numpy(float), se)
