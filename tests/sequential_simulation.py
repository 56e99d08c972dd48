"""Simulated studies of known speedup, raced until they are decided: what each look says, and where the race stops.

A family of methods shares its baseline's runs. All runs exist beforehand; a race takes those that it would have made.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fidrace.score.grids import Grids, are_coarse
from fidrace.score.sequential import Look
from fidrace.score.speedups import ONE_SIDED, Speedup, speedup
from fidrace.spec.looks import Design
from tests.simulation import Side, World, each


@dataclass(frozen=True)
class Race:
    """How the race of one method ended: after so many seeds, decided or not, called faster or slower. `held`: the intervals of
    all looks, also of those after the race had ended, hold the true factor. `peeked`: faster by the plain interval of some
    look, as if nobody had looked before."""

    seeds: int
    decided: bool
    faster: bool
    slower: bool
    held: bool
    peeked: bool


def look_of(design: Design, number: int) -> Look:
    return Look(design, number, design.looks[number - 1])


def judge(baseline: Side, method: Side, level: float) -> Speedup:
    grids = Grids.COARSE if are_coarse([baseline, method]) else Grids.FINE
    return speedup(baseline, method, grids=grids, level=level)


def race(baseline: Side, method: Side, design: Design, factor: float) -> Race:
    """One method alone against its baseline: Holm's adjustment then changes nothing, and p below 0.025 is the interval's."""
    ends, held, peeked = None, True, False
    for number, seeds in enumerate(design.looks, 1):
        found = judge(baseline[:seeds], method[:seeds], look_of(design, number).level)
        held &= bool(found.ci_low <= factor <= found.ci_high)
        peeked |= judge(baseline[:seeds], method[:seeds], ONE_SIDED).ci_low > 1
        if ends is None and (found.verdict in ("faster", "slower") or found.ci_high < design.futility):
            ends = seeds, True, found.verdict == "faster", found.verdict == "slower"
    return Race(*(ends or (design.last, False, False, False)), held, peeked)


def races(world: World, studies: int, design: Design, seed: int = 0) -> Iterator[Race]:
    """Races of `studies` studies of `world`, whose seeds are those of the last look."""
    n, fd = world.studies(studies, seed)
    for s in range(studies):
        yield race(*each(n, fd[:, s], world), design, world.factor)


def share(found: list[Race], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in found]))


def mean_seeds(found: list[Race]) -> float:
    return float(np.mean([one.seeds for one in found]))
