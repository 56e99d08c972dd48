"""Whether two tasks order methods alike: Spearman's rank correlation of their factors, and how far chance moves it."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from fidrace.method.base import Floats
from fidrace.score.costs import log_costs
from fidrace.score.estimates import mean_log_factor
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.speedups import MIN_PAIRS, NAN

FEWEST = 3  # methods
DRAWS = 4000


def correlate_ranks(one: Sequence[MethodComparison], two: Sequence[MethodComparison]) -> tuple[float, float, float]:
    """Spearman's correlation of the factors that the same methods have on two tasks, and the middle 95 % of what it becomes if
    each task's factors are moved by their errors, with the correction for the bias of a bootstrap (Efron 1987): factors that
    were found are moved already, and to move them again makes orders less alike.

    The methods are these, not a sample of others. Ranks jump where two factors are nearly equal, so the interval is rough
    (docs/across-tasks.md says how often it holds the truth). NaN for fewer than FEWEST methods and for an order that is not
    known; NaN limits for runs too few to scatter."""
    means = [np.array([mean_log_factor(found) for found in task]) for task in (one, two)]
    found = spearman(*(mean[None] for mean in means)) if len(one) >= FEWEST else np.array([NAN])
    if np.isnan(found).any() or any(len(side) < MIN_PAIRS for task in (one, two) for c in task for side in c.compared):
        return float(found[0]), NAN, NAN
    generator = np.random.default_rng(0)
    moved = [mean + draw_errors(task, generator) for mean, task in zip(means, (one, two), strict=True)]
    drawn = spearman(*moved)
    below = float((drawn < found).mean() + (drawn == found).mean() / 2)
    shift = 2 * ndtri(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS))
    low, high = np.nanquantile(drawn, ndtr(shift + ndtri([0.025, 0.975])))
    return float(found[0]), float(low), float(high)


def is_point(comparison: MethodComparison) -> bool:
    """True if the factor is more than a bound."""
    return comparison.speedup is not None and comparison.speedup.bound == "="


def draw_errors(task: Sequence[MethodComparison], generator: np.random.Generator) -> Floats:
    """[DRAWS, M] joint errors of the M mean ln factors: Student's t of each, correlated as the runs are, because methods share
    their baseline's runs and, if paired, their seeds."""
    normals: dict[tuple[str, int], Floats] = {}
    spreads: dict[int, Floats] = {}
    errors = []
    for comparison in task:
        ours, theirs = map(log_costs, comparison.compared)
        sides = [("seed", theirs - ours)] if comparison.paired else [(str(id(comparison)), -ours), ("baseline", theirs)]
        total = np.zeros(DRAWS)
        for name, values in sides:
            count = len(values)
            runs = comparison.seeds if comparison.paired else range(count)
            for run, residual in zip(runs, values - values.mean(), strict=True):
                normal = normals.setdefault((name, run), generator.standard_normal(DRAWS))
                total += residual / np.sqrt(count * (count - 1)) * normal
        freedom = min(len(ours), len(theirs)) - 1
        if freedom not in spreads:
            spreads[freedom] = np.sqrt(freedom / generator.chisquare(freedom, DRAWS))
        errors.append(total * spreads[freedom])
    return np.stack(errors, axis=1)


def spearman(a: Floats, b: Floats) -> Floats:
    """[N] correlations of the ranks in each row of a[N, M] and b[N, M]; NaN where either has one rank only, or a NaN."""
    ranks = [rankdata(side, axis=1, nan_policy="propagate") for side in (a, b)]
    centred = [side - side.mean(axis=1, keepdims=True) for side in ranks]
    spread = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return (centred[0] * centred[1]).sum(axis=1) / np.where(spread > 0, spread, NAN)
