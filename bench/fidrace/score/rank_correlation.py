"""Whether two tasks order methods alike: Kendall's rank correlation of their factors, and what chance leaves of it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from fidrace.score.costs import log_costs
from fidrace.score.estimates import mean_log_factor
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.speedups import MIN_PAIRS, NAN, student, welch_test

FEWEST = 3  # methods


def correlate_ranks(one: Sequence[MethodComparison], two: Sequence[MethodComparison]) -> tuple[float, float, float]:
    """Kendall's tau of the factors that the same methods have on two tasks, and its lowest and highest value if each pair of
    methods whose order is not shown on both tasks were ordered alike, or not.

    tau is the share of pairs in the same order less that in the other. An order is shown if the 95 % interval of the ratio
    of the two methods' costs excludes 1. So noise widens what is left, and draws tau itself towards 0. NaN for fewer than
    FEWEST methods."""
    pairs = [*combinations(range(len(one)), 2)]
    if len(one) < FEWEST:
        return NAN, NAN, NAN
    orders = [(order_of(one[j], one[k]), order_of(two[j], two[k])) for j, k in pairs]
    found = [a[0] * b[0] for a, b in orders]
    shown = [a[0] * b[0] for a, b in orders if a[1] and b[1]]
    decided, open_pairs = sum(shown), len(pairs) - len(shown)
    tau, low, high = (float(count / len(pairs)) for count in (sum(found), decided - open_pairs, decided + open_pairs))
    return tau, low, high


def order_of(one: MethodComparison, other: MethodComparison) -> tuple[int, bool]:
    """1 if the first has the larger factor, -1 if the second has, and whether that is shown: by the seeds that both have, if
    seeds share their chances."""
    sign = int(np.sign(mean_log_factor(one) - mean_log_factor(other)))
    ours, theirs = (log_costs(comparison.compared[0]) for comparison in (one, other))
    common = [seed for seed in one.seeds if seed in other.seeds]
    if one.paired and other.paired and len(common) >= MIN_PAIRS:
        a, b = (logs[[found.seeds.index(seed) for seed in common]] for logs, found in ((ours, one), (theirs, other)))
        _, low, high, *_ = student(b - a)
    elif min(len(ours), len(theirs)) < MIN_PAIRS:
        return sign, False
    else:
        _, low, high, *_ = welch_test(theirs, ours)
    return sign, low > 0 or high < 0


def is_point(comparison: MethodComparison) -> bool:
    """True if the factor is more than a bound."""
    return comparison.speedup is not None and comparison.speedup.bound == "="
