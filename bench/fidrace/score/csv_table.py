"""CSV tables as other programs and spreadsheets write them: comment lines, semicolons, decimal commas, a byte order mark."""

import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from fidrace.errors import InputError

BLANK = ("", "nan", "NaN", "NAN")
CELL_START, CELL_END = r'(?<![^;\n"])', r'(?![^;\n\r"])'
LEFT_OUT = re.compile(r"\n[#\n\r]")  # the end of a line before a comment or a blank one
DECIMAL_COMMA = re.compile(rf"{CELL_START}[+-]?\d{{1,3}}(?:\.?\d{{3}})*,\d+{CELL_END}")
DECIMAL_POINT = re.compile(rf"{CELL_START}(?!\d{{1,3}}(?:\.\d{{3}})+{CELL_END})[+-]?\d*\.\d+{CELL_END}")
GROUPED = re.compile(r"[+-]?\d{1,3}([.,' ]\d{3})*[.,]\d+")


@dataclass
class CsvTable:
    """A table as `path` has it: its text columns as text, the others as pandas reads them; the line of the file on which each
    row stands is `line(row)`. `remarks`: what a reader should know of how it was read."""

    path: Path
    table: pd.DataFrame
    line_numbers: list[int] | None
    text: str
    separator: str
    decimal_comma: bool
    remarks: tuple[str, ...] = ()

    def line(self, row: int) -> int:
        return self.line_numbers[row] if self.line_numbers else row + 2

    def cells(self, column: str) -> "pd.Series[str]":
        """A column as it is written."""
        place = [self.table.columns.get_loc(column)]
        options: dict[str, Any] = {"sep": self.separator, "usecols": place, "dtype": str, "keep_default_na": False}
        return pd.read_csv(io.BytesIO(self.text.encode()), **options).iloc[:, 0].str.strip().fillna("")  # of a short row too

    def words(self, column: str) -> "pd.Series[str]":
        """A column as text without spaces around it, blank cells as empty text."""
        values = self.table[column]
        return values.map({value: "" if pd.isna(value) else str(value).strip() for value in values.unique()})

    def numbers(self, column: str) -> "pd.Series[Any]":
        """A column as numbers, blank cells as NaN; raises InputError for text, naming its line."""
        values = self.table[column]
        if is_numeric_dtype(values) and not is_bool_dtype(values):
            return values
        cells = values.astype(str).str.strip().fillna("")
        read = pd.to_numeric(cells.where(~cells.isin(BLANK)), errors="coerce")
        for row in read.index[read.isna() & ~cells.isin(BLANK)]:
            hint = "; write it with a decimal point and nothing else, as 1234.5" if GROUPED.fullmatch(cells[row]) else ""
            raise InputError(f"{self.path}: line {self.line(row)}: {column} is {cells[row][:40]!r}, not a number{hint}")
        return read


def read_csv_table(path: Path, text: Collection[str]) -> CsvTable:
    """The CSV file at `path`; raises InputError if it is none. `text`: names of columns that hold no numbers."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    try:
        written = content.decode("utf-8-sig")
        if "\n" not in written:  # lines of an old Macintosh
            written = written.replace("\r", "\n")
        written, line_numbers = without_comments(written)
        names, dress = dress_of(written)
        options: dict[str, Any] = {"keep_default_na": False, "low_memory": False, **dress}
        blank = {name: list(BLANK) for name in names if name not in text}
        table = pd.read_csv(io.BytesIO(written.encode()), dtype=dict.fromkeys(text, str), na_values=blank, **options)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: empty") from None
    except (UnicodeDecodeError, pd.errors.ParserError, ValueError, csv.Error):
        raise InputError(f"{path}: not a CSV file in UTF-8") from None
    stripped = [name.strip() for name in names]
    for name in stripped:
        if stripped.count(name) > 1:
            raise InputError(f"{path}: {stripped.count(name)} columns are named {name!r}: keep one")
    if not isinstance(table.index, pd.RangeIndex) or len(stripped) != table.shape[1]:
        raise InputError(f"{path}: some row has another number of cells than the header, which names {len(stripped)}")
    table.columns = pd.Index(stripped)
    remarks = [f"{path}: read with semicolons between cells and commas as decimal points"] if "decimal" in dress else []
    return CsvTable(path, table, line_numbers, written, dress["sep"], "decimal" in dress, tuple(remarks))


def without_comments(text: str) -> tuple[str, list[int] | None]:
    """`text` without the lines that begin with # and blank ones, and the line number of each row; None if none was left out."""
    if not text.startswith(("#", "\n", "\r")) and not LEFT_OUT.search(text):
        return text, None
    kept = [(n, line) for n, line in enumerate(text.splitlines(keepends=True), 1) if line.strip() and line[0] != "#"]
    return "".join(line for _, line in kept), [n for n, _ in kept][1:]


def dress_of(text: str) -> tuple[list[str], dict[str, str]]:
    """The names of the columns, and pandas' options for how the table is written, as header and numbers show it."""
    header = text[: end if (end := text.find("\n")) >= 0 else None].rstrip("\r")
    separator = next((mark for mark in (";", "\t") if mark in header and "," not in header), ",")
    names = next(csv.reader([header], delimiter=separator), [])
    if separator == ";" and DECIMAL_COMMA.search(text):
        if mixed := DECIMAL_POINT.search(text):
            raise InputError(f"{mixed[0]} has a decimal point, and other numbers have decimal commas: use one of them")
        return names, {"sep": separator, "decimal": ",", "thousands": "."}
    return names, {"sep": separator}
