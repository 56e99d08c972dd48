"""`fidrace import jsonl`: one JSON object a line; NVlabs' metric files, and loggers' own.

NVlabs' metric-fid50k_full.jsonl (StyleGAN's metric_main.py, copied into many diffusion repositories) keeps distances under
`results`, and the progress in `snapshot_pkl`. In the wild that is often null; progress then stands in a path
(quandao10/LCT: dataset_info.gen_data_path "..._ep0001375") or in a comment above the line (VinAIResearch/DiMSUM).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fidrace.errors import InputError
from fidrace.readers.columns import number
from fidrace.readers.log import Evaluation, Reading, Wanted, check_files, choose_distance, kind_of, likely, nothing_found
from fidrace.readers.printed import progress_in
from fidrace.readers.records import Record, flat, joined, read_records

READER = "jsonl"
PROGRESS_IN_TEXT = {
    "kimg": re.compile(r"network-snapshot-(\d+)|(?<![a-z])kimg[_=\s-]*(\d+)", re.IGNORECASE),
    "epochs": re.compile(r"(?<![a-z])(?:ep|epochs?)[_=\s-]*(\d+)", re.IGNORECASE),
    "iterations": re.compile(r"(?<![a-z])(?:steps?|iter(?:ation)?s?|ckpt|checkpoint)[_=\s-]*(\d+)", re.IGNORECASE),
}
SAMPLES = re.compile(r"(\d+)k(_full)?$")  # of the metric's name: 50,000 samples, against all real images


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """JSON lines: NVlabs' metric-*.jsonl, or a log with progress and distance in each object."""
    check_files(paths, READER)
    records, remarks = joined(paths, READER)
    if not records:
        raise nothing_found(paths[0], "no JSON object", READER, remarks)
    if any(isinstance(row.get("results"), dict) for _, row, _ in records):
        reading = read_metrics(paths[0], records, wanted)
    else:
        rows = [(place, dict(flat(row))) for place, row, _ in records]
        reading = read_records(paths[0], rows, wanted, READER)
    return replace(reading, remarks=[*reading.remarks, *remarks])


def read_metrics(path: Path, records: list[Record], wanted: Wanted) -> Reading:
    """NVlabs' metric files. Lines whose progress stands nowhere are left out, which is said; raises InputError if all are."""
    rows = [(place, row, comment) for place, row, comment in records if isinstance(row.get("results"), dict)]
    metric = choose_distance(path, [name for _, row, _ in rows for name in row["results"]], wanted)
    evaluations: list[Evaluation] = []
    units: dict[str, str] = {}
    untold = []
    for place, row, comment in rows:
        if metric not in row["results"]:
            continue
        found = find_progress(row, comment, wanted)
        if found is None:
            untold.append(place)
            continue
        unit, match, text = found
        units.setdefault(unit, place)
        distance = number(row["results"][metric], place, metric)
        evaluations.append(Evaluation(progress_in(match, place), distance, place, run_of(text, match)))
    if untold and not evaluations:
        raise InputError(
            f"{untold[0]}: its progress stands nowhere: no snapshot, path or comment above has a step, epoch or kimg that is "
            f"known; --progress 'epoch=PATTERN' says how to find it{likely(path, READER)}"
        )
    if len(units) > 1:
        (one, first), (two, second) = [*units.items()][:2]
        raise InputError(f"{first} counts {one} and {second} {two}: read them from one kind of name")
    samples = SAMPLES.search(metric)
    facts = {"n": str(1000 * int(samples[1])), "reference": "full" if samples[2] else f"{samples[1]}k"} if samples else {}
    more = f" and {len(untold) - 1} more" if len(untold) > 1 else ""
    left = [f"{untold[0]}{more}: the progress stands nowhere; left out"] if untold else []
    return Reading(next(iter(units)), kind_of(metric), evaluations, facts, remarks=left)


def find_progress(row: dict[str, Any], comment: str, wanted: Wanted) -> tuple[str, re.Match[str], str] | None:
    """The unit, match and text that tell a line's progress: its snapshot's name, else a path, else the comment above."""
    patterns = dict([wanted.progress]) if wanted.progress else PROGRESS_IN_TEXT
    paths = [str(value) for name, value in flat(row) if isinstance(value, str) and name != "metric" and "time" not in name]
    for text in (str(row.get("snapshot_pkl") or ""), *paths, comment):
        for unit, pattern in patterns.items():
            if found := [*pattern.finditer(text)]:
                return unit, found[-1], "" if text == comment else text
    return None


def run_of(text: str, match: re.Match[str]) -> str:
    """What a path calls its run: its last part without the progress; empty if nothing is left, as of a snapshot's name."""
    return text[: match.start()].rsplit("/", 1)[-1].strip("_-. ")
