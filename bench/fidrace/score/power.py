"""Power: how often a study finds a factor that is there, and how many seeds that takes.

A verdict compares a mean of ln cost with its standard error, both measured by the same study. Given the variances that the
study finds, its mean is normal; so the power is the normal distribution's, averaged over those variances, which follow
chi-square. For pairs this is the noncentral t distribution, for independent groups it is exact for Welch's interval too.

variances[G] of single values in G independent groups: of ln factor over pairs (one group), or of ln cost on either side (two).
sizes[G] values in each.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from fidrace.method.base import Floats
from fidrace.score.speedups import LEVEL, MIN_PAIRS, NAN, welch_freedom

USUAL_POWER = 0.8  # Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988
AT_POWER = f"at {100 * USUAL_POWER:.0f} % power"
SURE = 0.8  # the one-sided confidence of the upper limit of a scatter
# of the quadrature, in each variance; errors of power are below 0.002, and below 0.01 for four groups of three values
NODES = {1: 64, 2: 20, 3: 11, 4: 8}
MOST_PLANNED = 1000  # the most seeds that a plan names
HIGHEST = 1e6  # standard errors of ln factor, within which the smallest one is sought


def family_level(methods: int) -> float:
    """The one-sided level at which the least favourable of so many methods is `faster`: its own interval must exclude 1, and
    its p must pass Holm's adjustment as the smallest of them."""
    return LEVEL / max(2, methods)


def power(effect: float, variances: Sequence[float], sizes: Sequence[int], level: float = LEVEL / 2) -> float:
    """The share of studies, of groups with these variances and sizes, that show one-sided at `level` that the sum or difference
    of the means is above 0, if it is `effect`."""
    thresholds, weights = verdict_thresholds(tuple(variances), tuple(sizes), level)
    return float(weights @ ndtr(effect / standard_error_of(variances, sizes) - thresholds))


def standard_error_of(variances: Sequence[float], sizes: Sequence[int]) -> float:
    return float(np.sqrt((np.array(variances) / sizes).sum()))


@lru_cache(256)
def verdict_thresholds(variances: tuple[float, ...], sizes: tuple[int, ...], level: float) -> tuple[Floats, Floats]:
    """The mean, in true standard errors, that a study must exceed, for each of K sets of variances that it may find; and their
    weights[K]. Gauss-Legendre in the quantiles of chi-square."""
    points, widths = np.polynomial.legendre.leggauss(NODES[len(sizes)])
    quantiles, shares = (np.stack(np.meshgrid(*[one] * len(sizes)), -1) for one in ((points + 1) / 2, widths / 2))
    freedom = np.array(sizes) - 1
    true = np.array(variances) / sizes
    found = true * chdtri(freedom, 1 - quantiles.reshape(-1, len(sizes))) / freedom
    ratio = np.sqrt(found.sum(axis=-1) / true.sum())
    return stdtrit(welch_freedom(found, np.array(sizes)), 1 - level) * ratio, shares.reshape(-1, len(sizes)).prod(axis=-1)


def variance(group: Floats) -> float:
    return float(group.var(ddof=1))


@dataclass(frozen=True)
class Scatter:
    """How much single seeds scatter: `variances` of G groups, as a pilot found them, whose sum has `freedom` degrees of
    freedom."""

    variances: tuple[float, ...]
    freedom: float

    @staticmethod
    def of(groups: Sequence[Floats]) -> "Scatter":
        """The scatter of independent groups of two values or more."""
        variances, sizes = (np.array([what(group) for group in groups]) for what in (variance, len))
        return Scatter(tuple(variances.tolist()), float(welch_freedom(variances, sizes)) if variances.any() else NAN)

    @property
    def deviation(self) -> float:
        """The standard deviation of one seed's ln factor."""
        return sum(self.variances) ** 0.5

    @property
    def uncertainty(self) -> float:
        """The factor by which the deviation may be larger, one-sided with confidence SURE, by chi-square."""
        return float(self.freedom / chdtri(self.freedom, SURE)) ** 0.5

    @property
    def upper(self) -> "Scatter":
        """The scatter at that upper limit."""
        return Scatter(tuple(self.uncertainty**2 * one for one in self.variances), self.freedom)

    def power(self, factor: float, seeds: int, level: float = LEVEL / 2) -> float:
        """How often `seeds` seeds, in pairs or a side, show that a factor above 1 is one, if it is `factor`."""
        return power(float(np.log(factor)), self.variances, [seeds] * len(self.variances), level)

    def seeds_for(self, factor: float, wanted: float, level: float = LEVEL / 2, most: int = MOST_PLANNED) -> float:
        """The smallest number of seeds with which the factor is shown with the power `wanted`; inf if more than `most` are."""
        counts = range(MIN_PAIRS, most + 1)
        place = bisect_left(counts, True, key=lambda seeds: self.power(factor, seeds, level) >= wanted)
        return counts[place] if place < len(counts) else np.inf

    def smallest_factor(self, seeds: int, wanted: float, level: float = LEVEL / 2) -> float:
        """The smallest factor that `seeds` seeds show with the power `wanted`."""
        sizes = [seeds] * len(self.variances)
        error = standard_error_of(self.variances, sizes)
        low, high = 0.0, HIGHEST * error
        while high - low > 1e-9 * error:
            middle = (low + high) / 2
            low, high = (low, middle) if power(middle, self.variances, sizes, level) >= wanted else (middle, high)
        with np.errstate(over="ignore"):  # inf: more than any number
            return float(np.exp(high))
