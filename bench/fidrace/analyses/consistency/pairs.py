"""Pairs of generators, grouped by what the two share.

A generator is anything that turns latents into images: a trained or untrained network, or a closed-form denoiser. A group is a
subject (a method, another architecture, a denoiser) and the relation between the two generators of each of its pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations

from fidrace.analyses.trained import TrainedRun
from fidrace.spec.user_input import BASELINE

# Homes of the series: the base study, its first run once more, runs with the initial weights of another seed.
SEEDS, AGAIN, START = "seeds", "again", "start-"
GAUSSIAN, EXACT = "Gaussian denoiser", "exact denoiser"  # generators without a network


class Relation(Enum):
    """What the generators of a pair share, or how they differ. The order is that of the groups in tables."""

    UNTRAINED = auto()  # both before training, zero layers redrawn
    SAME_RUN = auto()  # one run, executed twice
    SAME_START = auto()  # initial weights shared, data order not
    SAME_ORDER = auto()  # data order shared, initial weights not
    NEITHER = auto()  # two baselines that share neither
    SAME_SEED = auto()  # the subject against the baseline of its own seed
    OTHER_SEED = auto()  # the subject against the baseline of another seed
    AMONG_ITSELF = auto()  # two seeds of a subject that is not the baseline
    DENOISER = auto()  # the baseline against a closed-form denoiser
    SHUFFLED = auto()  # two baselines, the latents of one permuted


@dataclass(frozen=True)
class Group:
    """All pairs of one relation that involve `subject`."""

    relation: Relation
    subject: str = BASELINE


NEITHER = Group(Relation.NEITHER)
LABELS = {
    Relation.UNTRAINED: "untrained, outputs drawn at random",
    Relation.SAME_RUN: "{}, the same run twice",
    Relation.SAME_START: "{}, same start",
    Relation.SAME_ORDER: "{}, same data order",
    Relation.NEITHER: "{}, neither shared",
    Relation.SAME_SEED: f"{{}} against {BASELINE}, same seed",
    Relation.OTHER_SEED: f"{{}} against {BASELINE}, other seed",
    Relation.AMONG_ITSELF: "{} among itself",
    Relation.DENOISER: f"{BASELINE} against the {{}}",
    Relation.SHUFFLED: "{}, one side's latents shuffled",
}


def group_label(group: Group) -> str:
    """The group in words, as tables, findings and pictures show it."""
    return LABELS[group.relation].format(group.subject)


@dataclass(frozen=True)
class TrainedGenerator:
    """A trained network: its method, the seed of its data order and that of its initial weights."""

    name: str
    home: str
    method: str
    order: int
    start: int

    @classmethod
    def of(cls, run: TrainedRun) -> "TrainedGenerator":
        spec, init = run.spec, run.spec.own_task.network.init
        return cls(run.name, str(spec.home), spec.method, spec.seed, spec.seed if init is None else init)

    @property
    def seeds(self) -> frozenset[int]:
        return frozenset((self.order, self.start))

    @property
    def is_base(self) -> bool:
        """True for the baseline of the base study, with which everything else is compared."""
        return (self.home, self.method) == (SEEDS, BASELINE)

    @property
    def subject(self) -> str:
        """The method, or the name of the architecture if it is not the task's own."""
        return self.method if self.home in (SEEDS, AGAIN) or self.home.startswith(START) else self.home


@dataclass(frozen=True)
class GeneratorPair:
    """Two generators, `a` and `b`, by name. `seeds` are those that either of them depends on."""

    group: Group
    a: str
    b: str
    seeds: frozenset[int] = frozenset()


def group_of(a: TrainedGenerator, b: TrainedGenerator) -> Group | None:
    """The group of a pair; None if the two differ in more than one thing besides chance, or repeat another pair."""
    if AGAIN in (a.home, b.home):
        return Group(Relation.SAME_RUN) if (a.subject, a.order, a.start) == (b.subject, b.order, b.start) else None
    if a.subject == b.subject == BASELINE:
        shared = (a.start == b.start, a.order == b.order)
        relations = {(1, 0): Relation.SAME_START, (0, 1): Relation.SAME_ORDER, (0, 0): Relation.NEITHER}
        return Group(relations[shared]) if shared in relations else None
    if a.subject == b.subject:
        return Group(Relation.AMONG_ITSELF, a.subject)
    if BASELINE not in (a.subject, b.subject) or a.home.startswith(START) or b.home.startswith(START):
        return None
    subject = b.subject if a.subject == BASELINE else a.subject
    return Group(Relation.SAME_SEED if a.order == b.order else Relation.OTHER_SEED, subject)


def group_pairs(generators: Sequence[TrainedGenerator]) -> list[GeneratorPair]:
    """All pairs that belong to a group, group by group: the baseline's own first, then subject by subject."""
    subjects = list(dict.fromkeys([BASELINE, *(one.subject for one in generators)]))
    relations = list(Relation)

    def place(pair: GeneratorPair) -> tuple[int, int]:
        return subjects.index(pair.group.subject), relations.index(pair.group.relation)

    pairs = [
        GeneratorPair(group, a.name, b.name, a.seeds | b.seeds)
        for a, b in combinations(generators, 2)
        if (group := group_of(a, b))
    ]
    return sorted(pairs, key=place)
