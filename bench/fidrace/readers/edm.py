"""`fidrace import edm`: what EDM's or EDM2's evaluation printed, and the run's folder for seconds, batch and seed.

NVlabs/edm @008a4e5: fid.py:135 prints a bare number, and its README (136) reports the minimum of three; checkpoints are
network-snapshot-002500.pkl, in kimg rounded down (training_loop.py:187). edm2 @4bf8162: calculate_metrics.py:272 prints
`fid = 3.53` and `fd_dinov2 = 68.6`; checkpoints are network-snapshot-0008388-0.100.pkl, the last number an EMA length, of which
one run has several. A run's folder has training_options.json (train.py:224) and stats.jsonl, a line a tick with
Progress/kimg and Timing/total_sec (training_loop.py:157-200), as objects with a mean in edm and numbers in edm2.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats
from fidrace.readers.columns import as_text, number
from fidrace.readers.log import Reading, Wanted
from fidrace.readers.printed import NUMBER, Dialect, read_printed
from fidrace.readers.records import read_configuration, records_of

READER = "edm"
DIALECT = Dialect(
    READER,
    "kimg",
    re.compile(r"(?:\S*/)?(?:network-snapshot|phema)-(?P<progress>\d+)(?:-(?P<ema>\d+\.\d+))?(?:\.pkl)?"),
    {"fid": re.compile(rf"fid\s*=\s*{NUMBER}"), "fd_dinov2": re.compile(rf"fd_dinov2\s*=\s*{NUMBER}")},
    bare="fid",
)
OPTIONS, STATS = "training_options.json", "stats.jsonl"
KIMG, SECONDS = "Progress/kimg", "Timing/total_sec"


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """Files that fid.py's output was written to, after each snapshot's name; and, among them, the folder of the run."""
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    if len(folders) > 1:
        raise InputError(f"{folders[0]} and {folders[1]}: two folders of runs; import one run after the other")
    if not files:
        where = folders[0] if folders else "edm"
        raise InputError(f"{where}: FID stands in no file of a run; add what fid.py printed, after each snapshot's name")
    reading = read_printed(files, wanted, DIALECT)
    if not folders:
        return reading
    beside = [path for name in (OPTIONS, STATS) if (path := folders[0] / name).exists()]
    options = read_configuration(folders[0] / OPTIONS)
    facts = {"batch": as_text(options.get("batch_size"))}
    seconds, remarks = seconds_of(folders[0] / STATS)
    evaluations = reading.evaluations
    if seconds is not None:
        kimg, total = seconds
        inside = [one for one in evaluations if one.progress <= kimg[-1]]
        known = {id(one): float(np.interp(one.progress, kimg, total)) for one in inside}
        evaluations = [
            replace(one, more={**one.more, "train_seconds": known[id(one)]}) if id(one) in known else one for one in evaluations
        ]
    facts = {name: text for name, text in facts.items() if text}
    remarks = [*reading.remarks, *remarks]
    seed = as_text(options.get("seed"))
    return replace(reading, evaluations=evaluations, facts=facts, seed=seed, remarks=remarks, files=[*files, *beside])


def seconds_of(path: Path) -> tuple[tuple[Floats, Floats] | None, list[str]]:
    """kimg[K] and seconds[K] of training by stats.jsonl, and remarks; none if it is absent, or if its clock was set back by a
    restart."""
    if not path.exists():
        return None, []
    records, remarks = records_of(path, READER)
    rows = [(place, row) for place, row, _ in records if KIMG in row and SECONDS in row]
    table = np.array([[mean_of(row[name], place, name) for name in (KIMG, SECONDS)] for place, row in rows])
    if not len(table) or not np.isfinite(table).all():
        return None, [*remarks, f"{path}: no {KIMG} with {SECONDS}: seconds are not known"]
    if (np.diff(table, axis=0) < 0).any():
        return None, [*remarks, f"{path}: its clock was set back by a restart: seconds are not known"]
    return (table[:, 0], table[:, 1]), remarks


def mean_of(value: Any, place: str, name: str) -> float:
    """A statistic of stats.jsonl: edm's objects hold its mean."""
    return number(value.get("mean") if isinstance(value, dict) else value, place, name)
