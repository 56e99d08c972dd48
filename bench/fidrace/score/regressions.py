"""Regressions: whether a method's factor, or its own cost, is still what it was in another folder.

Ratios are paired by seed if both folders have seeds in common: equal seeds share their random numbers, so code that has not
changed gives exactly 1.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np

from fidrace.score.checks import COST, REGRESSION, Check, MedianCost, decide, warnings
from fidrace.score.comparison import RunTable
from fidrace.score.costs import are_open, grid_bracket
from fidrace.score.estimates import NOTHING, Estimate, log_factors, mean_log_factor
from fidrace.score.grids import Grids
from fidrace.score.leaderboard import median_cost
from fidrace.score.method_comparison import NO_LOOK, OPEN, MethodComparison
from fidrace.score.notes import count_unusable
from fidrace.score.sequential import within
from fidrace.score.speedups import MIN_PAIRS, ONE_SIDED, Speedup

UNLIKE = "now and before were evaluated at different iterations"
IN_BOTH, IN_EACH = "seeds in both folders", "seeds in each folder"


def check_regression(now: RunTable, before: RunTable, method: str, share: float, axis: str, alike: bool) -> Check:
    """Check that the method's factor is still at least 1 - `share` of what it was. If the runs were not evaluated `alike`, the
    interval holds what the grids support."""
    ours, theirs = now.compare(method, axis), before.compare(method, axis)
    check = Check(REGRESSION, method, axis, f"{method} loses at most {100 * share:g}%", 1 - share, NOTHING)
    for side, when in ((ours, "now"), (theirs, "before")):
        if side.why_nothing and side.why_nothing != OPEN:
            return replace(check, notes=(f"{when}: {side.why_nothing}",))
    assert ours.speedup is not None
    assert theirs.speedup is not None
    ratio = change(ours, theirs, unchanged_seeds(now, before, method, now.rules.baseline))
    if not alike:
        ratio = replace(ratio, bracket=bracket_of_ratio(ours.speedup, theirs.speedup), grids=Grids.UNLIKE)
    notes = warnings(now, method, axis, ours)
    notes += [f"before: {note}" for note in warnings(before, method, axis, theirs) if note not in notes]
    return conclude(replace(check, now=ours.speedup, before=theirs.speedup), ratio, notes)


def check_cost(now: RunTable, before: RunTable, method: str, share: float, axis: str, alike: bool) -> Check:
    """Check that the method's own cost of the target is at most 1 / (1 - `share`) of what it was, whatever the baseline's. If
    the runs were not evaluated `alike`, the interval holds what the grids support."""
    asked = f"{method} itself slows down by at most {100 * share:g}%"
    check = Check(COST, method, axis, asked, 1 - share, NOTHING)
    ours, theirs = (within(table.look(method), table.counted_costs(method, axis, failed=True)) for table in (now, before))
    shared = [seed for seed in ours if seed in theirs] if now.rules.paired and before.rules.paired else []
    paired = len(shared) >= MIN_PAIRS
    sides = [[costs[seed] for seed in (shared if paired else costs)] for costs in (ours, theirs)]
    if min(map(len, sides)) < MIN_PAIRS:
        return replace(check, notes=(f"{len(sides[0])} runs now and {len(sides[1])} before; it takes {MIN_PAIRS}",))
    level = min(level_of(now, method), level_of(before, method))
    if level == 0:
        return replace(check, notes=(NO_LOOK,))
    itself = MethodComparison(shared, sides[0], sides[1], None, paired)  # now, against what it was before
    unchanged = unchanged_seeds(now, before, method)
    ratio = Estimate(
        mean_log_factor(itself),
        log_factors(itself),
        open_limits(itself, unchanged),
        grid_bracket(sides[1], sides[0]),
        Grids.FINE if alike or (paired and unchanged.issuperset(shared)) else Grids.UNLIKE,
        f"paired, {len(shared)} seeds" if paired else "unpaired",
        IN_BOTH if paired else IN_EACH,
        level,
    )
    medians = [MedianCost(median_cost(side), axis) for side in sides]
    return conclude(replace(check, now=medians[0], before=medians[1]), ratio, count_unusable(now, method))


def level_of(table: RunTable, method: str) -> float:
    """The one-sided level at which a method's own costs are judged: in a study that is raced until it is decided that of its
    look, 0 before the first one."""
    look = table.look(method)
    return ONE_SIDED if look is None else look.level if look.number else 0.0


def conclude(check: Check, ratio: Estimate, notes: Sequence[str]) -> Check:
    """The check with the outcome of the ratio of now to before, and notes on it before the others."""
    outcome, needed, seeds = decide(ratio, check.bound) if ratio.is_bounded else (NOTHING, check.seeds_needed, [OPEN])
    unlike = [UNLIKE] if ratio.grids is Grids.UNLIKE else []
    return replace(check, outcome=outcome, ratio=ratio, notes=(ratio.how, *seeds, *unlike, *notes), seeds_needed=needed)


def bracket_of_ratio(now: Speedup, before: Speedup) -> tuple[float, float]:
    """The ratios of two factors that their evaluation grids allow."""
    return now.grid_low / before.grid_high, now.grid_high / before.grid_low if before.grid_low > 0 else np.inf


def unchanged_seeds(now: RunTable, before: RunTable, *methods: str) -> set[int]:
    """The seeds at which the distances of each of the methods are equal to the last digit."""
    sides = [[table.usable[name] for table in (now, before)] for name in methods]
    seeds = set.intersection(*({*runs} for side in sides for runs in side))
    return {seed for seed in seeds if all(ours[seed].equals(theirs[seed]) for ours, theirs in sides)}


def change(now: MethodComparison, before: MethodComparison, unchanged: Set[int] = frozenset()) -> Estimate:
    """The ratio of two factors of one method, each from MIN_PAIRS pairs or runs a side, or more.

    A side whose curves are identical to its baseline's has the factor 1 for any seed and adds no scatter. Otherwise, with
    MIN_PAIRS or more pairs' seeds in common, Student on the differences: equal seeds share their random numbers, so unchanged
    code gives exactly 1. Otherwise Welch, over all runs of both. Limits that costs leave open are 0 and inf; in pairs, a seed
    whose runs are `unchanged` has the ratio 1 even if they are censored.
    """
    same_now, same_before = is_identical(now.speedup), is_identical(before.speedup)
    shared = [seed for seed in now.seeds if seed in before.seeds] if now.paired and before.paired else []
    paired = len(shared) >= MIN_PAIRS and not same_now and not same_before
    ours, theirs = (restrict_to_seeds(side, shared) if paired else side for side in (now, before))
    if paired:
        groups = [log_factors(ours)[0] - log_factors(theirs)[0]]
        how = f"paired, {len(shared)} seeds"
    else:
        groups = [group for side in (ours, theirs) if not is_identical(side.speedup) for group in log_factors(side)]
        how = "identical to its baseline" if same_now or same_before else f"{now.size} and {before.size}"
    exact = unchanged if paired else frozenset()
    (now_low, now_high), (before_low, before_high) = (open_limits(side, exact) for side in (ours, theirs))
    return Estimate(
        mean_log_factor(ours) - mean_log_factor(theirs),
        groups,
        (now_low or before_high, now_high or before_low),
        how=how,
        seeds_are=IN_BOTH if paired else IN_EACH,
        level=min(now.level, before.level),  # the ratio is looked at as often as its sides
    )


def open_limits(comparison: MethodComparison, exact: Set[int]) -> tuple[bool, bool]:
    """True for the lower and for the upper limit of a factor if costs leave it open; seeds in `exact` do not count."""
    if is_identical(comparison.speedup):
        return False, False
    ours, theirs = comparison.ours, comparison.theirs
    if comparison.paired:
        pairs = [pair for seed, *pair in zip(comparison.seeds, ours, theirs, strict=True) if seed not in exact]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    low, high = are_open(theirs, ours)
    return low or comparison.lost[0], high or comparison.lost[1]


def restrict_to_seeds(comparison: MethodComparison, seeds: Sequence[int]) -> MethodComparison:
    """The same comparison over some of its pairs."""
    places = [comparison.seeds.index(seed) for seed in seeds]
    ours, theirs, *common = (
        [side[place] for place in places] for side in (comparison.ours, comparison.theirs, *(comparison.at_common or ()))
    )
    at_common = (common[0], common[1]) if common else None
    return replace(comparison, seeds=[*seeds], ours=ours, theirs=theirs, at_common=at_common)


def is_identical(speedup: Speedup | None) -> bool:
    return speedup is not None and speedup.identical
