"""From files to a folder of runs: a reader finds evaluations, and a person says whose they are and how they were measured."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fidrace.errors import InputError, nearest
from fidrace.readers.columns import TASK
from fidrace.readers.folder import Run, add_runs
from fidrace.readers.log import REPEATS, Reading, Wanted, runs_of
from fidrace.readers.registry import load_reader
from fidrace.score.columns import FACTS, MORE_FACTS
from fidrace.score.reading import UNNAMED
from fidrace.storage.tables import STATUSES, refuse_name

REPEATED = "repeats"  # the fact that --repeats itself tells
NUMBERS = ("n", "reference_n", "sampling_steps", "nfe", "batch", "epoch_images")  # facts that are counts


@dataclass(frozen=True)
class Told:
    """What a person says of the runs in the files: the method and seed of a single one, or `renamed`, the method and seed of
    each by its name in the file; the task; the distance's name; how they ended; facts of their evaluation, and those in which
    they may differ."""

    method: str = ""
    seed: str = ""
    renamed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    task: str = ""
    metric: str = ""
    status: str = "finished"
    facts: Mapping[str, str] = field(default_factory=dict)
    allow: Sequence[str] = ()
    replace: bool = False


def import_logs(reader: str, paths: Sequence[Path], out: Path, wanted: Wanted = Wanted(), told: Told = Told()) -> list[Run]:
    """Read the files by the reader of that name, and add their runs to the folder `out`; returns them. Raises InputError for
    files that cannot be read, and for runs that do not compare with those in the folder; then nothing is written."""
    check_told(wanted, told)
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: neither a file nor a folder; write what it gives into a file first")
    reading = load_reader(reader)(paths, wanted)
    runs = name_runs(reading, paths[0], wanted, told)
    add_runs(out, runs, reader, reading.files or paths, told.allow, told.replace)
    return runs


def check_told(wanted: Wanted, told: Told) -> None:
    """Raise InputError for what no reader could use."""
    compared = {*FACTS, *MORE_FACTS}
    for what, names, known in (
        ("--fact", told.facts, compared - {REPEATED} | {"epoch_images"}),
        ("--allow", told.allow, compared),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"{what} {name}: not a fact of an evaluation{nearest(name, known)}")
    if told.status not in STATUSES:
        raise InputError(f"--status {told.status}: unknown{nearest(told.status, STATUSES)}")
    if wanted.repeats not in ("", *REPEATS):
        raise InputError(f"--repeats {wanted.repeats}: unknown{nearest(wanted.repeats, REPEATS)}")


def name_runs(reading: Reading, path: Path, wanted: Wanted, told: Told) -> list[Run]:
    """The runs of a reading under the names that they have in tables."""
    found = [*runs_of(reading, wanted)]
    names = [*dict.fromkeys(name for name, *_ in found)]
    for name in told.renamed:
        if name not in names:
            named = [*filter(None, names)]
            raise InputError(
                f"--rename {name}: {path} has no run of that name{nearest(name, named) if named else '; use --method'}"
            )
    if told.method and len(found) > 1:
        listed = ", ".join(name or "unnamed" for name in names[:8])
        raise InputError(f"{path} holds {len(found)} runs ({listed}), and --method names one; name them with --rename")
    runs = []
    for name, seed, evaluations, remarks in found:
        method, given = told.renamed.get(name, (told.method or name, ""))
        method = method.strip()
        if not method:
            raise InputError(f"{path} does not name its method: say --method NAME")
        refuse_name(path, "method", method)
        facts = join_facts(path, reading.facts, evaluations[0].facts, told.facts)
        seed = one_seed(path, given or told.seed, seed or reading.seed)
        metric = told.metric or facts.pop("metric", "").lower() or reading.metric
        remarks = [*reading.remarks, *remarks]
        runs.append(
            Run(
                told.task or task_of(facts),
                method,
                seed,
                told.status,
                reading.unit,
                metric,
                evaluations,
                facts,
                remarks,
            )
        )
    counts = Counter(run.key for run in runs)
    for run in runs:
        if counts[run.key] > 1:
            raise InputError(f"{path}: two runs would be {run.name}; give them seeds with --rename NAME=METHOD:SEED")
    return runs


def task_of(facts: Mapping[str, str]) -> str:
    """The task that the file itself names."""
    return next((text for name, text in facts.items() if name.lower() == TASK), UNNAMED)


def one_seed(path: Path, said: str, told: str) -> str:
    """The seed that a person said or a file told, as a whole number; raises InputError if it is none, or they differ."""
    seeds = []
    for text in filter(None, (said.strip(), told.strip())):
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if number < 0 or number % 1:
            raise InputError(f"{path}: a seed is a whole number from 0, not {text!r}")
        seeds.append(str(int(number)))
    if len({*seeds}) > 1:
        raise InputError(f"{path} says that the seed is {seeds[1]}, and not {seeds[0]}: leave --seed out")
    return seeds[0] if seeds else ""


def in_one_form(fact: str, text: str) -> str:
    """A fact as it is compared: numbers in one form; raises InputError for a count that is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if fact in NUMBERS and not 0 < number < math.inf:
        raise InputError(f"--fact {fact}={text}: write a number, such as 50000")
    return text.strip() if math.isnan(number) else f"{number:.12g}"


def join_facts(path: Path, *tables: Mapping[str, str]) -> dict[str, str]:
    """Facts from a configuration, from names, and from the person; raises InputError where the last contradicts."""
    joined: dict[str, str] = {}
    for table in tables:
        for fact, text in ((fact, in_one_form(fact, text)) for fact, text in table.items()):
            if joined.setdefault(fact, text) != text:
                raise InputError(f"{path} says that {fact} is {joined[fact]}, and not {text}: leave --fact {fact} out")
    return joined
