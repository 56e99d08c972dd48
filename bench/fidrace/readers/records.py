"""JSON lines: one object a line, as loggers write them, with comments between and NaN in them."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fidrace.errors import InputError
from fidrace.readers.columns import as_text, choose_columns, label_columns, number
from fidrace.readers.log import Evaluation, Reading, Wanted, likely, nothing_found, read_text

Record = tuple[str, dict[str, Any], str]  # its place, its content, and the comment above it


def records_of(path: Path, reader: str) -> tuple[list[Record], list[str]]:
    """The objects of a file, and a remark if the last one is cut off. Raises InputError for a line that is no object."""
    lines = read_text(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    records: list[Record] = []
    comment = ""
    for n, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        if text.startswith(("//", "#")):
            comment = text
            continue
        try:
            content = json.loads(text, object_pairs_hook=once_each)
        except KeyError as error:
            raise InputError(f"{path}: line {n}: {error.args[0]!r} is given twice") from None
        except (ValueError, RecursionError):
            if n == len(lines) and records:
                return records, [f"{path}: line {n} is cut off, and is left out"]
            raise InputError(f"{path}: line {n}: no JSON object{likely(path, reader)}") from None
        if not isinstance(content, dict):
            raise InputError(f"{path}: line {n}: no JSON object{likely(path, reader)}")
        records.append((f"{path}: line {n}", content, comment))
        comment = ""
    return records, []


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises KeyError for a name that stands in it twice."""
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise KeyError(name)
        content[name] = value
    return content


def flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of an object, those of objects in it by dotted names."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield prefix + name, value


def read_records(path: Path, rows: list[tuple[str, dict[str, Any]]], wanted: Wanted, reader: str) -> Reading:
    """The evaluations of objects with one progress and one distance each, by the names that we know or were told."""
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    try:
        choice = choose_columns(names, wanted, str(path))
    except InputError as error:
        raise InputError(f"{error}{likely(path, reader)}") from None
    evaluations, labels = [], label_columns(names, wanted)
    for place, row in rows:
        for method, column in choice.distances.items():
            if row.get(column) is None:  # null too: a step that was not evaluated
                continue
            progress = number(row.get(choice.progress), place, choice.progress)
            if not 0 <= progress < math.inf:
                raise InputError(f"{place}: {choice.progress} is {progress:g}, not a count of training")
            others = {ours: row[name] for ours, name in choice.others.items() if row.get(name) is not None}
            run, seed = (str(others.pop(name, "")) for name in ("method", "seed"))
            more = {ours: number(value, place, ours) for ours, value in others.items()}
            told = {name: text for name, label in labels.items() if (text := as_text(row.get(label)))}
            distance = number(row[column], place, column)
            evaluations.append(Evaluation(progress, distance, place, method or run, seed, more, told))
    if not evaluations:
        raise nothing_found(path, "no line has a distance", reader)
    return Reading(choice.unit, choice.metric, evaluations)


def read_configuration(path: Path) -> dict[str, Any]:
    """The JSON object that a trainer saved beside its log; empty if there is no such file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}: no JSON object")
    return content


def joined(paths: Sequence[Path], reader: str) -> tuple[list[Record], list[str]]:
    """The objects and remarks of several files."""
    found = [records_of(path, reader) for path in paths]
    return [record for records, _ in found for record in records], [remark for _, remarks in found for remark in remarks]
