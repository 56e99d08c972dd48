"""What a reader finds in other people's files: evaluations with the place of each, and what the files say of their making."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from fidrace.errors import InputError, nearest
from fidrace.score.columns import DISTANCES, PROGRESS

COMMENT = ("#", "//")
RUN = "run"  # what --where calls the run's name in the file
REPEATS = ("first", "last", "mean", "min")  # of several distances of one checkpoint


@dataclass(frozen=True)
class Evaluation:
    """One distance, measured after `progress` of training in the reading's unit. `place`: where it stands, for messages. `run`
    and `seed`: what the file calls its run, if it does. `more`: other numbers, by the column of evals.csv; `facts`: how it was
    measured, as its place tells."""

    progress: float
    distance: float
    place: str
    run: str = ""
    seed: str = ""
    more: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What a reader found: evaluations in the order of the files, the unit of their progress, the distance's name, facts that
    hold for all of them, the seed if a configuration tells it, and remarks. `appended`: the program appends to its file when
    it resumes, so that a fall of the progress is a restart, whose earlier branch was given up. `files`: those that were read,
    if they are not just the files that were named."""

    unit: str
    metric: str
    evaluations: Sequence[Evaluation]
    facts: Mapping[str, str] = field(default_factory=dict)
    seed: str = ""
    remarks: Sequence[str] = ()
    appended: bool = False
    files: Sequence[Path] = ()


@dataclass(frozen=True)
class Wanted:
    """What a person says of the files: `columns`, the file's name of a column by ours (or by a unit); `where`, the values that
    rows or evaluations must have; `wide`, the columns that each hold one method's distances; `repeats`, what to take of
    several distances of one checkpoint; `progress`, the unit and the pattern by which names of checkpoints tell it."""

    columns: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    repeats: str = ""
    progress: tuple[str, re.Pattern[str]] | None = None

    @property
    def distance(self) -> str:
        """The file's name of the distance, if it was said."""
        return next((self.columns[name] for name in DISTANCES if name in self.columns), "")

    def unit_and_column(self) -> tuple[str, str] | None:
        """The unit and the file's column that count training, if they were said; raises InputError for two of them."""
        said = [(ours, theirs) for ours, theirs in self.columns.items() if ours.lower() in PROGRESS]
        if len(said) > 1:
            raise InputError(f"--columns: {said[0][0]} and {said[1][0]} both count training; name one")
        return (PROGRESS[said[0][0].lower()][0], said[0][1]) if said else None


Reader = Callable[[Sequence[Path], Wanted], Reading]


def read_text(path: Path) -> str:
    """The file as text, whatever bytes a terminal left in it; raises InputError if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if b"\0" in content[:4096]:
        raise InputError(f"{path}: not text{likely(path)}")
    return content.decode("utf-8-sig", errors="replace")


def whole_lines(path: Path) -> tuple[list[str], list[str]]:
    """The lines of a file that a program writes, and a remark if the last one has no end: it was cut off, and left out."""
    text = read_text(path)
    lines = text.split("\n")
    if lines[-1].strip() and not lines[-1].lstrip().startswith(COMMENT):
        return lines[:-1], [f"{path}: line {len(lines)} has no end: it may be cut off, and is left out"]
    return lines[:-1], []


def likely(path: Path, instead_of: str = "") -> str:
    """ "; it looks like ...: fidrace import ..." if the file looks like another format than `instead_of`."""
    from fidrace.readers.likely import likely_reader

    name = likely_reader(path)
    return f"; it looks like {name}: `fidrace import {name} {path}`" if name and name != instead_of else ""


def nothing_found(path: Path, what: str, reader: str, remarks: Sequence[str] = ()) -> InputError:
    """The error for a file without evaluations."""
    return InputError(f"{path}: {what}{likely(path, reader)}{''.join(f' ({remark})' for remark in remarks[:1])}")


def is_distance(name: str) -> bool:
    """True if a word of the name is fid or fd: `eval/FID` and `fid50k_full`, but not `confidence` or `sfid`."""
    return any(re.fullmatch(r"fi?d(\d+k?)?", word) for word in re.split(r"[^a-z0-9]+", name.lower()))


def kind_of(name: str) -> str:
    """What a distance is called in tables: its name without what tells where it was measured."""
    word = re.sub(r"^((eval|evaluation|val|valid|validation|test|metrics?|results?)[^a-z0-9]+)+", "", name.lower())
    return "fid" if re.fullmatch(r"fid(\d+k?(_full)?)?", word) else word


def choose_distance(where: object, names: Iterable[str], wanted: Wanted) -> str:
    """The distance to read of those with these names: what was said, or the only one that is called so. Raises InputError
    if there is none, or several."""
    known = [*dict.fromkeys(names)]
    if wanted.distance:
        if wanted.distance not in known:
            raise InputError(f"{where}: no distance {wanted.distance!r}{nearest(wanted.distance, known) if known else ''}")
        return wanted.distance
    called = [name for name in known if is_distance(name)]
    if len(called) != 1:
        listed = ", ".join((called or known)[:12]) or "no numbers"
        raise InputError(f"{where}: {len(called)} kinds of distance (it has {listed}); say which with --columns fid=NAME")
    return called[0]


def check_files(paths: Sequence[Path], reader: str, most: int = 0) -> None:
    """Raise InputError unless the paths are files, and not more than `most` of them (0: any number)."""
    if most and len(paths) > most:
        raise InputError(f"{reader} reads {most} file at a time; import one run after the other into the same --out")
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: a folder, and {reader} reads files")


def runs_of(reading: Reading, wanted: Wanted) -> Iterator[tuple[str, str, list[Evaluation], list[str]]]:
    """The runs of a reading: each one's name and seed in the file, its evaluations in the order of training, and remarks.
    Raises InputError if evaluations of one run were measured differently, or one checkpoint has several distances."""
    told = [(one, {RUN: one.run, **one.facts}) for one in reading.evaluations]
    evaluations = [one for one, labels in told if all(is_same(labels.get(key), value) for key, value in wanted.where.items())]
    known = {key for _, labels in told for key in labels}
    for key in wanted.where:
        if key not in known:
            raise InputError(f"--where {key}: the files do not tell that{nearest(key, known) if known else ''}")
    if not evaluations:
        text = ", ".join(f"{key}={value}" for key, value in wanted.where.items())
        key, value = next(iter(wanted.where.items()))
        others = {labels[key] for _, labels in told if key in labels} - {"", value}
        raise InputError(f"--where {text}: no evaluation has that{nearest(value, others) if others else ''}")
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for one in evaluations:
        groups.setdefault((one.run, one.seed), []).append(one)
    for (run, seed), group in groups.items():
        group = without_counters(group)
        check_alike(group)
        kept, remarks = drop_restarts(group) if reading.appended else (group, [])
        yield run, seed, settle(kept, wanted.repeats), remarks


def is_same(text: str | None, value: str) -> bool:
    """True for equal texts, and for equal numbers in two forms."""
    try:
        return text == value or (text is not None and float(text) == float(value))
    except ValueError:
        return False


def without_counters(group: list[Evaluation]) -> list[Evaluation]:
    """The evaluations without facts that only count: more than three numbers, each larger than the one before."""
    counters = []
    for name in group[0].facts:
        try:
            values = [float(one.facts[name]) for one in group]
        except (KeyError, ValueError):
            continue
        if len(values) > 3 and all(before < after for before, after in pairwise(values)):
            counters.append(name)
    if not counters:
        return group
    return [replace(one, facts={name: text for name, text in one.facts.items() if name not in counters}) for one in group]


def check_alike(group: Sequence[Evaluation]) -> None:
    """Raise InputError if the places of two evaluations of one run tell different facts."""
    first = group[0]
    for one in group:
        for key in {*first.facts, *one.facts}:
            mine, theirs = first.facts.get(key, "none"), one.facts.get(key, "none")
            if mine != theirs:
                raise InputError(
                    f"{key} is {mine} ({first.place}) and {theirs} ({one.place}): these are two curves; take one with "
                    f"--where {key}={mine if mine != 'none' else theirs}"
                )


def drop_restarts(group: Sequence[Evaluation]) -> tuple[list[Evaluation], list[str]]:
    """The evaluations without those that a resumed run made again, and a remark on the restarts."""
    kept: list[Evaluation] = []
    restarts = []
    for one in group:
        if kept and one.progress <= kept[-1].progress:
            restarts.append(one)
        while kept and kept[-1].progress >= one.progress:
            kept.pop()
        kept.append(one)
    if not restarts:
        return kept, []
    more = f" (and {len(restarts) - 1} times more)" if len(restarts) > 1 else ""
    first, left_out = restarts[0], len(group) - len(kept)
    count = f"{left_out} evaluation{'s' * (left_out != 1)}"
    return kept, [f"{first.place}: training resumes at {first.progress:g}{more}; {count} of what it gave up left out"]


def settle(group: Sequence[Evaluation], repeats: str) -> list[Evaluation]:
    """One evaluation for each progress, in the order of training, with the fact `repeats` if some were chosen. Raises
    InputError if a checkpoint has several distances and nobody said which counts."""
    places: dict[float, list[Evaluation]] = {}
    for one in group:
        places.setdefault(one.progress, []).append(one)
    settled, repeated = [], False
    for progress in sorted(places):
        several = places[progress]
        values = [one.distance for one in several]
        other = next((one for one in several if repr(one.distance) != repr(values[0])), None)
        if other and not repeats:
            raise InputError(
                f"{len(values)} distances at {progress:g}: {values[0]:g} ({several[0].place}) and {other.distance:g} "
                f"({other.place}); --repeats mean, first, last or min says what to take (a minimum of three is not one FID)"
            )
        repeated = repeated or bool(other)
        settled.append(one_of(several, repeats))
    return [replace(one, facts={**one.facts, "repeats": repeats}) for one in settled] if repeated else settled


def one_of(several: Sequence[Evaluation], repeats: str) -> Evaluation:
    """The evaluation to take of several at one checkpoint."""
    if repeats == "mean":
        columns = set.intersection(*({*one.more} for one in several))
        more = {name: sum(one.more[name] for one in several) / len(several) for name in columns}
        return replace(several[0], distance=sum(one.distance for one in several) / len(several), more=more)
    return {"min": min(several, key=lambda one: one.distance), "last": several[-1]}.get(repeats, several[0])
