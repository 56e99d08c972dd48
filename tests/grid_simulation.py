"""Simulated studies whose two sides are looked at differently often, or rarely: what verdicts do the rules of scoring give?

The baseline's curve without scatter is at the target after 300 iterations, the method's after 300 / factor. The grid of the
rarely evaluated side has `before` steps before that, and `phase` of the next one; the other side's is `ratio` times as fine.
"""

from dataclasses import dataclass

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.curves import Curve
from fidrace.score.rules import Rules
from fidrace.score.run_tables import make_run_table
from fidrace.score.speedups import speedup as interpolated

FAMILIES = ("log-linear", "power law", "bumpy")
CROSSING, TARGET, START, END = 300.0, 10.0, 300.0, 900.0


@dataclass(frozen=True)
class GridWorld:
    """`family` of the baseline's curve, and `other` of the method's (the same if empty); pairs or two groups of `seeds` runs;
    which side is evaluated more often: `method` or `baseline`. Scatter as in simulation.World: of paces 10 %, of an evaluation
    4 %, and in the bumpy family one evaluation in ten is 1.5 times as high."""

    family: str
    seeds: int
    before: int
    phase: float = 0.5
    ratio: int = 1
    finer: str = "method"
    correlation: float = 0.0
    factor: float = 1.0
    other: str = ""
    paired: bool = True
    spread: float = 0.1
    noise: float = 0.04

    def grids(self) -> tuple[Floats, Floats]:
        """The iterations at which baseline and method are evaluated."""
        step = CROSSING / (self.before + self.phase)
        coarse = np.arange(0, END + 2 * step, step)
        fine = np.arange(0, END + 2 * step, step / self.ratio)
        return (coarse, fine) if self.finer == "method" else (fine, coarse)

    def distances(self, family: str, n: Floats, pace: Floats, rng: np.random.Generator) -> Floats:
        """fd[..., E] of runs at these paces."""
        log_fd = log_mean(family, n * np.exp(pace)[..., None]) + rng.normal(0, self.noise, (*pace.shape, len(n)))
        return np.exp(log_fd + np.log(1.5) * (rng.random(log_fd.shape) < (0.1 if family == "bumpy" else 0.0)))


def log_mean(family: str, n: Floats) -> Floats:
    """ln FD without scatter: START at 0 and TARGET at CROSSING."""
    if family != "power law":
        return np.log(START) - n / CROSSING * np.log(START / TARGET)
    scale = ((START - 5) / (TARGET - 5)) ** (2 / 3) - 1
    return np.log(5 + (START - 5) * (1 + scale * n / CROSSING) ** -1.5)


def curves(method: str, n: Floats, fd: Floats) -> list[Curve]:
    blank = np.full(len(n), np.nan)
    columns = {"iteration": n, "images": blank, "train_seconds": blank, "forwards": blank}
    return [Curve("t", method, seed, "finished", columns, one, blank) for seed, one in enumerate(fd)]


@dataclass(frozen=True)
class Verdicts:
    """Shares of studies: called faster, called slower, and those whose interval from interpolated costs alone would say so."""

    faster: float
    slower: float
    interpolated_faster: float
    interpolated_slower: float
    factor: float


def verdicts(world: GridWorld, studies: int, seed: int = 0) -> Verdicts:
    """What the rules say of `studies` simulated studies, and what they would say without regard to grids."""
    rng = np.random.default_rng([seed, world.seeds, world.before, world.ratio, world.finer == "method"])
    pace = rng.normal(0, world.spread, (2, studies, world.seeds))
    pace[1] = world.correlation * pace[0] + np.sqrt(1 - world.correlation**2) * pace[1] + np.log(world.factor)
    grids = world.grids()
    base = world.distances(world.family, grids[0], pace[0], rng)
    ours = world.distances(world.other or world.family, grids[1], pace[1], rng)
    rules = Rules(TARGET, "simulated", np.inf, paired=world.paired, ends_freely=True)
    found = np.zeros(4)
    factors = []
    for k in range(studies):
        table = make_run_table(curves("baseline", grids[0], base[k]) + curves("m", grids[1], ours[k]), rules)
        speedup = table.compare("m", "iterations").speedup
        assert speedup
        theirs, mine = ([*table.costs(name, "iterations").values()] for name in ("baseline", "m"))
        plain = interpolated(theirs, mine, paired=world.paired)
        found += [speedup.verdict == "faster", speedup.verdict == "slower", plain.ci_low > 1, plain.ci_high < 1]
        factors.append(np.log(speedup.factor))
    return Verdicts(*(found / studies), float(np.exp(np.nanmean(factors))))
