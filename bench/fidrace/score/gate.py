"""The gate for continuous integration: is a speedup still there? A false alarm costs trust, a missed one the speedup.

A check fails only if its 95 % interval excludes what is asked; if the interval cannot decide, the outcome is `cannot tell`.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fidrace.errors import InputError, NothingToConclude, nearest
from fidrace.method.base import Floats
from fidrace.packaged import find_tables
from fidrace.score.comparison import RunTable, check_comparable
from fidrace.score.curves import check_axis
from fidrace.score.grids import Grids, common_iterations
from fidrace.score.guards import guard_table, lost_guards
from fidrace.score.leaderboard import median_cost, read_run_table
from fidrace.score.method_comparison import OPEN, MethodComparison
from fidrace.score.notes import count_unusable, notes_of
from fidrace.score.rules import FINAL, Question
from fidrace.score.speedups import MIN_PAIRS, Speedup, are_open, interval, log_costs, speedup, student
from fidrace.spec.user_input import Target

UNLIKE = "now and before were evaluated at different iterations"
HOLDS, FAILS, UNDECIDED, NOTHING = "holds", "fails", "cannot tell", "not measured"


@dataclass(frozen=True)
class Check:
    """One line of the gate: what was asked, the outcome (HOLDS, FAILS, UNDECIDED or NOTHING), the factors now and before, their
    ratio, and notes."""

    asked: str
    outcome: str
    now: str = ""
    before: str = ""
    ratio: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Change:
    """The ratio of a method's factor now to its factor before, its 95 % interval, and how it was measured."""

    ratio: float
    ci_low: float
    ci_high: float
    how: str

    def __str__(self) -> str:
        return f"{self.ratio:.2f} [{self.ci_low:.2f}, {self.ci_high:.2f}]"


def parse_requirement(text: str) -> tuple[str, float]:
    """`min-snr>=1.1` as a method and a factor; raises InputError for anything else."""
    method, sign, number = (part.strip() for part in text.rpartition(">="))
    try:
        factor = float(number)
    except ValueError:
        factor = 0.0
    if not sign or not method or not 0 < factor < np.inf:
        raise InputError(f"--require {text}: write METHOD>=FACTOR, as in 'min-snr>=1.1'")
    return method, factor


def parse_share(text: str) -> float:
    """`10%` or `0.1` as 0.1; raises InputError unless it is a share between 0 and 1."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest or not 0 <= share < 1:
        raise InputError(f"--max-regression {text}: write a share, as in 10% or 0.1")
    return share


def check(
    folder: str | Path,
    requirements: Sequence[tuple[str, float]] = (),
    against: str | Path | None = None,
    max_regression: float = 0.1,
    axis: str | None = None,
    target: Target | None = None,
    absolute: bool = False,
    asked: Question | None = None,
) -> list[Check]:
    """Check the speedups in `folder` against required factors, and method by method against those in another folder, both at
    another `target` if one is given; with `absolute` also the costs themselves, the baseline's among them, because a factor
    stays if both sides get slower. Folders are paths or names of published tables; `asked` is what else is asked of them.
    Raises InputError for methods that the tables do not hold and for folders that do not compare, NothingToConclude without
    a baseline or a common method."""
    asked = replace(asked or Question(), target=target)
    folder = find_tables(folder)
    table = read_run_table(folder, asked)
    axis = check_axis(axis, table.curves)
    checks = [check_requirement(table, method, factor, axis) for method, factor in requirements]
    if against is not None:
        against = find_tables(against)
        before = read_run_table(against, asked)
        check_axis(axis, before.curves)
        check_comparable(folder, table, against, before)
        if table.rules.target != before.rules.target:
            targets = f"the target is {table.rules.target} in {folder} and {before.rules.target} in {against}"
            raise InputError(f"{targets}: they do not compare")
        if absolute and table.rules.target == FINAL:
            raise InputError(f"--absolute: at {FINAL} the target moves with the baseline; give a number as --target")
        alike = common_iterations([*table.curves, *before.curves]) is None
        common = [method for method in table.methods if method in before.methods]
        raced = [method for method in common if method != table.rules.baseline]
        if not raced and not absolute:
            raise NothingToConclude(f"{folder} and {against} have no method in common but the baseline")
        checks += [check_regression(table, before, method, max_regression, axis, alike) for method in raced]
        if absolute:
            checks += [check_cost(table, before, method, max_regression, axis, alike) for method in common]
    return checks


def speedup_of(folder: str | Path, method: str, axis: str | None = None, target: Target | None = None) -> Speedup:
    """The method's speedup over the baseline in `folder`, a path or the name of published tables, on `axis` (default: the
    table's unit). Raises InputError for an unknown method or axis, NothingToConclude with too few runs for an interval or if
    no run reached the target."""
    folder = find_tables(folder)
    table = read_run_table(folder, Question(target))
    comparison = compare_to_baseline(table, method, check_axis(axis, table.curves))
    if comparison.speedup is None or comparison.why_nothing:
        raise NothingToConclude(f"{folder}: {method}: {comparison.why_nothing}")
    return comparison.speedup


def compare_to_baseline(table: RunTable, method: str, axis: str) -> MethodComparison:
    """The method against the baseline; raises InputError, with the nearest name, if it has no runs."""
    methods = [name for name in table.methods if name != table.rules.baseline]
    if not methods:
        raise NothingToConclude("there are no runs but the baseline's")
    if method not in methods:
        raise InputError(f"no runs of {method!r} to compare{nearest(method, methods)}")
    return table.compare(method, axis)


def check_requirement(table: RunTable, method: str, factor: float, axis: str) -> Check:
    """Check that the method's factor is at least `factor`, and that none of its runs is dead: no factor makes up for that."""
    comparison = compare_to_baseline(table, method, axis)
    asked = f"{method} >= {factor:g}x"
    runs = [curve for curve in table.curves if curve.method == method]
    if dead := sum(curve.is_dead for curve in runs):
        why = f"{dead} of {len(runs)} runs diverged or end no lower than they began"
        return Check(asked, FAILS, str(comparison.speedup or ""), notes=why)
    if comparison.speedup is None or comparison.why_nothing:
        return Check(asked, NOTHING, notes=comparison.why_nothing)
    result = outcome(comparison.speedup.ci_low, comparison.speedup.ci_high, factor)
    return Check(asked, result, str(comparison.speedup), notes="; ".join(warnings(table, method, axis, comparison)))


def warnings(table: RunTable, method: str, axis: str, comparison: MethodComparison) -> list[str]:
    """The notes of the method's row in a table: failed runs, seeds added later, guards that are lost."""
    return notes_of(table, method, axis, comparison) + lost_guards(guard_table(table), method)


def check_cost(now: RunTable, before: RunTable, method: str, share: float, axis: str, alike: bool) -> Check:
    """Check that the method's own cost of the target is at most 1 / (1 - `share`) of what it was, whatever the baseline's. If
    the runs were not evaluated `alike`, the interval holds what the grids support."""
    asked = f"{method} itself slows down by at most {100 * share:g}%"
    ours, theirs = (table.counted_costs(method, axis, failed=True) for table in (now, before))
    shared = [seed for seed in ours if seed in theirs] if now.rules.paired and before.rules.paired else []
    paired = len(shared) >= MIN_PAIRS
    sides = [[costs[seed] for seed in (shared if paired else costs)] for costs in (ours, theirs)]
    if min(map(len, sides)) < MIN_PAIRS:
        return Check(asked, NOTHING, notes=f"{len(sides[0])} runs now and {len(sides[1])} before; it takes {MIN_PAIRS}")
    runs = [table.usable[method] for table in (now, before)]
    same = paired and all(seed in runs[0] and seed in runs[1] and runs[0][seed].equals(runs[1][seed]) for seed in shared)
    found = speedup(sides[1], sides[0], same, paired, grids=Grids.FINE if alike else Grids.UNLIKE)
    costs = [f"{median_cost(side):.4g} {axis}" if np.isfinite(median_cost(side)) else "not reached" for side in sides]
    bounded = found.ci_low > 0 or found.ci_high < np.inf
    result = outcome(found.ci_low, found.ci_high, 1 - share) if bounded else NOTHING
    ratio = Change(found.factor, found.ci_low, found.ci_high, f"paired, {len(shared)} seeds" if paired else "unpaired")
    notes = [ratio.how, *([] if bounded else [OPEN]), *([] if alike else [UNLIKE]), *count_unusable(now, method)]
    return Check(asked, result, costs[0], costs[1], str(ratio), "; ".join(notes))


def check_regression(now: RunTable, before: RunTable, method: str, share: float, axis: str, alike: bool) -> Check:
    """Check that the method's factor is still at least 1 - `share` of what it was. If the runs were not evaluated `alike`, the
    interval holds what the grids support."""
    ours, theirs = now.compare(method, axis), before.compare(method, axis)
    asked = f"{method} loses at most {100 * share:g}%"
    for side, when in ((ours, "now"), (theirs, "before")):
        if side.why_nothing and side.why_nothing != OPEN:
            return Check(asked, NOTHING, notes=f"{when}: {side.why_nothing}")
    ratio = change(ours, theirs, unchanged_seeds(now, before, method))
    if not alike and ours.speedup and theirs.speedup:
        one, other = ours.speedup, theirs.speedup
        low = one.grid_low / other.grid_high
        high = one.grid_high / other.grid_low if other.grid_low > 0 else np.inf
        ratio = replace(ratio, ci_low=min(ratio.ci_low, low), ci_high=max(ratio.ci_high, high))
    bounded = ratio.ci_low > 0 or ratio.ci_high < np.inf
    result = outcome(ratio.ci_low, ratio.ci_high, 1 - share) if bounded else NOTHING
    notes = [ratio.how, *([] if bounded else [OPEN]), *([] if alike else [UNLIKE]), *warnings(now, method, axis, ours)]
    notes += [f"before: {note}" for note in warnings(before, method, axis, theirs) if note not in notes]
    return Check(asked, result, str(ours.speedup), str(theirs.speedup), str(ratio), "; ".join(notes))


def unchanged_seeds(now: RunTable, before: RunTable, method: str) -> set[int]:
    """The seeds at which the distances of both the method and the baseline are equal to the last digit."""
    sides = [[table.usable[name] for table in (now, before)] for name in (method, now.rules.baseline)]
    seeds = set.intersection(*({*runs} for side in sides for runs in side))
    return {seed for seed in seeds if all(ours[seed].equals(theirs[seed]) for ours, theirs in sides)}


def outcome(low: float, high: float, bound: float) -> str:
    """The outcome of the interval [low, high] against `bound`, with a tolerance so that rounding never decides."""
    asked = bound * (1 - 1e-9)
    return HOLDS if low >= asked else FAILS if high < asked else UNDECIDED


def change(now: MethodComparison, before: MethodComparison, unchanged: Set[int] = frozenset()) -> Change:
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
        mean, low, high, *_ = student(log_factors(ours)[0] - log_factors(theirs)[0])
        how = f"paired, {len(shared)} seeds"
    else:
        mean = sum(sign * mean_log_factor(side) for sign, side in ((1, ours), (-1, theirs)))
        groups = [group for side in (ours, theirs) if not is_identical(side.speedup) for group in log_factors(side)]
        mean, low, high, *_ = interval(mean, groups) if groups else (mean, mean, mean)
        how = "identical to its baseline" if same_now or same_before else f"{now.size} and {before.size}"
    exact = unchanged if paired else frozenset()
    (now_low, now_high), (before_low, before_high) = (open_limits(side, exact) for side in (ours, theirs))
    low = -np.inf if now_low or before_high else low
    high = np.inf if now_high or before_low else high
    return Change(float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)), how)


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
    ours, theirs = ([side[place] for place in places] for side in (comparison.ours, comparison.theirs))
    return replace(comparison, seeds=[*seeds], ours=ours, theirs=theirs)


def log_factors(comparison: MethodComparison) -> list[Floats]:
    """ln of the factor, pair by pair; of groups that are not paired, the ln costs of either."""
    theirs, ours = log_costs(comparison.theirs), log_costs(comparison.ours)
    return [theirs - ours] if comparison.paired else [theirs, ours]


def mean_log_factor(comparison: MethodComparison) -> float:
    if is_identical(comparison.speedup):
        return 0.0
    return float(log_costs(comparison.theirs).mean() - log_costs(comparison.ours).mean())


def is_identical(speedup: Speedup | None) -> bool:
    return speedup is not None and speedup.identical
