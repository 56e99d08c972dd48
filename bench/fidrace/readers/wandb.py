"""`fidrace import wandb`: a chart exported as CSV, or a run's history as JSON lines. Nothing is asked of any server.

A chart's CSV has "Step" (or another axis), and for each run "RUN - METRIC" with "RUN - METRIC__MIN" and "...__MAX", which are
equal to it unless points were sampled. A history (`run.scan_history()`, one object a line) has `_step` and `_runtime`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fidrace.errors import InputError
from fidrace.readers.columns import Choice, evaluations_of
from fidrace.readers.csv_file import open_table
from fidrace.readers.log import Reading, Wanted, check_files, choose_distance, kind_of, likely, nothing_found, read_text
from fidrace.readers.records import flat, read_records, records_of
from fidrace.score.columns import PROGRESS, find_column
from fidrace.score.csv_table import CsvTable

READER = "wandb"
BETWEEN, LOWEST, HIGHEST = " - ", "__MIN", "__MAX"


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """A chart's CSV, each run of it by its name, or one run's history as JSON lines."""
    check_files(paths, READER, most=1)
    path = paths[0]
    return read_history(path, wanted) if read_text(path).lstrip().startswith("{") else read_chart(path, wanted)


def read_history(path: Path, wanted: Wanted) -> Reading:
    """One run's history."""
    records, remarks = records_of(path, READER)
    rows = [(place, dict(flat(row))) for place, row, _ in records]
    known = [*dict.fromkeys(name for _, row in rows for name in row)]
    counts = [name for name in known if name.split("/")[-1].lower() in PROGRESS]
    if wanted.unit_and_column() or (counts and find_column(known, PROGRESS)):
        said = wanted.columns
    elif counts:
        raise InputError(f"{path}: does {counts[0]!r} count training? Say --columns step={counts[0]}, or step=_step")
    else:
        said = {"step": "_step", **wanted.columns}
        remarks = [*remarks, f"{path}: `_step` counts calls of log; if they are not steps of training, say --columns step=NAME"]
    reading = read_records(path, rows, replace(wanted, columns=said), READER)
    return replace(reading, remarks=[*reading.remarks, *remarks])


def read_chart(path: Path, wanted: Wanted) -> Reading:
    """All runs of a chart."""
    file = open_table(path, wanted, READER)
    names = [*file.table.columns]
    lines = [name for name in names if BETWEEN in name and not name.endswith((LOWEST, HIGHEST))]
    if not lines:
        raise nothing_found(path, f"no column RUN{BETWEEN}METRIC, as an exported chart has", READER)
    axis = axis_of(path, names, wanted)
    metric = choose_distance(path, (line.rpartition(BETWEEN)[2] for line in lines), wanted)
    runs = {line.rpartition(BETWEEN)[0]: line for line in lines if line.rpartition(BETWEEN)[2] == metric}
    unit = PROGRESS[axis[0].lower()][0]
    evaluations = [*evaluations_of(file, Choice(unit, axis[1], runs, {}), replace(wanted, where={}))]
    if not evaluations:
        raise nothing_found(path, "no row has a distance", READER)
    return Reading(unit, kind_of(metric), evaluations, remarks=[*file.remarks, *sampled(file, runs)])


def axis_of(path: Path, names: Sequence[str], wanted: Wanted) -> tuple[str, str]:
    """Our name of the chart's axis, and the file's; raises InputError if it counts no training that we know."""
    given = next(((ours, theirs) for ours, theirs in wanted.columns.items() if ours.lower() in PROGRESS), None)
    if given and given[1] not in names:
        raise InputError(f"{path}: no column {given[1]!r} (it begins with {', '.join(names[:3])})")
    if given:
        return given
    if names[0].lower() not in PROGRESS:
        raise InputError(f"{path}: does {names[0]!r} count training? Say --columns step={names[0]!r}{likely(path, READER)}")
    return names[0], names[0]


def sampled(file: CsvTable, runs: dict[str, str]) -> list[str]:
    """A remark if a point of the chart stands for several values of its run."""
    for column in runs.values():
        if {column + LOWEST, column + HIGHEST} <= {*file.table.columns}:
            low, high = (file.numbers(column + end) for end in (LOWEST, HIGHEST))
            if ((low != high) & low.notna() & high.notna()).any():
                return [
                    f"{file.path}: {column!r} is sampled: its points stand for several values; export the run's history instead"
                ]
    return []
