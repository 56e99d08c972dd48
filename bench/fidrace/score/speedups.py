"""Speedups: paired by seed, on the log scale, with Student-t intervals and honest bounds where runs are censored.

d[P] = ln(baseline's cost) - ln(method's cost) over P pairs; a factor above 1 means the method is faster. A censored run
enters with the budget as its cost, which is less than it needed: a censored baseline makes d too small, a censored method
too large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats would take a second to import

from fidrace.method.base import Floats
from fidrace.score.crossings import TargetCost

MIN_PAIRS = 3  # for an interval
NAN = float("nan")


@dataclass(frozen=True)
class Speedup:
    """A factor with its 95 % interval. `bound` says how to read the factor: = as a point, >= or <= as a bound, none: there is
    no point.

    With fewer than MIN_PAIRS pairs the limits, p_value and detectable are NaN. `detectable` is the smallest factor that this
    scatter and number of pairs could have distinguished from 1, NaN if the lower limit is open. `identical`: the curves are
    equal to the last digit.
    """

    pairs: int
    factor: float
    ci_low: float
    ci_high: float
    bound: str
    p_value: float
    detectable: float
    correlation: float
    identical: bool = False

    @property
    def verdict(self) -> str:
        if self.identical:
            return "identical"
        if self.ci_low > 1:
            return "faster"
        return "slower" if self.ci_high < 1 else "no difference shown"

    def __str__(self) -> str:
        """`1.22x [1.14, 1.31] (10 pairs)`, a bound with its sign."""
        sign = "" if self.bound == "=" else self.bound
        point = "no point" if np.isnan(self.factor) else f"{sign}{self.factor:.2f}x"
        interval = "no interval" if np.isnan(self.ci_low) else f"[{self.ci_low:.2f}, {self.ci_high:.2f}]"
        return f"{point} {interval} ({self.pairs} pairs)"


def log_costs(side: Sequence[TargetCost]) -> Floats:
    return np.log([one.cost for one in side])


def speedup(baseline: Sequence[TargetCost], method: Sequence[TargetCost], identical: bool = False) -> Speedup:
    """The method's speedup over the baseline from one or more pairs (same seed at the same place in both).

    exp(mean d) with mean +- t s / sqrt(P). Any censored method run leaves the lower limit open (0), any censored baseline run
    the upper one (inf), because the cost of such a run is unknown. p is one-sided, of d > 0, and 1 if the lower limit is
    open. Curves that are `identical` have the factor 1 for any seed.
    """
    base, other = log_costs(baseline), log_costs(method)
    base_censored, other_censored = (any(one.censored for one in side) for side in (baseline, method))
    mean, low, high, p_value, reach = student(base - other)
    ci_low, ci_high = float(np.exp(low)), float(np.exp(high))
    if len(base) >= MIN_PAIRS and not identical:
        ci_low = 0.0 if other_censored else ci_low
        ci_high = np.inf if base_censored else ci_high
        p_value = 1.0 if other_censored else p_value
    bound = {(0, 0): "=", (1, 0): ">=", (0, 1): "<=", (1, 1): "none"}[base_censored, other_censored]
    factor = NAN if bound == "none" else float(np.exp(mean))
    detectable = NAN if other_censored and not identical else float(np.exp(reach))
    return Speedup(len(base), factor, ci_low, ci_high, bound, p_value, detectable, correlation(base, other), identical)


def student(d: Floats) -> tuple[float, float, float, float, float]:
    """Mean of d, its 95 % limits, the one-sided p of a mean above 0, and the half-width; all but the mean are NaN for fewer
    than MIN_PAIRS values."""
    mean = float(d.mean())
    if len(d) < MIN_PAIRS:
        return mean, NAN, NAN, NAN, NAN
    error = float(d.std(ddof=1)) / len(d) ** 0.5
    half = half_width(error, len(d) - 1)
    p_value = float(stdtr(len(d) - 1, -mean / error)) if error > 0 else float(mean <= 0)
    return mean, mean - half, mean + half, p_value, half


def half_width(error: float, freedom: float) -> float:
    """Half the width of a two-sided 95 % interval by Student's t, from a standard error and its degrees of freedom."""
    return float(stdtrit(freedom, 0.975)) * error


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's r over the pairs; NaN if either side does not vary."""
    if len(a) < MIN_PAIRS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return NAN
    return float(np.corrcoef(a, b)[0, 1])


def holm(p: Floats) -> Floats:
    """Holm's step-down adjustment of p[M] (Scandinavian Journal of Statistics 6, 1979); NaN stays NaN and is not counted."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(order), 0, -1)))
    return adjusted
