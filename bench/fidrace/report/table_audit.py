"""What published tables must agree in: with what follows from their evals.csv."""

import csv
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from fidrace.report.publish import TABLES, table_texts
from fidrace.score.claims import CLAIMS, claims_table, load_claims, verdicts_on
from fidrace.score.leaderboard import score_folder
from fidrace.storage.tables import csv_text

ROUNDING = 1e-9  # relative: what another version of numpy may make of the same rows
CLAIMS_TABLE = "claims.csv"
LABELS = "method control axis target metric paper claim".split()  # columns that say which row it is


def table_faults(folder: Path) -> Iterator[str]:
    """A line for each table in `folder` that does not follow from its runs.csv and evals.csv, and where it differs first."""
    texts = table_texts(score_folder(folder))
    if (folder / CLAIMS_TABLE).exists():
        texts[CLAIMS_TABLE] = csv_text(claims_table(verdicts_on(load_claims(CLAIMS), folder)))
    for name in (*TABLES, CLAIMS_TABLE):
        path = folder / name
        if not path.exists():
            if name in texts:
                yield f"{name}: missing"
        elif name not in texts:
            yield f"{name}: nothing follows for it from evals.csv"
        elif difference := first_difference(
            path.read_text(encoding="utf-8", errors="replace"), texts[name], name.endswith(".csv")
        ):
            yield f"{name}: {difference}"


def first_difference(published: str, follows: str, is_table: bool) -> str:
    """Where a text first differs from the one that follows; "" if only by rounding."""
    if published == follows:
        return ""
    if not is_table:
        for number, (one, other) in enumerate(zip_longest(published.splitlines(), follows.splitlines(), fillvalue=""), 1):
            if one != other:
                return f"line {number} is {one.strip()[:60]!r}, and {other.strip()[:60]!r} follows"
        return ""
    if not published.strip():
        return "it is empty"
    try:
        (head, *rows), (other_head, *other_rows) = (list(csv.reader(text.splitlines())) for text in (published, follows))
    except csv.Error as error:
        return f"cannot be read: {error}"
    if head != other_head:
        return f"its columns are not those of this fidrace: {', '.join(sorted({*head} ^ {*other_head})) or 'their order'}"
    if len(rows) != len(other_rows):
        return f"{len(rows)} rows, and {len(other_rows)} follow"
    for row, other_row in zip(rows, other_rows, strict=True):
        if len(row) != len(head):
            return f"a row has {len(row)} cells, not {len(head)}"
        for column, one, other in zip(head, row, other_row, strict=True):
            if not equal(one, other):
                label = " ".join(cell for name, cell in zip(head, row, strict=True) if name in LABELS)
                return f"{label}: {column} is {one or 'empty'}, and {other or 'empty'} follows"
    return ""


def equal(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=ROUNDING)
    except ValueError:
        return False
