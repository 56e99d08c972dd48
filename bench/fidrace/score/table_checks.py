"""What a table of runs must hold before it is scored: names, numbers, one way of measuring, one row for an evaluation."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError
from fidrace.score.columns import DESCRIPTIONS, DISTANCES, PROGRESS, find_column
from fidrace.score.csv_table import CsvTable
from fidrace.score.curves import AXES, NO_SEED
from fidrace.storage.tables import refuse_name

LARGEST = 1e18  # no measurement is larger, and larger values would overflow
RUN = ["task", "method", "seed"]


def name_of(row: Any) -> str:
    """How messages call a run."""
    return str(row["method"]) + (f" seed {row['seed']:g}" if row["seed"] != NO_SEED else "")


def check_grouping(file: CsvTable, progress: str, distance: str) -> None:
    """Raise InputError if 1.000 may be one or a thousand: points between groups of three digits, and nothing that tells."""
    if file.separator != ";":
        return
    column = distance if file.decimal_comma else progress
    cells = file.cells(column)
    grouped = cells[cells.str.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+")]
    if (
        len(grouped)
        and not cells.str.contains(",").any()
        and not cells.str.fullmatch(r"\d*\.(\d{1,2}|\d{4,})|\d{4,}\.\d*").any()
    ):
        row = grouped.index[0]
        where = f"{file.path}: line {file.line(row)}: {column} is {grouped[row]}"
        raise InputError(f"{where}: a thousand or a fraction? Write it without points between thousands")


def check_values(file: CsvTable, evals: pd.DataFrame, progress: str, distance: str) -> None:
    """Raise InputError for an invalid name or number."""
    path = file.path
    for column in ("task", "method"):
        for name in evals[column].unique():
            refuse_name(path, column, name)
    if metric := find_column(file.table.columns, ["metric"]):
        for name in file.words(metric).unique():
            if name:
                refuse_name(path, "metric", name)
    counts, fd = evals["iteration"], evals["fd"]
    for row in evals.index[counts.isna() | np.isinf(counts) | (counts < 0)]:
        others = [name for name in file.table.columns if name.lower() in PROGRESS and name != progress]
        mixed = next((name for name in others if str(file.table[name][row]) not in ("", "nan")), None)
        why = f", and {mixed} is {file.table[mixed][row]}: convert all rows to one unit" if mixed else ""
        shown = "blank" if np.isnan(counts[row]) else f"{counts[row]:g}"
        raise InputError(f"{path}: line {file.line(row)}: {progress} is {shown}{why}")
    for column in ("fd", *AXES.values()):
        for row in evals.index[evals[column].abs().between(LARGEST, float("inf"), inclusive="left")]:
            name = distance if column == "fd" else progress if column == "iteration" else column
            raise InputError(f"{path}: line {file.line(row)}: {name} = {evals[column][row]:g} is too large to be a measurement")
    for row in evals.index[fd < 0]:
        raise InputError(f"{path}: line {file.line(row)}: {name_of(evals.loc[row])} has a distance below 0 ({fd[row]:g})")


def check_descriptions(
    file: CsvTable, rows: pd.DataFrame, columns: Sequence[str] = DESCRIPTIONS, remedy: str = ""
) -> dict[str, str]:
    """How distances were measured, by the columns that tell. Raises InputError if those of one task were measured in different
    ways."""
    described = {}
    for wanted in columns:
        column = find_column(file.table.columns, [wanted])
        if column is None:
            continue
        cells = file.words(column)
        cells = cells[cells != ""].pipe(lambda told: told.map({text: in_one_form(text) for text in told.unique()}))
        if cells.nunique() > 3 and counts_training(pd.to_numeric(cells, errors="coerce"), rows):
            continue
        for _, group in cells.groupby(rows["task"]):
            other = group[group != group.iloc[0]].head(1)
            for row in other.index:
                (one, first), (two, second) = ((name_of(rows.loc[at]), file.line(at)) for at in (group.index[0], row))
                raise InputError(
                    f"{file.path}: {column} is {group.iloc[0]} for {one} (line {first}) and {other[row]} for {two} (line "
                    f"{second}): such distances do not compare{remedy}"
                )

        if len(cells):
            described[wanted] = str(cells.iloc[0])
    return described


def in_one_form(text: str) -> str:
    """`text` so that equal values are equal: 50000 and 50000.0, FID and fid."""
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text.lower()


def counts_training(cells: "pd.Series[Any]", evals: pd.DataFrame) -> bool:
    """True if a column grows with every evaluation of every run."""
    if "iteration" not in evals:
        return False
    ordered = evals.assign(cells=cells).sort_values([*RUN, "iteration"])
    return bool((ordered.groupby(RUN)["cells"].diff().dropna() > 0).all() and ordered["cells"].notna().all())


def check_twice(file: CsvTable, evals: pd.DataFrame, progress: str) -> None:
    """Raise InputError, with the lines, if two rows are of one run and one evaluation."""
    key = [*RUN, "iteration"]
    twice = evals.duplicated(key, keep=False)
    for _, rows in evals[twice].groupby(key, sort=False):
        one, other = rows.index[:2]
        cells = [file.table.loc[row] for row in (one, other)]
        differs = [name for name in file.table.columns if cells[0][name] != cells[1][name] and name.lower() not in DISTANCES]
        lines = f"lines {file.line(one)} and {file.line(other)}"
        what = f"two different rows for {name_of(rows.iloc[0])} at {progress} {rows['iteration'].iloc[0]:g} ({lines})"
        told = (
            f"; they differ in {', '.join(differs[:3])}: call such a column task, or leave one of the runs out"
            if differs
            else ""
        )
        if rows["seed"].iloc[0] == NO_SEED and not differs:
            told = "; if they are of two runs, tell them apart in a column seed"
        raise InputError(f"{file.path}: {what}{told}; of a log that was restarted keep the later rows")


def disorder(file: CsvTable, evals: pd.DataFrame) -> Iterator[str]:
    """A remark if the rows of a run are not in the order of its training."""
    falls = evals.groupby(RUN, sort=False)["iteration"].diff() < 0
    for row in evals.index[falls][:1]:
        runs = evals[falls].drop_duplicates(RUN)
        more = f" (and of {len(runs) - 1} more runs)" if len(runs) > 1 else ""
        yield (
            f"{file.path}: the rows of {name_of(evals.loc[row])}{more} are not in the order of training, first on line "
            f"{file.line(row)}; they were sorted. If its log was restarted there, keep one of the two histories"
        )


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
            raise InputError(f"{path}: {what} ({column}) between {name_of(first)} and {name_of(other)}: they do not compare")
