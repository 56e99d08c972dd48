"""provenance.csv: which guarantees the runs of another trainer have, and who holds each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fidrace.errors import InputError
from fidrace.storage.tables import read_rows

PROVENANCE = "provenance.csv"
COLUMNS = ("task", "method", "seed", "guarantee", "held_by", "how")
HELD_BY = ("harness", "config", "measured", "said", "unknown")  # the strongest first
WEAK = HELD_BY[3:]


@dataclass(frozen=True)
class Guarantee:
    """What holds for one run, who holds it, and how that is known."""

    task: str
    method: str
    seed: int
    guarantee: str
    held_by: str
    how: str


def read_provenance(folder: Path) -> tuple[Guarantee, ...]:
    """The guarantees of the runs in `folder`; none if it has no such table. Raises InputError for one that is damaged."""
    path = folder / PROVENANCE
    if not path.exists():
        return ()
    rows = read_rows(path, COLUMNS)
    for row in rows:
        if row["held_by"] not in HELD_BY or not row["seed"].isdecimal():
            raise InputError(f"{path}: damaged; `fidrace run` of its study writes it again")
    return tuple(Guarantee(**{**{name: row[name] for name in COLUMNS}, "seed": int(row["seed"])}) for row in rows)


def weakest(guarantees: Iterable[Guarantee]) -> str:
    """A note such as `said: same chances, adapter inert`, on what is held weakest; empty if nothing is weak."""
    found = list(guarantees)
    for held_by in reversed(WEAK):
        if names := dict.fromkeys(one.guarantee for one in found if one.held_by == held_by):
            return f"{held_by}: {', '.join(names)}"
    return ""


def merged_lines(guarantees: Sequence[Guarantee]) -> list[list[str]]:
    """One line for each guarantee and way in which it is held: guarantee, held by, how, and for which runs."""
    runs: dict[tuple[str, str, str], list[Guarantee]] = {}
    for one in guarantees:
        runs.setdefault((one.guarantee, one.held_by, one.how), []).append(one)
    total = len({(one.method, one.seed) for one in guarantees})
    order = list(dict.fromkeys(one.guarantee for one in guarantees))
    lines = []
    for (guarantee, held_by, how), ones in sorted(runs.items(), key=lambda item: order.index(item[0][0])):
        methods = ", ".join(dict.fromkeys(one.method for one in ones))
        lines.append([guarantee, held_by, how, "all runs" if len(ones) == total else f"{len(ones)} runs: {methods}"])
    return lines
