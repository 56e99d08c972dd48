"""Distances that evaluators print, and the names of the checkpoints that they are of: two things that programs keep apart.

A line that names a checkpoint tells the progress of the distances below it. In a file without such a line its own name does,
or its folder's. So both one file a checkpoint will do, and one log of a loop that echoes each name before its evaluation.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fidrace.errors import InputError
from fidrace.readers.log import COMMENT, Evaluation, Reading, Wanted, check_files, choose_distance, nothing_found, whole_lines

NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf)"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
CHECKPOINT = re.compile(  # of whatever name, but not a file of reference statistics
    r"(?<![\w-])(?:network-snapshot|snapshot|phema|model|ckpt|checkpoint|ema)[\w.-]*\.(?:pkl|pt|pth|ckpt|safetensors)\b"
    r"|\S+-seed-\d+\S*\.npz"
)
LIKE = re.compile(r"(?<![a-z])fi?d(?:_\w+)?\s*[:=]?\s*\d", re.IGNORECASE)  # a distance, perhaps
LONGEST = 10_000  # characters of a line that are looked at: longer ones are no evaluator's
BESIDE = {"precision": re.compile(rf"^Precision:\s*{NUMBER}$"), "recall": re.compile(rf"^Recall:\s*{NUMBER}$")}


@dataclass(frozen=True)
class Dialect:
    """How one code base names checkpoints and prints distances. `checkpoint`: has a group `progress`, and groups named as
    facts; `distances`: the kinds of distance by their name, each a pattern with one group; `bare`: the distance may also stand
    alone on a line, or beside the checkpoint's name; `facts`: what the names and files tell otherwise."""

    reader: str
    unit: str
    checkpoint: re.Pattern[str]
    distances: dict[str, re.Pattern[str]]
    bare: str = ""
    rename: Callable[[dict[str, str]], dict[str, str]] = dict


@dataclass(frozen=True)
class Found:
    """One printed distance: its kind, value and place, and the checkpoint above it."""

    kind: str
    evaluation: Evaluation


def read_printed(paths: Sequence[Path], wanted: Wanted, dialect: Dialect) -> Reading:
    """The printed distances of all files; raises InputError for one without a checkpoint, and for several kinds of them."""
    check_files(paths, dialect.reader)
    if wanted.progress:
        dialect = replace(dialect, unit=wanted.progress[0], checkpoint=wanted.progress[1], rename=dict)
    found: list[Found] = []
    remarks: list[str] = []
    for path in paths:
        lines, cut = whole_lines(path)
        distances, left_out = distances_in(path, lines, dialect)
        found += distances
        remarks += [*cut, *left_out]
    if not found:
        kinds = " or ".join(f"`{kind}`" for kind in dialect.distances)
        raise nothing_found(paths[0], f"no line has a distance ({kinds})", dialect.reader, remarks)
    kind = choose_distance(paths[0], [one.kind for one in found], wanted)
    evaluations = [one.evaluation for one in found if one.kind == kind]
    return Reading(dialect.unit, kind.lower(), evaluations, remarks=remarks)


def distances_in(path: Path, lines: Sequence[str], dialect: Dialect) -> tuple[list[Found], list[str]]:
    """The distances of one file, each with the numbers that its evaluator printed below it; and remarks on checkpoints without
    a distance and on lines that look like one and are none. Raises InputError for a distance of an unknown checkpoint."""
    named = dialect.checkpoint.search(path.name) or dialect.checkpoint.search(path.parent.name)
    waits, other = named is not None, ""  # for a distance; the name of another checkpoint
    found: list[Found] = []
    remarks = []
    for n, raw in enumerate(lines, 1):
        place, line = f"{path}: line {n}", ANSI.sub("", raw[:LONGEST]).rstrip("\r").rpartition("\r")[2].strip()
        if line.startswith(COMMENT):
            continue
        if match := next(dialect.checkpoint.finditer(line), None):
            if waits and named and named.string != path.name and named[0] != match[0]:
                remarks.append(f"{place}: no distance of {named[0]} stands above this; it is left out")
            named, waits, other = match, True, ""
            line = (line[: match.start()] + line[match.end() :]).strip(" \t,;:=")
        elif unknown := CHECKPOINT.search(line):
            other = unknown[0]
        kind, value = distance_of(line, dialect)
        if kind:
            if named is None or other:
                whose = f"it follows {other}" if other else f"no checkpoint is named above this {kind}, nor in the file's name"
                raise InputError(f"{place}: {whose}, whose progress is not known; --progress 'step=PATTERN' finds it")
            facts = {name: text for name, text in named.groupdict().items() if text and name != "progress"}
            found.append(Found(kind, Evaluation(progress_in(named, place), value, place, facts=dialect.rename(facts))))
            waits = False
        elif beside := beside_of(line):
            if found and not waits:
                last = found[-1].evaluation
                found[-1] = replace(found[-1], evaluation=replace(last, more={**last.more, **beside}))
        elif LIKE.search(line):
            remarks.append(f"{place}: {line[:60]!r} is not how {dialect.reader} prints a distance; it is left out")
    if waits and named:
        remarks.append(f"{path}: no distance of {named[0]} stands in it; it is left out")
    return found, remarks


def progress_in(named: re.Match[str], place: str) -> float:
    """The progress that a checkpoint's name tells, in the group of that name or the first one. Raises InputError if none."""
    text = named["progress"] if "progress" in named.groupdict() else next(filter(None, named.groups()), "")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{place}: {text!r} in {named[0]!r} is no count of training") from None


def distance_of(line: str, dialect: Dialect) -> tuple[str, float]:
    """The kind and value of the distance on a line; '' if there is none."""
    for kind, pattern in dialect.distances.items():
        if match := pattern.fullmatch(line):
            return kind, float(match[1])
    if dialect.bare and (match := re.fullmatch(NUMBER, line)):
        return dialect.bare, float(match[1])
    return "", 0.0


def beside_of(line: str) -> dict[str, float]:
    """Precision or recall, if the line has one."""
    return {name: float(match[1]) for name, pattern in BESIDE.items() if (match := pattern.fullmatch(line))}
