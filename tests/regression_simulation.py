"""Simulated absolute checks: a method now and before, at a known change of its pace. How often does the gate raise an alarm?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fidrace.method.base import Floats
from fidrace.score.comparison import RunTable
from fidrace.score.curves import Curve
from fidrace.score.regressions import check_cost
from fidrace.score.rules import Rules
from fidrace.score.run_tables import make_run_table
from tests.simulation import FAMILIES, World

AXES = ("iteration", "images", "train_seconds", "forwards")


def run_table(n: Floats, fd: Floats, rules: Rules) -> RunTable:
    """fd[P, E] as the runs of a baseline."""
    axes = dict.fromkeys(AXES, n)
    return make_run_table([Curve("t", "baseline", s, "finished", axes, one, one) for s, one in enumerate(fd)], rules)


def outcomes(world: World, paired: bool, pace: float, shares: Sequence[float], studies: int) -> dict[float, Counter[str]]:
    """How many of `studies` checks had which outcome, at each share of the speed that may be lost; now trains at `pace` times
    the pace of before."""
    n, fd = replace(world, factor=pace).studies(studies, seed=0)
    rules = Rules(world.target, "simulated", world.budget, paired=paired)
    found = {share: Counter[str]() for share in shares}
    for k in range(studies):
        before, now = (run_table(n, fd[side, k], rules) for side in (0, 1))
        for share in shares:
            found[share][check_cost(now, before, "baseline", share, "iterations", True).outcome] += 1
    return found


def settings(seeds: Sequence[int]) -> list[tuple[World, bool]]:
    """Every family: two groups of runs that share nothing, and pairs whose paces share much of a seed's luck, or nearly all."""
    kinds = ((False, 0.0), (True, 0.8), (True, 0.95))
    return [
        (World(family, count, correlation=rho, budget=500.0 if family == "digits" else 700.0), paired)
        for family in FAMILIES
        for paired, rho in kinds
        for count in seeds
    ]
