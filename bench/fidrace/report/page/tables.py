"""The page's tables: leaderboard, one beside each chart, provenance. Each cell carries the value that it sorts by."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.method.base import Floats
from fidrace.method.profile import ProfilePoint
from fidrace.report.leaderboard import HEADINGS, WORDS, claimed_factors, format_interval, leaderboard_cells
from fidrace.report.page.charts import loss_columns, median_line
from fidrace.score.comparison import RunTable
from fidrace.score.curves import longest_runs
from fidrace.score.leaderboard import Scores
from fidrace.storage.manifest import Manifest
from fidrace.storage.tables import CEILINGS, RUN_COLUMNS

VARYING = (
    "device",
    "precision",
    "threads",
    "revision",
    "fidrace_version",
    "config_hash",
)  # should be the same for all runs


FIRST = ("method", "speedup", "ci_low", "verdict")  # columns of the page's leaderboard: what a phone shows without scrolling


@dataclass(frozen=True)
class Cell:
    """The text shown, and the number or text that it sorts by."""

    shown: str
    value: float | str


@dataclass(frozen=True)
class Sheet:
    """A table; `words`: the columns that are text."""

    headings: list[str]
    rows: list[list[Cell]]
    words: frozenset[str] = frozenset()


def to_cell(value: Any, shown: str | None = None) -> Cell:
    """The cell for a number or a text, shown as `shown` if given; empty if not measured."""
    if isinstance(value, str | bool | np.bool_) or value is None:
        return Cell(str(value) if shown is None and value is not None else shown or "", "" if value is None else str(value))
    number = float(value)
    if np.isnan(number):
        return Cell(shown or "", "")
    return Cell(f"{number:.6g}" if shown is None else shown, repr(number).removesuffix(".0"))


def leaderboard_sheet(scores: Scores) -> Sheet:
    """The leaderboard's cells sorting by the numbers of leaderboard.csv, the factor and its interval first, with a column of
    claimed factors, and where the runs are not fidrace's own or their grid is coarse, of what the evaluation grid allows."""
    axis = str(scores.leaderboard["axis"].iloc[0])
    order = ["rank", "method", "reached", "median_to_target", "speedup", "ci_low", "p_holm", "verdict", "final_fd", "flags"]
    shown_first = [order.index(name) for name in FIRST] + [k for k, name in enumerate(order) if name not in FIRST]
    bracketed = not scores.rules.paired or scores.leaderboard["flags"].str.contains("coarse grid").any()
    rows = []
    for record in scores.leaderboard.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        line = [
            to_cell(row[name], shown) for name, shown in zip(order, leaderboard_cells(row, scores.rules, axis), strict=True)
        ]
        claim = claimed_factors(row["method"], row["task"])
        bracket = format_interval({"ci_low": row["factor_low"], "ci_high": row["factor_high"]})
        more = [Cell(claim, claim), *([to_cell(row["factor_low"], bracket)] if bracketed else [])]
        *ordered, notes = (line[k] for k in shown_first)
        rows.append([*ordered, *more, notes])
    *headings, notes_heading = (HEADINGS[k] for k in shown_first)
    added = ["claimed", *(["by the grid alone"] if bracketed else [])]
    return Sheet([*headings, *added, notes_heading], rows, frozenset(WORDS))


def csv_sheet(table: pd.DataFrame) -> Sheet:
    """A table as in its CSV file."""
    numeric = {str(name) for name in table if pd.api.types.is_numeric_dtype(table[name])}
    rows = [[to_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return Sheet([str(name) for name in table], rows, frozenset({str(name) for name in table} - numeric))


def text_sheet(headings: list[str], lines: Iterable[Sequence[str]]) -> Sheet:
    """A table of text."""
    return Sheet(headings, [[Cell(text, text) for text in line] for line in lines], frozenset({*headings} & WORDS))


def series_sheet(first: str, x: Iterable[float], lines: dict[str, Floats]) -> Sheet:
    """A chart as a table: one row per x, one column per line."""
    columns = [*lines.values()]
    rows = [[to_cell(value), *(to_cell(line[k], f"{line[k]:.4g}") for line in columns)] for k, value in enumerate(x)]
    return Sheet([first, *lines], rows)


def fd_sheet(races: RunTable) -> Sheet:
    """Medians over seeds at each evaluation."""
    every = sorted({n for curve in races.curves for n in curve.iteration})
    lines = {}
    for method in races.methods:
        runs = [curve for curve in races.curves if curve.method == method and len(curve.fd)]
        if runs:
            n, fd = median_line(runs, races.rules.unit)
            known = dict(zip(n, fd, strict=True))
            lines[method] = np.array([known.get(at, np.nan) for at in every])
    return series_sheet(races.rules.unit, every, lines)


def loss_sheet(races: RunTable) -> Sheet:
    """Each method's losses at the last evaluation, medians over the seeds whose runs got furthest."""
    names = loss_columns(races.curves)
    rows = []
    for method in races.methods:
        if runs := longest_runs([curve for curve in races.curves if curve.method == method]):
            ends = [np.median([one.columns.get(name, np.array([np.nan]))[-1] for one in runs]) for name in names]
            rows.append([Cell(method, method), *(to_cell(end, f"{end:.4f}") for end in ends)])
    return Sheet(["method", *names], rows, frozenset({"method"}))


def moments_sheet(moments: dict[str, list[ProfilePoint]]) -> Sheet:
    """Each method's arrays at the beginning, the middle and the end of training."""
    headings = [
        "method",
        "progress",
        "× learning rate",
        "β1",
        "EMA decay",
        "share of timesteps, by tenths of T",
        "weight on the eps-MSE",
    ]
    chosen = {method: [said[0], said[len(said) // 2], said[-1]] for method, said in moments.items()}
    return text_sheet(headings, [[method, *one.row()] for method, said in chosen.items() for one in said])


def runs_sheet(runs: pd.DataFrame) -> Sheet:
    """runs.csv without the columns that provenance shows once for all runs."""
    return csv_sheet(runs[[name for name in runs if name not in (*VARYING, *CEILINGS, "task") or name not in RUN_COLUMNS]])


def provenance(folder: Path, races: RunTable, runs: pd.DataFrame, study: Manifest | None) -> list[tuple[str, str]]:
    """Pairs of a name and a value that say where the numbers come from, for the foot of the page."""
    rules = races.rules
    statuses = Counter(str(status) for status in runs["status"])
    seeds = sorted({curve.seed for curve in races.curves})
    declared = "not known" if rules.declared_seeds is None else ", ".join(map(str, rules.declared_seeds))
    told = [
        ("runs", ", ".join(f"{count} {status}" for status, count in statuses.items())),
        ("target", f"{rules.target} ({rules.how})" if rules.aims else "not known"),
        (
            "budget",
            f"{f'{rules.budget:g} {rules.unit}' if np.isfinite(rules.budget) else 'the own end of each run'}, evaluated at "
            f"{', '.join(f'{n:g}' for n in rules.evaluations_at) or 'its grid'}",
        ),
        ("seeds", f"{', '.join(map(str, seeds))}; declared before the first run: {declared}"),
    ]
    if rules.until_decided:
        told.append(("looks", rules.until_decided.describe()))
    for name in VARYING:
        if name in runs:
            found = Counter(str(value) for value in runs[name] if str(value) not in ("", "nan"))
            several = len(found) > 1
            told.append(
                (name, ", ".join(f"{one} ({count} runs)" if several else one for one, count in found.items()) or "not noted")
            )
    times = [
        str(value) for name in ("started", "ended") if name in runs for value in runs[name] if str(value) not in ("", "nan")
    ]
    told += [("from, to", f"{min(times)}, {max(times)}")] if times else []
    told += [(f"library: {name}", versions) for name, versions in libraries(folder).items()]
    for name in (name for name in ("evals.csv", "runs.csv") if (folder / name).exists()):
        told.append((f"SHA-256 of {name}", hashlib.sha256((folder / name).read_bytes()).hexdigest()))
    told += [(f"fixed: {section}", json.dumps(fields)) for section, fields in (study.fixed if study else {}).items()]
    return told


def libraries(folder: Path) -> dict[str, str]:
    """The library versions of the runs in `folder` whose directories are present."""
    found: dict[str, set[str]] = {}
    for path in folder.glob("runs/*/*/*/run.json"):
        try:
            packages = json.loads(path.read_text(encoding="utf-8")).get("packages", {})
        except (ValueError, OSError, AttributeError):
            continue
        for name, version in packages.items() if isinstance(packages, dict) else ():
            found.setdefault(str(name), set()).add(str(version))
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}
