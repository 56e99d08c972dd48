"""Simulated studies with a known speedup: three families of FD curves, with the scatter of seeds, noise and bumps.

fd[2, S, P, E] distances of baseline and method, S studies of P pairs, at n[E] iterations. The method is `factor` times as
fast: its curve is the baseline's with iterations multiplied.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator
from scipy.stats import CensoredData, binom, logrank

from fidrace.method.base import Floats
from fidrace.score.costs import log_costs
from fidrace.score.crossings import TargetCost, cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.grids import Grids, are_coarse
from fidrace.score.speedups import half_width, speedup, student
from fidrace.score.windows import Window

DIGITS = Path(__file__).parent / "digits_curves.csv"  # the field of eighteen methods, raced with the first streams
FAMILIES = ("log-linear", "power law", "digits")
DIGITS_STEP = 50.0


@dataclass(frozen=True)
class World:
    """How studies come about. `spread`: standard deviation, over seeds, of ln(pace); `correlation`: of it within pairs;
    `noise`: of ln FD from one evaluation to the next; `bumps` (`dips`): the chance that an evaluation lies a factor 1.5
    above (the method's: below) its curve. In the family `digits` all scatter is that of real runs."""

    family: str
    seeds: int
    factor: float = 1.0
    correlation: float = 0.0
    spread: float = 0.1
    noise: float = 0.04
    bumps: float = 0.05
    dips: float = 0.0
    budget: float = 700.0
    crossing: float = 300.0  # iterations at which the baseline without scatter is at the target

    @property
    def step(self) -> float:
        """Iterations between evaluations."""
        return DIGITS_STEP if self.family == "digits" else 25.0

    def log_mean(self, n: Floats) -> Floats:
        """ln FD of the baseline without scatter."""
        if self.family == "log-linear":
            return np.log(300.0) - n / 300.0 * np.log(30.0)
        if self.family == "power law":
            return np.log(5 + 295 * (1 + n / 20.0) ** -1.5)
        known, mean, _ = digits_curves()
        last = known[-1]
        slope = (mean[-1] - mean[-3]) / (last - known[-3])
        return PchipInterpolator(known, mean)(np.minimum(n, last)) + slope * np.maximum(n - last, 0)

    @cached_property
    def target(self) -> float:
        return float(np.exp(self.log_mean(np.array([self.crossing]))[0]))

    def studies(self, count: int, seed: int) -> tuple[Floats, Floats]:
        """n[E] and fd[2, count, seeds, E], the last evaluation one step past the budget."""
        rng = np.random.default_rng([seed, self.seeds])
        n = np.arange(round(self.budget / self.step) + 2) * self.step
        both = (2, count, self.seeds)
        factor = np.array([1.0, self.factor])[:, None, None]
        if self.family == "digits":
            _, _, residuals = digits_curves()
            common, base, apart = rng.integers([[0], [0], [1]], len(residuals), (3, count * self.seeds))
            ours = (base + apart) % len(residuals)  # never the same run twice
            # what the two of a pair share makes them correlate, and leaves them alike
            shared, own = np.sqrt(self.correlation), np.sqrt(1 - self.correlation)
            scatter = np.stack([shared * residuals[common] + own * residuals[one] for one in (base, ours)])
            log_fd = self.log_mean(n * factor[..., None]) + scatter.reshape(*both, -1)[..., : len(n)]
        else:
            pace = rng.normal(0, self.spread, both)
            pace[1] = self.correlation * pace[0] + np.sqrt(1 - self.correlation**2) * pace[1]
            log_fd = self.log_mean(n * (factor * np.exp(pace))[..., None]) + rng.normal(0, self.noise, (*both, len(n)))
            log_fd += np.log(1.5) * (rng.random(log_fd.shape) < self.bumps)
        log_fd[1] -= np.log(1.5) * (rng.random(log_fd[1].shape) < self.dips) * (n > 0)
        return n, np.exp(log_fd)


@cache
def digits_curves() -> tuple[Floats, Floats, Floats]:
    """n[E], the mean ln FD of real baseline runs on digits, and what is left[R, E] of every run's ln FD over its
    method's mean, scaled up for the mean that it has lost."""
    logs = np.log(pd.read_csv(DIGITS).pivot_table(index=["method", "seed"], columns="iteration", values="fd"))
    means = logs.groupby("method").transform("mean")
    seeds = len(logs.loc["baseline"])
    left = (logs - means).to_numpy() * (seeds / (seeds - 1)) ** 0.5
    return logs.columns.to_numpy(float), means.loc["baseline"].iloc[0].to_numpy(), left


Side = list[TargetCost]
Interval = tuple[float, float]
Rule = Callable[[Side, Side], Interval]


def protocol(baseline: Side, method: Side) -> Interval:
    found = speedup(baseline, method, grids=Grids.COARSE if are_coarse([baseline, method]) else Grids.FINE)
    return found.ci_low, found.ci_high


Cost = Callable[[Floats, Floats, World], tuple[Side, Side]]


def each(n: Floats, fd: Floats, world: World) -> tuple[Side, Side]:
    """What baseline and method needed, fd[2, P, E]."""
    baseline, method = (costs(n, side, world) for side in fd)
    return baseline, method


def to_baseline_final(n: Floats, fd: Floats, world: World) -> tuple[Side, Side]:
    """The papers' habit: what the method needed to where its baseline is at the budget, which costs the baseline the budget."""
    place = int(np.searchsorted(n, world.budget))
    method = [costs(n, one[None], world, float(base[place]))[0] for base, one in zip(*fd, strict=True)]
    return [TargetCost(world.budget, world.budget, world.budget)] * len(method), method


def over_window(ratio: float, paired: bool = True) -> Cost:
    """What baseline and method needed, averaged over a window of targets."""

    def cost(n: Floats, fd: Floats, world: World) -> tuple[Side, Side]:
        window = Window(ratio, world.target, "iterations", world.budget)
        (baseline, method), _ = window.average([curves(n, side) for side in fd], each(n, fd, world), paired)
        return baseline, method

    return cost


def costs(n: Floats, fd: Floats, world: World, target: float | None = None) -> Side:
    """What each of fd[P, E] needed."""
    target = world.target if target is None else target
    return [cost_of_target(curve, target, "iterations", world.budget) for curve in curves(n, fd)]


def curves(n: Floats, fd: Floats) -> list[Curve]:
    axes = dict.fromkeys(("iteration", "images", "train_seconds", "forwards"), n)
    return [Curve("t", "m", seed, "finished", axes, one, one) for seed, one in enumerate(fd)]


@dataclass(frozen=True)
class Outcome:
    """Of `studies` intervals: shares that hold the true factor, that lie above 1, below 1; and the share of censored runs
    of the baseline."""

    studies: int
    coverage: float
    faster: float
    slower: float
    censored: float


def outcome(world: World, studies: int, rule: Rule = protocol, seed: int = 0, cost: Cost = each) -> Outcome:
    n, fd = world.studies(studies, seed)
    low, high, censored = np.empty(studies), np.empty(studies), 0
    for s in range(studies):
        baseline, method = cost(n, fd[:, s], world)
        low[s], high[s] = rule(baseline, method)
        censored += sum(one.censored for one in baseline)
    held = (low <= world.factor) & (world.factor <= high)
    return Outcome(studies, held.mean(), (low > 1).mean(), (high < 1).mean(), censored / (studies * world.seeds))


def scarce(world: World) -> World:
    """The same world with a budget that a quarter to a half of the baseline runs exceed."""
    return replace(world, budget=300.0, crossing=285.0)


def first_touch(n: Floats, fd: Floats, world: World) -> tuple[Side, Side]:
    """Rejected: the first evaluation at or below the target counts, whatever comes after it."""
    return each(n, np.minimum.accumulate(fd, axis=-1), world)


def noise_twice(world: World) -> Rule:
    """Rejected: the evaluations' own noise added to the scatter between seeds, which contains it already."""
    near = world.crossing * np.array([0.98, 1.02])
    slope = np.diff(world.log_mean(near)) / np.diff(np.log(near))
    variance = float((world.noise / slope[0]) ** 2)

    def rule(baseline: Side, method: Side) -> Interval:
        d = log_costs(baseline) - log_costs(method)
        half = half_width(((d.var(ddof=1) + 2 * variance) / len(d)) ** 0.5, len(d) - 1)
        return float(np.exp(d.mean() - half)), float(np.exp(d.mean() + half))

    return rule


def restricted(baseline: Side, method: Side) -> Interval:
    """Rejected: a censored run counts as if it had needed the budget, wherever the interval then excludes 1."""
    d = log_costs(baseline) - log_costs(method)
    _, low, high, *_ = student(d)
    open_low, open_high = (any(one.censored for one in side) for side in (method, baseline))
    return (0.0 if open_low and low <= 0 else float(np.exp(low))), (np.inf if open_high and high >= 0 else float(np.exp(high)))


def log_rank(baseline: Side, method: Side) -> Interval:
    """Rejected: the log-rank test on the two groups, one-sided at 2.5 %. It knows no pairs and gives no factor: the interval
    is above 1 or holds all."""
    ours, theirs = (
        CensoredData.right_censored([one.cost for one in side], [one.censored for one in side]) for side in (method, baseline)
    )
    return (np.nextafter(1, 2) if logrank(ours, theirs, alternative="greater").pvalue < 0.025 else 0.0), np.inf


def too_few(share: float, studies: int, required: float) -> bool:
    """Whether a share of studies is too low to come from `required`, one chance in a thousand of an error."""
    return bool(binom.cdf(round(share * studies), studies, required) < 0.001)


def too_many(share: float, studies: int, allowed: float) -> bool:
    return bool(binom.sf(round(share * studies) - 1, studies, allowed) < 0.001)


def worlds(seeds: Sequence[int]) -> list[World]:
    """Every family, uncorrelated pairs and correlated ones, budgets that suffice and budgets that do not."""
    plenty = [
        World(family, count, correlation=rho, budget=500.0 if family == "digits" else 700.0)
        for family in FAMILIES
        for rho in (0.0, 0.8)
        for count in seeds
    ]
    return [world for one in plenty for world in (one, scarce(one))]
