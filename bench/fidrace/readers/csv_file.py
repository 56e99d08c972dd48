"""`fidrace import csv`: any table with a header. Names of columns are said with --columns, as step=iternum,fid=FID."""

from collections.abc import Sequence
from pathlib import Path

from fidrace.errors import InputError
from fidrace.readers.columns import choose_columns, evaluations_of
from fidrace.readers.log import Reading, Wanted, check_files, likely, nothing_found
from fidrace.score.csv_table import CsvTable, read_csv_table

TEXT = ("method", "seed", "task")


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """A table in any dress, as spreadsheets and scripts write them."""
    check_files(paths, "csv", most=1)
    return read_table(open_table(paths[0], wanted, "csv"), wanted, "csv")


def open_table(path: Path, wanted: Wanted, reader: str) -> CsvTable:
    """The table at `path`, with the columns of names as text; raises InputError, with the likely reader, if it is none."""
    text = {*TEXT, *(wanted.columns.get(name, name) for name in TEXT), *wanted.where}
    try:
        return read_csv_table(path, text)
    except InputError as error:
        raise InputError(f"{error}{likely(path, reader)}") from None


def read_table(file: CsvTable, wanted: Wanted, reader: str) -> Reading:
    """The evaluations of a table whose columns have names that we know or were told."""
    try:
        choice = choose_columns([*file.table.columns], wanted, str(file.path))
    except InputError as error:
        raise InputError(f"{error}{likely(file.path, reader)}") from None
    evaluations = [*evaluations_of(file, choice, wanted)]
    if not evaluations:
        raise nothing_found(file.path, "no row has a distance", reader)
    whole = file.text.endswith(("\n", "\r"))
    end = (
        [] if whole else [f"{file.path}: the last line has no end; if the file was cut off there, its last number is not whole"]
    )
    return Reading(choice.unit, choice.metric, evaluations, remarks=[*file.remarks, *end])
