"""Tables and records as evaluations: which column counts training, which holds distances, which tell more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError, nearest
from fidrace.readers.log import RUN, Evaluation, Wanted, kind_of
from fidrace.score.columns import DISTANCES, FACT_COLUMNS, ITERATIONS, PROGRESS, find_column
from fidrace.score.csv_table import CsvTable
from fidrace.score.table_checks import check_grouping

# Further columns that evals.csv takes, by the names that programs give them.
MORE = {
    "train_seconds": ("train_seconds", "seconds"),
    "images": ("images", "nimg"),
    "precision": ("precision",),
    "recall": ("recall",),
    "kid": ("kid",),
}
TASK = "task"  # a column that tells rows apart as --where does: one run is of one task
OURS = ("method", "seed", *DISTANCES, *(name for names in MORE.values() for name in names), *PROGRESS)  # for --columns


@dataclass(frozen=True)
class Choice:
    """The columns of a table that are read: what counts training and in which unit, the distances (the name of the method that
    each belongs to, '' if a column tells), and others by our name for them."""

    unit: str
    progress: str
    distances: dict[str, str]
    others: dict[str, str]

    @property
    def metric(self) -> str:
        """The name of the distance."""
        return kind_of(self.distances[""]) if "" in self.distances else "fid"


def choose_columns(names: Sequence[str], wanted: Wanted, where: str) -> Choice:
    """The columns to read of those with `names`; raises InputError, naming all that is missing. `where`: the file."""
    check_wanted(names, wanted, where)
    given = {ours.lower(): theirs for ours, theirs in wanted.columns.items()}
    said = wanted.unit_and_column()
    progress = said[1] if said else find_column(names, PROGRESS)
    unit = said[0] if said else PROGRESS[progress.lower()][0] if progress else ITERATIONS
    called = [name for name in names if name.lower() in DISTANCES]
    if len(called) > 1 and not wanted.distance and not wanted.wide:
        raise InputError(
            f"{where}: {len(called)} columns of distances ({', '.join(called)}); say which with --columns fid=NAME"
        )
    one = wanted.distance or next(iter(called), "")
    distances = {column: column for column in wanted.wide} if wanted.wide else {"": one} if one else {}
    if progress is None or not distances:
        lacking = [word for word, found in (("training", progress), ("distances", distances)) if not found]
        raise InputError(
            f"{where}: no column is known to hold {' and '.join(lacking)}; say which with --columns "
            f"{','.join({'training': 'step=NAME', 'distances': 'fid=NAME'}[word] for word in lacking)} (it has "
            f"{', '.join(names[:12])})"
        )
    others = {
        ours: column
        for ours, theirs in {"method": ("method",), "seed": ("seed",), **MORE}.items()
        if (column := next((given[name] for name in theirs if name in given), "") or find_column(names, theirs)) != progress
        and column
    }
    if wanted.wide:
        others.pop("method", None)
    return Choice(unit, progress, distances, others)


def check_wanted(names: Sequence[str], wanted: Wanted, where: str) -> None:
    """Raise InputError for a column that is not there, or that is given two meanings."""
    where_too = [name for name in wanted.where if name not in (RUN, TASK, *FACT_COLUMNS)]
    columns = [*wanted.columns.values(), *where_too, *wanted.wide]
    for ours in wanted.columns:
        if ours.lower() not in OURS:
            raise InputError(f"--columns {ours}: not a column of ours{nearest(ours, OURS)}")
    for column in columns:
        if column not in names:
            raise InputError(f"{where}: no column {column!r}{nearest(column, names)}")
    read = [*wanted.columns.values(), *wanted.wide]
    for column in read:
        if read.count(column) > 1:
            raise InputError(f"the column {column!r} is given twice")
    distances = [ours for ours in wanted.columns if ours.lower() in DISTANCES]
    if len(distances) > 1 or (distances and wanted.wide):
        raise InputError("distances are named twice: give one fid=NAME, or --wide")


def evaluations_of(file: CsvTable, choice: Choice, wanted: Wanted) -> Iterator[Evaluation]:
    """The rows of a table that have a distance; a cell `nan` is a distance that failed, a blank one is none. Raises InputError
    for text where a number should be."""
    for column in choice.distances.values():
        check_grouping(file, choice.progress, column)
    progress = file.numbers(choice.progress).to_numpy(float)
    more = {ours: file.numbers(column).to_numpy(float) for ours, column in choice.others.items() if ours in MORE}
    runs, seeds = (texts(file, choice.others.get(name)) for name in ("method", "seed"))
    labels = {name: texts(file, column) for name, column in label_columns([*file.table.columns], wanted).items()}
    for method, column in choice.distances.items():
        distance = file.numbers(column).to_numpy(float)
        measured = np.isfinite(distance)
        if not measured.all():
            measured |= (file.cells(column) != "").to_numpy()
        for row in np.flatnonzero(measured):
            place = f"{file.path}: line {file.line(int(row))}"
            if not 0 <= progress[row] < np.inf:
                raise InputError(f"{place}: {choice.progress} is {progress[row]:g}, not a count of training")
            beside = {ours: float(values[row]) for ours, values in more.items() if np.isfinite(values[row])}
            told = {column: text[row] for column, text in labels.items() if text[row]}
            yield Evaluation(float(progress[row]), float(distance[row]), place, method or runs[row], seeds[row], beside, told)


def label_columns(names: Sequence[str], wanted: Wanted) -> dict[str, str]:
    """The columns that tell how a row was measured, by the fact's name; those that --where names; and that of the task."""
    used = {*wanted.columns.values(), *wanted.wide}
    facts = {fact: find_column(names, theirs) for fact, theirs in {TASK: (TASK,), **FACT_COLUMNS}.items()}
    told = {fact: column for fact, column in facts.items() if column and column not in used}
    return told | {column: column for column in wanted.where if column in names}


def texts(file: CsvTable, column: str | None) -> list[str]:
    """A column as text; empty text if there is none."""
    return [*file.words(column)] if column else [""] * len(file.table)


def number(value: Any, place: str, what: str) -> float:
    """A JSON value as a number: NaN for null or "NaN"; raises InputError for anything else that is none."""
    if value is None:
        return float("nan")
    if not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(f"{place}: {what} is {str(value)[:40]!r}, not a number")


def as_text(value: Any) -> str:
    """A JSON value as a fact; numbers without a superfluous .0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None or (isinstance(value, float) and pd.isna(value)) else str(value)
