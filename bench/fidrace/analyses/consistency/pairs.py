"""Pairs of trained networks, grouped by what the two have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from fidrace.analyses.trained import TrainedRun
from fidrace.spec.study import BASELINE

SEEDS, AGAIN, START = "seeds", "again", "start-"  # homes: base study, first run once more, another seed's initial weights

TWIN, SAME_START, SAME_ORDER, NEITHER = (
    f"baseline, {shared}" for shared in ("the same run twice", "same start", "same data order", "neither shared")
)
SAME_SEED, OTHER_SEED, AMONG = "{} against baseline, same seed", "{} against baseline, other seed", "{} among itself"


@dataclass(frozen=True)
class Member:
    """A trained network: the method, the seed of its data order and that of its initial weights."""

    name: str
    home: str
    method: str
    order: int
    start: int

    @classmethod
    def of(cls, one: TrainedRun) -> "Member":
        spec, init = one.spec, one.spec.task.network.init
        return cls(one.name, str(spec.home), spec.method, spec.seed, spec.seed if init is None else init)

    @property
    def seeds(self) -> frozenset[int]:
        return frozenset((self.order, self.start))

    @property
    def subject(self) -> str:
        """What it is beside the baseline of the task's own network: another architecture, by its home, or a method."""
        return self.method if self.home in (SEEDS, AGAIN) or self.home.startswith(START) else self.home


@dataclass(frozen=True)
class Pair:
    """`a` and `b` are the names of generators, `group` what their pair is an instance of, `seeds` whose chances are in it."""

    group: str
    a: str
    b: str
    seeds: frozenset[int] = frozenset()


def relation(a: Member, b: Member) -> str | None:
    """The group of a pair; None where the two differ in more than one thing besides chance, or repeat another pair."""
    if AGAIN in (a.home, b.home):
        return TWIN if (a.subject, a.order, a.start) == (b.subject, b.order, b.start) else None
    if a.subject == b.subject == BASELINE:
        return {(1, 0): SAME_START, (0, 1): SAME_ORDER, (0, 0): NEITHER}.get((a.start == b.start, a.order == b.order))
    if a.subject == b.subject:
        return AMONG.format(a.subject)
    if BASELINE not in (a.subject, b.subject) or START in (a.home[: len(START)], b.home[: len(START)]):
        return None
    other = b.subject if a.subject == BASELINE else a.subject
    return (SAME_SEED if a.order == b.order else OTHER_SEED).format(other)


def pairs_of(members: Sequence[Member]) -> list[Pair]:
    """All pairs that are an instance of something, group by group: the baseline's own first, then subject by subject."""
    found = [Pair(group, a.name, b.name, a.seeds | b.seeds) for a, b in combinations(members, 2) if (group := relation(a, b))]
    subjects = dict.fromkeys(member.subject for member in members if member.subject != BASELINE)
    forms = [form.format(subject) for subject in subjects for form in (SAME_SEED, OTHER_SEED, AMONG)]
    order = [TWIN, SAME_START, SAME_ORDER, NEITHER, *forms]
    return sorted(found, key=lambda pair: order.index(pair.group))
