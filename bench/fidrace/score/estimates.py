"""Estimates of the gate: a factor or a ratio with its interval, the outcome against a bound, and how many seeds would decide.

A check whose interval holds the bound cannot tell. If the true mean and scatter were those found, with how many seeds would a
study tell with USUAL_POWER?
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.costs import log_costs
from fidrace.score.grids import Grids
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.power import AT_POWER, USUAL_POWER, power, variance
from fidrace.score.speedups import NAN, ONE_SIDED, ROUNDING, half_width, interval, standard_error, supports, widen

HOLDS, FAILS, UNDECIDED, NOTHING = "holds", "fails", "cannot tell", "not measured"
MOST_SEEDS, ANY_NUMBER = 200, 10**9  # the most that a note names; and so many that only what is not scatter is left


@dataclass(frozen=True)
class Estimate:
    """A factor or the ratio of two, and what its 95 % interval is made of.

    Its ln is `mean`, a sum or difference of the means of independent `groups` (none: it is exact). `is_open` says whether
    costs leave the lower and the upper limit open, `bracket` and `grids` what the evaluation grids support. `how`: the two
    that a ratio compares, in words. `seeds_are`: what a number of seeds counts, such as `seeds a side`.
    `level`: the chance that either limit may miss."""

    mean: float
    groups: Sequence[Floats]
    is_open: tuple[bool, bool] = (False, False)
    bracket: tuple[float, float] = (0.0, np.inf)
    grids: Grids = Grids.FINE
    how: str = ""
    seeds_are: str = "seeds"
    level: float = ONE_SIDED

    @property
    def factor(self) -> float:
        return float(np.exp(self.mean))

    @property
    def ci_low(self) -> float:
        return self.limits()[0]

    @property
    def ci_high(self) -> float:
        return self.limits()[1]

    @property
    def is_bounded(self) -> bool:
        return self.limits() != (0.0, np.inf)

    def limits(self, seeds: int = 0) -> tuple[float, float]:
        """The interval, by Student or Welch, as wide as grids demand, open where costs are. With `seeds`, what it would be if
        smaller groups had that many values of the same scatter."""
        low = high = self.mean
        if self.groups and seeds:
            half = half_width(*standard_error(self.groups, seeds), self.level)
            low, high = self.mean - half, self.mean + half
        elif self.groups:
            _, low, high, *_ = interval(self.mean, self.groups, self.level)
        ci_low, ci_high = float(np.exp(low)), float(np.exp(high))
        if not supports(self.grids, ci_low, ci_high, *self.bracket):
            ci_low, ci_high = widen(ci_low, ci_high, *self.bracket)
        return 0.0 if self.is_open[0] else ci_low, np.inf if self.is_open[1] else ci_high

    def __str__(self) -> str:
        return f"{self.factor:.2f} [{self.ci_low:.2f}, {self.ci_high:.2f}]"


def estimate_of(comparison: MethodComparison) -> Estimate:
    """The factor of a comparison that has an interval, which is the one that its speedup says."""
    found = comparison.speedup
    assert found is not None
    return Estimate(
        mean_log_factor(comparison),
        log_factors(comparison),
        (found.ci_low == 0, found.ci_high == np.inf),
        (found.grid_low, found.grid_high),
        Grids.FINE if found.identical else comparison.grids,
        seeds_are="seeds" if comparison.paired else "seeds a side",
        level=comparison.level,
    )


def log_factors(comparison: MethodComparison) -> list[Floats]:
    """ln of the factor, pair by pair; of groups that are not paired, the ln costs of either."""
    ours, theirs = map(log_costs, comparison.compared)
    return [theirs - ours] if comparison.paired else [theirs, ours]


def mean_log_factor(comparison: MethodComparison) -> float:
    if comparison.speedup is not None and comparison.speedup.identical:
        return 0.0
    ours, theirs = map(log_costs, comparison.compared)
    return float(theirs.mean() - ours.mean())


def outcome(low: float, high: float, bound: float) -> str:
    """The outcome of the interval [low, high] against `bound`, with a tolerance so that rounding never decides."""
    asked = bound * (1 - 1e-9)
    return HOLDS if low >= asked else FAILS if high < asked else UNDECIDED


def seeds_needed(estimate: Estimate, bound: float) -> float:
    """The smallest number of seeds with which a study decides about `bound` with USUAL_POWER, if the true mean and scatter are
    those found. inf if more than MOST_SEEDS would, NaN if no number would."""

    def can_decide(seeds: int) -> bool:  # with the mean and the scatter that were found, whatever grids and open limits allow
        return outcome(*estimate.limits(seeds), bound) != UNDECIDED

    def decides(seeds: int) -> bool:
        return can_decide(seeds) and power_against(estimate, bound, seeds) >= USUAL_POWER

    if not estimate.groups or is_what_is_asked(estimate, bound):
        return NAN
    counts = range(min(map(len, estimate.groups)) + 1, MOST_SEEDS + 1)
    if estimate.grids is Grids.FINE:
        place = bisect_left(counts, True, key=decides)
    else:  # a narrower interval that comes to exclude 1 may be widened again
        place = next((k for k, seeds in enumerate(counts) if decides(seeds)), len(counts))
    if place < len(counts):
        return counts[place]
    return np.inf if can_decide(ANY_NUMBER) else NAN


def power_against(estimate: Estimate, bound: float, seeds: int) -> float:
    """How often an interval by Student or Welch would exclude `bound`, on the side where the estimate lies, if smaller groups
    had `seeds` values."""
    variances = [*map(variance, estimate.groups)]
    if not any(variances):
        return 1.0
    sizes = [max(len(group), seeds) for group in estimate.groups]
    return power(abs(estimate.mean - float(np.log(bound))), variances, sizes)


def is_what_is_asked(estimate: Estimate, bound: float) -> bool:
    return abs(estimate.mean - np.log(bound)) < ROUNDING


def describe_seeds(needed: float, estimate: Estimate, bound: float) -> str:
    """What `seeds_needed` found, in words."""
    if needed == np.inf:
        return f"more than {MOST_SEEDS} {estimate.seeds_are} would be needed {AT_POWER}"
    if not np.isnan(needed):
        return f"about {needed:.0f} {estimate.seeds_are} would tell {AT_POWER}"
    if is_what_is_asked(estimate, bound):
        return "no number of seeds would tell: the estimate is what is asked"
    if estimate.is_open[int(estimate.mean < np.log(bound))]:
        return "no number of seeds would tell: runs whose cost is not known leave the interval open"
    return "no number of seeds would tell: evaluate more often, and all runs alike"
