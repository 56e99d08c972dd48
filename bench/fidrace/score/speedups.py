"""Speedups on the log scale: of pairs by Student, of independent runs by Welch, and honest bounds where costs are.

d[P] = ln(baseline's cost) - ln(method's cost) over P pairs; a factor above 1 means the method is faster. A right-censored run
enters with the budget as its cost, which is less than it needed, a left-censored one with more than it needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats would take a second to import

from fidrace.method.base import Floats
from fidrace.score.costs import are_open, costs_of, grid_bracket
from fidrace.score.crossings import TargetCost
from fidrace.score.grids import Grids

MIN_PAIRS = 3  # or runs of each side, for an interval
FASTER, SLOWER, IDENTICAL, NO_DIFFERENCE = "faster", "slower", "identical", "no difference shown"
NAN = float("nan")
NO_SCATTER, ROUNDING = 1e-9, 1e-9
LEVEL = 0.05  # of an adjusted p
ONE_SIDED = 0.025  # the chance that either limit of an interval may miss


@dataclass(frozen=True)
class Speedup:
    """A factor with its interval, of 95 % unless another level was asked. `bound` says how to read the factor: = as a point, >=
    or <= as a bound, none: there is no point. `grid_low` to `grid_high` is what the evaluation grids alone support, whatever
    the interpolation.

    With too few runs the limits, p-values and detectable are NaN. `p_value` and `p_slower` are one-sided, of a factor above
    and below 1. `detectable` is the smallest factor that this scatter and number of runs could have distinguished from 1, NaN
    if the lower limit is open. `identical`: the curves are equal to the last digit. `runs`: of the method and the reference;
    they are `pairs` if each shares its chances with one of the other side, otherwise `pairs` is 0.
    """

    pairs: int
    runs: tuple[int, int]
    factor: float
    ci_low: float
    ci_high: float
    bound: str
    p_value: float
    p_slower: float
    detectable: float
    correlation: float
    grid_low: float
    grid_high: float
    identical: bool = False

    @property
    def verdict(self) -> str:
        """The verdict of this factor's own interval, as if no other method had been tried."""
        if self.identical:
            return IDENTICAL
        if self.ci_low > 1:
            return FASTER
        return SLOWER if self.ci_high < 1 else NO_DIFFERENCE

    def __str__(self) -> str:
        """`1.22x [1.14, 1.31] (10 pairs)`, a bound with its sign."""
        sign = "" if self.bound == "=" else self.bound
        point = "no point" if np.isnan(self.factor) else f"{sign}{self.factor:.2f}x"
        interval = "no interval" if np.isnan(self.ci_low) else f"[{self.ci_low:.2f}, {self.ci_high:.2f}]"
        return f"{point} {interval} ({f'{self.pairs} pairs' if self.pairs else '{} and {} runs'.format(*self.runs)})"


def speedup(
    baseline: Sequence[TargetCost],
    method: Sequence[TargetCost],
    identical: bool = False,
    paired: bool = True,
    bracket: tuple[float, float] | None = None,
    grids: Grids = Grids.FINE,
    lost: tuple[bool, bool] = (False, False),
    level: float = ONE_SIDED,
) -> Speedup:
    """The method's speedup over the baseline: if `paired`, from pairs that share their chances (at the same place in both),
    else from two independent groups.

    Pairs: exp(mean d) with mean +- t s / sqrt(P). Groups: Welch's interval of the difference of mean ln cost. The limit
    towards which a cost may be wrong is open (0 or inf, and its p is 1): the lower one if a method's cost may be more or a
    baseline's less, the upper one in the other two cases; also if runs of the method, or of the baseline, were `lost` that
    might never have arrived. `bracket`: what the grids support,
    if not what these costs say. Where `grids` are coarse, an interval that excludes 1 is widened to hold the bracket unless
    that excludes 1 too; where they are unlike, always. Curves that are `identical` have the factor 1 for any seed. `level`:
    the chance that either limit may miss (NaN: no interval).
    """
    baseline, method = costs_of(baseline), costs_of(method)
    base, other = baseline.logs, method.logs
    flattered, slighted = are_open(baseline, method)
    grid_low, grid_high = (1.0, 1.0) if identical else bracket or grid_bracket(baseline, method)
    mean, low, high, p_value, half = student(base - other, level) if paired else welch_test(base, other, level)
    ci_low, ci_high = float(np.exp(low)), float(np.exp(high))
    p_slower = 1 - p_value if half < np.inf and not identical else 1.0
    if not np.isnan(low) and not identical:
        if not supports(grids, ci_low, ci_high, grid_low, grid_high):
            ci_low, ci_high = widen(ci_low, ci_high, grid_low, grid_high)
            p_value, p_slower = (1.0 if ci_low <= 1 else p_value), (1.0 if ci_high >= 1 else p_slower)
        if flattered or lost[0]:
            ci_low, p_value = 0.0, 1.0
        if slighted or lost[1]:
            ci_high, p_slower = np.inf, 1.0
    bound = {(0, 0): "=", (1, 0): ">=", (0, 1): "<=", (1, 1): "none"}[slighted, flattered]
    return Speedup(
        pairs=len(base) if paired else 0,
        runs=(len(other), len(base)),
        factor=NAN if bound == "none" else float(np.exp(mean)),
        ci_low=ci_low,
        ci_high=ci_high,
        bound=bound,
        p_value=p_value,
        p_slower=p_slower,
        detectable=NAN if (flattered or lost[0]) and not identical else float(np.exp(half)),
        correlation=correlation(base, other) if paired else NAN,
        grid_low=grid_low,
        grid_high=grid_high,
        identical=identical,
    )


def supports(grids: Grids, ci_low: float, ci_high: float, grid_low: float, grid_high: float) -> bool:
    """False if an interval must be widened to hold the bracket of its grids: always if these are unlike, and if they are coarse
    and the interval excludes 1, but the bracket does not."""
    unsupported = (ci_low > 1 and not grid_low > 1 + ROUNDING) or (ci_high < 1 and not grid_high < 1 - ROUNDING)
    return grids is Grids.FINE or (grids is Grids.COARSE and not unsupported)


def widen(ci_low: float, ci_high: float, grid_low: float, grid_high: float) -> tuple[float, float]:
    """The interval, extended to hold its bracket; a bracket that excludes 1 only by rounding is taken to hold it."""
    low = grid_low if grid_low > 1 + ROUNDING else min(1.0, grid_low)
    high = grid_high if grid_high < 1 - ROUNDING else max(1.0, grid_high)
    return min(ci_low, low), max(ci_high, high)


def student(d: Floats, level: float = ONE_SIDED) -> tuple[float, float, float, float, float]:
    """Mean of d, its limits, the one-sided p of a mean above 0, and the half-width; all but the mean are NaN for fewer
    than MIN_PAIRS values."""
    return interval(float(d.mean()), [d], level)


def welch_test(a: Floats, b: Floats, level: float = ONE_SIDED) -> tuple[float, float, float, float, float]:
    """The same of the difference of the means of two independent groups, whose variances may differ."""
    return interval(float(a.mean() - b.mean()), [a, b], level)


def interval(mean: float, groups: Sequence[Floats], level: float = ONE_SIDED) -> tuple[float, float, float, float, float]:
    """`mean`, a sum or difference of the means of independent groups, its limits, one-sided p and half-width: Student's
    for one group, Welch's (Biometrika 34, 1947) for more. All but the mean are NaN if a group has fewer than MIN_PAIRS. Values
    that differ from 0 and do not scatter are rounded, or copies: they bound nothing."""
    error, freedom = standard_error(groups)
    if error < NO_SCATTER < abs(mean):
        return mean, -np.inf, np.inf, 1.0, np.inf
    half = half_width(error, freedom, level)
    return mean, mean - half, mean + half, p_above(mean, error, freedom), half


def standard_error(groups: Sequence[Floats], seeds: int = 0) -> tuple[float, float]:
    """The standard error of a sum or difference of the groups' means and its degrees of freedom, by Welch and Satterthwaite;
    NaN if a group has fewer than MIN_PAIRS values. With `seeds`, what they would be if smaller groups had that many values of
    the same variance."""
    sizes = np.array([len(group) for group in groups])
    if sizes.min() < MIN_PAIRS:
        return NAN, NAN
    sizes = np.maximum(sizes, seeds)
    variances = np.array([group.var(ddof=1) for group in groups]) / sizes
    total = float(variances.sum())
    return total**0.5, float(welch_freedom(variances, sizes)) if total > 0 else float(sizes.min() - 1)


def welch_freedom(variances: Floats, sizes: Floats) -> Floats:
    """The degrees of freedom of a standard error, by Welch and Satterthwaite, from the variances[..., G] of the groups' means
    and the groups' sizes[G]."""
    found: Floats = variances.sum(axis=-1) ** 2 / (variances**2 / (sizes - 1)).sum(axis=-1)
    return found


def p_of_mean_above(mean: float, groups: Sequence[Floats]) -> float:
    """The one-sided p of a mean above 0 of that size."""
    return p_above(mean, *standard_error(groups))


def p_above(mean: float, error: float, freedom: float) -> float:
    """The same from its standard error and degrees of freedom."""
    return float(stdtr(freedom, -mean / error)) if error != 0 else float(mean <= 0)


def lower_limit(mean: float, groups: Sequence[Floats]) -> float:
    """The one-sided lower 95 % limit of the mean."""
    error, freedom = standard_error(groups)
    return mean - float(stdtrit(freedom, 0.95)) * error


def half_width(error: float, freedom: float, level: float = ONE_SIDED) -> float:
    """Half the width of an interval by Student's t, of which either limit may miss with the chance `level`, from a standard
    error and its degrees of freedom."""
    return 0.0 if error == level == 0 else float(stdtrit(freedom, 1 - level)) * error


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's r over the pairs; NaN if either side does not vary."""
    if len(a) < MIN_PAIRS or (a == a[0]).all() or (b == b[0]).all():
        return NAN
    a, b = a - a.mean(), b - b.mean()  # as np.corrcoef to the last digit, in half its time
    scale = 1 / (len(a) - 1)
    return float((a @ b) * scale / ((a @ a) * scale) ** 0.5 / ((b @ b) * scale) ** 0.5)


def holm(p: Floats) -> Floats:
    """Holm's step-down adjustment of p[M] (Scandinavian Journal of Statistics 6, 1979); NaN stays NaN and is not counted."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.maximum.accumulate(np.minimum(1, p[order] * np.arange(len(order), 0, -1)))
    return adjusted
