"""Curves: the evaluations of each run in runs.csv and evals.csv, in order of iteration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError, nearest
from fidrace.method.base import Floats
from fidrace.storage.tables import BINS, GPU_HOURS, STATUSES, read_table, refuse_name

GUARDS = ("precision", "recall", "memorised", "val_loss", *(f"val_loss_bin{k}" for k in range(BINS)))
AXES = {"iterations": "iteration", "images": "images", "seconds": "train_seconds", "forwards": "forwards"}
LARGEST = 1e18  # no measurement is larger, and larger values would overflow
RUN = ["task", "method", "seed"]
RUNS_NEEDED = [*RUN, "status"]
EVALS_NEEDED = [*RUN, "metric", "fd", *AXES.values()]


@dataclass(frozen=True)
class Curve:
    """One run of E evaluations: fd[E], its standard error se[E], and columns[E] by name (all axes, and the guards that were
    measured); `about` is its row of runs.csv."""

    task: str
    method: str
    seed: int
    status: str
    columns: dict[str, Floats]
    fd: Floats
    se: Floats
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def iteration(self) -> Floats:
        return self.columns["iteration"]

    @property
    def config_hash(self) -> str:
        """The hash of the fixed part; empty if runs.csv does not have it."""
        return str(self.about.get("config_hash", ""))

    @property
    def timed_out(self) -> bool:
        """True if the limit of GPU-hours ended the run before its last iteration."""
        return self.about.get("ended_by") == GPU_HOURS and len(self.iteration) > 1

    def within(self, budget: float) -> float:
        """The run's own budget in iterations: for a run that was ended by its GPU-hours the last evaluation but one, because
        the last one only confirms."""
        return min(budget, float(self.iteration[-2])) if self.timed_out else budget

    def ends_by(self, budget: float) -> bool:
        """True if its evaluations reach its budget; otherwise a finished run has lost rows."""
        return bool(len(self.fd) and self.iteration[-1] >= self.within(budget))

    @property
    def never_trained(self) -> bool:
        """True if no evaluation comes after iteration 0."""
        return not len(self.iteration) or self.iteration[-1] == 0

    def equals(self, other: "Curve") -> bool:
        """True if both have the same distances at the same iterations, and at least one."""
        return (
            len(self.fd) > 0
            and np.array_equal(self.iteration, other.iteration)
            and np.array_equal(self.fd, other.fd, equal_nan=True)
        )

    def at_budget(self, axis: str, budget: float) -> float:
        """The cost of the budget on an axis, extrapolated from the last evaluation of a run that ended before it; NaN if no
        evaluation comes after iteration 0."""
        x, budget = self.columns[AXES[axis]], self.within(budget)
        if axis == "iterations":
            return float(budget)
        if len(x) and budget <= self.iteration[-1]:
            return float(np.interp(budget, self.iteration, x))
        return float("nan") if self.never_trained else float(x[-1] / self.iteration[-1] * budget)


def longest_runs(curves: Sequence[Curve]) -> list[Curve]:
    """The runs with the most evaluations, over which medians are taken; empty if no run has any."""
    most = max((len(curve.fd) for curve in curves), default=0)
    return [curve for curve in curves if len(curve.fd) == most > 0]


def check_axis(axis: str) -> str:
    """`axis`, if there is one of that name; else raises InputError."""
    if axis not in AXES:
        raise InputError(f"unknown axis {axis!r} (choices: {', '.join(AXES)})")
    return axis


def redundant_axes(curves: Sequence[Curve]) -> tuple[str, ...]:
    """The axes, images or forwards, that are one constant multiple of the iteration at every evaluation of every run. Factors
    on them repeat those in iterations."""
    iteration = np.concatenate([curve.iteration for curve in curves]) if curves else np.array([])
    trained = iteration > 0

    def is_redundant(axis: str) -> bool:
        cost = np.concatenate([curve.columns[AXES[axis]] for curve in curves])
        ratio = cost[trained] / iteration[trained]
        return bool((cost[~trained] == 0).all() and (ratio > 0).all() and np.allclose(ratio, ratio[0], rtol=1e-9, atol=0))

    return tuple(axis for axis in ("images", "forwards") if trained.any() and is_redundant(axis))


def read_curves(folder: Path) -> list[Curve]:
    """All runs of the tables in `folder`; failed runs may have no evaluations. Raises InputError for tables that cannot be
    read, mix metrics or fixed parts, or contradict themselves."""
    if not (folder / "runs.csv").exists():
        raise InputError(f"{folder / 'runs.csv'}: no such file")
    # evals.csv first: a study at work writes it last, so every evaluation then has its run
    evals = read_table(folder / "evals.csv", EVALS_NEEDED).drop_duplicates()
    runs = read_table(folder / "runs.csv", RUNS_NEEDED).drop_duplicates()
    for names in evals.groupby("task")["metric"].unique():
        if len(names) > 1:
            raise InputError(f"{folder / 'evals.csv'}: one task, two metrics ({', '.join(names)}): they do not compare")
    for table, key, file in ((runs, RUN, "runs.csv"), (evals, [*RUN, "iteration"], "evals.csv")):
        twice = table[table.duplicated(key)]
        if len(twice):
            where = ", ".join(f"{name} {value}" for name, value in zip(key, twice.iloc[0][key], strict=True))
            raise InputError(f"{folder / file}: two different rows for {where}")
        if table[key].isna().any().any() or (table["seed"] % 1 != 0).any():
            raise InputError(f"{folder / file}: a seed or iteration is blank, or a seed is no whole number")
    check_rows(folder, runs, evals)
    for column, key in (("config_hash", ["task"]), ("method_hash", ["task", "method"])):
        check_unique(folder / "runs.csv", runs, column, key)
    groups = {key: group.sort_values("iteration") for key, group in evals.groupby(RUN)}
    records = sorted(runs.to_dict("records"), key=lambda row: [row[name] for name in RUN])
    return [curve_of(row, groups.get(tuple(row[name] for name in RUN), evals.iloc[:0])) for row in records]


def check_rows(folder: Path, runs: pd.DataFrame, evals: pd.DataFrame) -> None:
    """Raise InputError for an invalid name, status or number, a distance below 0, or evaluations of a run that runs.csv does
    not list."""
    for table, columns, file in ((runs, ("task", "method"), "runs.csv"), (evals, ("task", "method", "metric"), "evals.csv")):
        for column in columns:
            for name in table[column].unique():
                refuse_name(folder / file, column, name)
    for status in set(runs["status"]) - {*STATUSES}:
        raise InputError(f"{folder / 'runs.csv'}: unknown status {status!r}{nearest(status, STATUSES)}")
    for column in ("fd", *AXES.values()):
        for value in evals[column][evals[column].abs().between(LARGEST, float("inf"), inclusive="left")].head(1):
            raise InputError(f"{folder / 'evals.csv'}: {column} = {value:g} is too large to be a measurement")
    for _, row in evals[evals["fd"] < 0].head(1).iterrows():
        raise InputError(f"{folder / 'evals.csv'}: {row['method']} seed {row['seed']} has a distance below 0 ({row['fd']:g})")
    known = set(runs[RUN].itertuples(index=False, name=None))
    for task, method, seed in set(evals[RUN].itertuples(index=False, name=None)) - known:
        raise InputError(f"{folder / 'evals.csv'}: {task}, {method} seed {seed:g} has no row in runs.csv")


def check_unique(path: Path, runs: pd.DataFrame, column: str, key: list[str]) -> None:
    """Raise InputError if runs that share `key` differ in `column`: one table never mixes two fixed parts, or two versions of
    a method's code."""
    if column not in runs:
        return
    for _, group in runs[runs[column] != ""].groupby(key):
        if group[column].nunique() > 1:
            first = group.iloc[0]
            other = group[group[column] != first[column]].iloc[0]
            what = "fixed parts differ" if column == "config_hash" else "the method's code differs"
            raise InputError(
                f"{path}: {what} ({column}) between {first['method']} seed {first['seed']} and {other['method']} seed "
                f"{other['seed']}: they do not compare"
            )


def curve_of(row: dict[Any, Any], evals: pd.DataFrame) -> Curve:
    """The curve of one run, from its row of runs.csv and its rows of evals.csv."""
    columns = {name: evals[name].to_numpy(float) for name in (*AXES.values(), *GUARDS) if name in evals}
    se = evals["fd_se"].to_numpy(float) if "fd_se" in evals else np.full(len(evals), np.nan)
    fd, about = evals["fd"].to_numpy(float), {str(name): value for name, value in row.items()}
    identity = row["task"], row["method"], int(row["seed"]), row["status"]
    return Curve(*identity, columns, fd, se, about)
