"""The CSV tables of a study on disk: their columns, and how they are read and written."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fidrace.errors import InputError
from fidrace.storage.atomic import Row, write_atomic

BINS = 10
REAL_MEMORISED = 0.05  # by definition, the share of held-out real images that the column `memorised` would count
RUN_COLUMNS = (
    "task method seed status iterations images forwards train_seconds eval_seconds device precision threads "
    "config_hash method_hash revision fidrace_version started ended error "
    "precision_ceiling recall_ceiling"
).split()
CEILINGS = RUN_COLUMNS[-2:]
EVAL_COLUMNS = [
    *"task method seed iteration images forwards train_seconds metric fd fd_se precision recall memorised val_loss".split(),
    *(f"val_loss_bin{k}" for k in range(BINS)),
]
GRADIENT = ("grad_norm", "grad_norm_max")  # columns of evals.csv: mean and largest norm since the evaluation before
LONGEST_NAME = 200
RUN_REMEDY = "remove its folder and runs.csv, and the same command runs it again"
STATUSES = ("finished", "diverged", "failed", "running")
ENDED = STATUSES[:2]  # these runs are not resumed
FRAME, WEIGHTS = "samples-{}.png", "weights-{}.safetensors"  # files of a run, by iteration
REAL = "real.png"  # of held-out images, beside the runs of their task
KEPT = "kept-{}.safetensors"  # weights that a searched run may still have to measure
# In the column `ended_by` of runs that ended before their last iteration: at this limit, or at their confirmed crossing.
GPU_HOURS, CROSSED = "gpu-hours", "crossed"


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV, the same text on every system."""
    return table.to_csv(index=False, lineterminator="\n")


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write a CSV in UTF-8: floats in the shortest form that reads back exactly, unmeasured values empty."""
    table = pd.DataFrame(rows, columns=pd.Index(columns), dtype=object).map(escape_formula)
    write_atomic(path, csv_text(table.rename(columns=escape_formula)))


def escape_formula(cell: Any) -> Any:
    """`cell`, with an apostrophe in front of text that a spreadsheet would run as a formula."""
    return f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell


def is_formula(text: str) -> bool:
    if not text.startswith(("=", "+", "-", "@")):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def refuse_name(path: Path, column: str, name: str) -> None:
    """Raise InputError for a name that a table must not hold, because a spreadsheet would run it or it would control a
    terminal."""
    if not name.strip() or is_formula(name) or not name.isprintable() or len(name) > LONGEST_NAME:
        shown = name if len(name) <= LONGEST_NAME else f"{name[:40]}..."
        raise InputError(f"{path}: {shown!r} cannot be a {column}")


def with_extra_columns(rows: list[Row], columns: list[str]) -> tuple[list[Row], list[str]]:
    """`rows`, and `columns` followed by the columns that only the rows have."""
    extra = dict.fromkeys(name for row in rows for name in row if name not in columns)
    return rows, [*columns, *extra]


def read_rows(path: Path, columns: Sequence[str] = ()) -> list[Row]:
    """The rows of a CSV with every cell as text; raises InputError if it is no CSV or lacks one of `columns`."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False).fillna("")
        for column in columns:
            if column not in table:
                raise InputError(f"{path}: no column {column!r}")
        return table.to_dict("records")  # type: ignore[return-value]
    except InputError:
        raise
    except (ValueError, pd.errors.ParserError):
        raise InputError(f"{path}: damaged; {RUN_REMEDY}") from None


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
