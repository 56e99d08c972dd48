"""runs.csv and evals.csv, of fidrace or of others, as curves. A method, a count of training and a distance are enough."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError, nearest
from fidrace.score.columns import (
    DESCRIPTIONS,
    DISTANCES,
    FACTS,
    MORE_FACTS,
    PROGRESS,
    check_columns,
    find_column,
    progress_column,
)
from fidrace.score.csv_table import CsvTable, read_csv_table
from fidrace.score.curves import AXES, GUARDS, NO_SEED, Curve
from fidrace.score.table_checks import (
    RUN,
    check_descriptions,
    check_grouping,
    check_twice,
    check_unique,
    check_values,
    disorder,
    name_of,
)
from fidrace.storage.imports import read_imports
from fidrace.storage.tables import GRADIENT, RUN_COLUMNS, STATUSES, refuse_name

EXACT = 2.0**53  # whole numbers beyond are not exact
UNNAMED = "task"  # of tables that do not name their task
RUN_NUMBERS = {*"seed iterations images forwards train_seconds eval_seconds threads precision_ceiling recall_ceiling".split()}
TEXT = {
    "runs.csv": {*RUN_COLUMNS, "imported", *FACTS, *MORE_FACTS} - RUN_NUMBERS,
    "evals.csv": {"task", *DESCRIPTIONS} - {"n"} | {"method"},
}


@dataclass(frozen=True)
class Tables:
    """The runs of a folder: their curves, what training is counted in, the metric's name, whether fidrace's own loop made all
    of them, so that equal seeds share their chances, remarks on how the tables were read, and what they say of how distances
    were measured."""

    curves: list[Curve]
    unit: str
    metric: str
    ours: bool
    remarks: tuple[str, ...]
    described: dict[str, str] = field(default_factory=dict)


def read_curves(folder: Path) -> list[Curve]:
    """All runs of the tables in `folder`; raises as `read_tables` does."""
    return read_tables(folder).curves


def read_tables(folder: Path, unit: str | None = None) -> Tables:
    """All runs in `folder`; failed runs may have no evaluations. Without runs.csv every run counts as finished. Raises
    InputError for tables that cannot be read, mix distances or fixed parts, or contradict themselves."""
    others = sorted(path.name for path in folder.glob("*.csv") if path.name != "runs.csv") if folder.is_dir() else []
    if others and "evals.csv" not in others:
        raise InputError(f"{folder / 'evals.csv'}: no such file; if it is {others[0]}, give it this name")
    # evals.csv first: a study at work writes it last, so every evaluation then has its run
    file = read_csv_table(folder / "evals.csv", TEXT["evals.csv"])
    evals, unit, metric, described = read_evaluations(file, unit)
    runs, runs_remarks, declared = read_runs(folder, evals)
    ours = (folder / "study.json").exists() or ("config_hash" in runs and bool((runs["config_hash"] != "").all()))
    if not ours:
        evals = without_blanks(file, evals)
    for column, key in (("config_hash", ["task"]), ("method_hash", ["task", "method"])):
        check_unique(folder / "runs.csv", runs, column, key)
    remarks = [*file.remarks, *runs_remarks, *disorder(file, evals)]
    curves = make_curves(runs, evals, unit)
    return Tables(curves, unit, metric, ours, tuple(remarks), described | declared)


def read_evaluations(file: CsvTable, unit: str | None) -> tuple[pd.DataFrame, str, str, dict[str, str]]:
    """evals.csv with fidrace's names of columns, its unit, its metric, and what it says of how distances were measured."""
    path, table = file.path, file.table
    names = [*table.columns]
    method, distance = find_column(names, ["method"]), find_column(names, DISTANCES)
    progress, unit = progress_column(path, names, unit)
    check_columns(path, names, method, progress, distance)
    assert method is not None
    assert progress is not None
    assert distance is not None
    wanted = {"iteration": progress, "fd": distance, "seed": "seed", "fd_se": "fd_se", **{guard: guard for guard in GUARDS}}
    wanted |= {column: column for column in (*AXES.values(), *GRADIENT) if column != "iteration"}
    found = {ours: column for ours, theirs in wanted.items() if (column := find_column(names, [theirs]))}
    evals = pd.DataFrame({ours: file.numbers(column) for ours, column in found.items()})
    if "images" not in evals and (other := next((name for name in names if scale_of(name)), None)):
        evals["images"] = scale_of(other) * file.numbers(other)
    if PROGRESS.get(progress.lower(), ("", 0.0))[1]:
        evals = evals.drop(columns="images", errors="ignore")  # the same count again
    for column in AXES.values():
        if column not in evals:
            evals[column] = np.nan
    evals["method"] = file.words(method)
    evals["task"] = file.words(column) if (column := find_column(names, ["task"])) else UNNAMED
    evals["seed"] = seeds_of(file, evals)
    check_grouping(file, progress, distance)
    check_values(file, evals, progress, distance)
    described = check_descriptions(file, evals)
    if evals.duplicated([*RUN, "iteration"]).any():  # whole rows, which takes longer to find out
        evals = evals[~table.duplicated()]
    check_twice(file, evals, progress)
    metric = described.pop("metric", "") or distance
    return evals, unit, metric.lower() if metric == distance else metric, described


def without_blanks(file: CsvTable, evals: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of a table that fidrace did not make: a blank distance is a row of a training log. (fidrace leaves
    distances blank that are not finite.) Raises InputError for a distance of 0, which no measurement gives."""
    for row in evals.index[evals["fd"] == 0]:
        run = name_of(evals.loc[row])
        raise InputError(f"{file.path}: line {file.line(row)}: {run} has the distance 0; leave blank what was not measured")
    if not evals["fd"].isna().any():
        return evals
    distance = find_column(file.table.columns, DISTANCES)
    assert distance is not None
    return evals[evals["fd"].notna() | (file.cells(distance).reindex(evals.index) != "")]


def seeds_of(file: CsvTable, table: pd.DataFrame) -> "pd.Series[Any]":
    """The seeds of a table, NO_SEED where they are blank; raises InputError for what is no seed."""
    if "seed" not in table:
        return pd.Series(float(NO_SEED), table.index)
    seeds = table["seed"]
    for row in table.index[seeds.abs() > EXACT]:
        raise InputError(
            f"{file.path}: line {file.line(row)}: seed {seeds[row]:g} is too large to be told apart; number the runs"
        )
    for row in table.index[(seeds % 1 != 0) & seeds.notna() | (seeds < 0)]:
        raise InputError(f"{file.path}: line {file.line(row)}: a seed is a whole number from 0 or blank, not {seeds[row]:g}")
    return seeds.fillna(NO_SEED)


def scale_of(column: str) -> float:
    """The images that one of a column's counts stands for; 0 if it does not count images."""
    return PROGRESS.get(column.lower(), ("", 0.0))[1]


def read_runs(folder: Path, evals: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...], dict[str, str]]:
    """runs.csv, or if there is none a row for every run of evals.csv, remarks on how it was read, and what it declares of how
    distances were measured."""
    path = folder / "runs.csv"
    if not path.exists() and not (folder / "study.json").exists():
        return evals[RUN].drop_duplicates().assign(status="finished"), (), {}
    file = read_csv_table(path, TEXT["runs.csv"])
    for column in ("method", "status"):
        if column not in file.table:
            raise InputError(f"{path}: no column {column!r} (it has {', '.join(file.table.columns[:8])})")
    numbers = {column: file.numbers(column) for column in RUN_NUMBERS & {*file.table.columns}}
    runs = file.table.assign(**numbers).drop_duplicates()
    if "task" not in runs:
        tasks = evals["task"].unique()
        runs["task"] = tasks[0] if len(tasks) == 1 else UNNAMED
    runs["seed"] = seeds_of(file, runs)
    for column in {"task", "method"} & {*file.table.columns}:
        runs[column] = file.words(column)
    for status in set(runs["status"]) - {*STATUSES}:
        raise InputError(f"{path}: unknown status {status!r}{nearest(status, STATUSES)}")
    for column in ("task", "method"):
        for name in runs[column].unique():
            refuse_name(path, column, name)
    for row in runs.index[runs.duplicated(RUN)]:
        run = name_of(runs.loc[row])
        raise InputError(f"{path}: line {file.line(row)}: two different rows for {run}")
    known = set(runs[RUN].itertuples(index=False, name=None))
    for run_of_rows in evals[RUN].drop_duplicates().itertuples(index=False, name=None):
        if run_of_rows not in known:
            name = name_of(dict(zip(RUN, run_of_rows, strict=True)))
            raise InputError(f"{folder / 'evals.csv'}: {name} has no row in runs.csv")
    facts = [fact for fact in (*FACTS, *MORE_FACTS) if fact not in read_imports(folder).allow]
    declared = check_descriptions(file, runs, facts, "; --allow FACT imports them side by side, with a note")
    return runs, file.remarks, declared


def make_curves(runs: pd.DataFrame, evals: pd.DataFrame, unit: str) -> list[Curve]:
    """The curve of each run in `runs`, in order of task, method and seed."""
    evals = evals.sort_values([*RUN, "iteration"], kind="stable")
    columns = {
        name: evals[name].to_numpy(float) for name in (*AXES.values(), *GUARDS, *GRADIENT, "fd", "fd_se") if name in evals
    }
    places = {run: slice(rows[0], rows[-1] + 1) for run, rows in evals.groupby(RUN, sort=False).indices.items()}
    curves = []
    for row in sorted(runs.to_dict("records"), key=lambda row: [row[name] for name in RUN]):
        place = places.get(tuple(row[name] for name in RUN), slice(0))
        own = {name: values[place] for name, values in columns.items()}
        fd, se = own.pop("fd"), own.pop("fd_se", np.full(len(own["iteration"]), np.nan))
        about = {str(name): value for name, value in row.items()}
        curves.append(Curve(row["task"], row["method"], int(row["seed"]), row["status"], own, fd, se, about, unit))
    return curves
