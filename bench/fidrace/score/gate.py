"""The gate: is a speedup still there? For continuous integration, where a wrong alarm costs trust and a missed one the
speedup.

A check fails only where its 95 % interval excludes what is asked; where the interval cannot decide it says `cannot tell`.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fidrace.errors import InputError, NothingToConclude, nearest
from fidrace.method.base import Floats
from fidrace.packaged import find_tables
from fidrace.score.comparison import OPEN, Comparison, RunTable, check_comparable
from fidrace.score.curves import check_axis
from fidrace.score.guards import guard_table, lost_guards
from fidrace.score.leaderboard import read_run_table
from fidrace.score.speedups import MIN_PAIRS, Speedup, half_width, log_costs, student
from fidrace.spec.study import BASELINE, Target

HOLDS, FAILS, UNDECIDED, NOTHING = "holds", "fails", "cannot tell", "not measured"


@dataclass(frozen=True)
class Check:
    """One line of the gate: what was asked, its outcome (HOLDS, FAILS, UNDECIDED or NOTHING), the factors now and before,
    their ratio, and notes."""

    asked: str
    outcome: str
    now: str = ""
    before: str = ""
    ratio: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Change:
    """The ratio of a method's factor now to its factor before, with its 95 % interval; `how` it was measured."""

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
    """`10%` or `0.1` as 0.1; raises InputError for what is no share between 0 and 1."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest or not 0 <= share < 1:
        raise InputError(f"--max-regression {text}: write a share, as in 10% or 0.1")
    return share


def check(
    folder: Path,
    requirements: Sequence[tuple[str, float]] = (),
    against: Path | None = None,
    max_regression: float = 0.1,
    axis: str = "iterations",
    target: Target | None = None,
) -> list[Check]:
    """Hold the scores of `folder` against required factors, and against those of another folder, method by method; both at
    another `target` where one is given. Raises InputError for methods that the tables do not hold and for folders that do
    not compare, NothingToConclude where there is no baseline or no method in common."""
    check_axis(axis)
    races = read_run_table(folder, target)
    checks = [check_requirement(races, method, factor, axis) for method, factor in requirements]
    if against is not None:
        before = read_run_table(against, target)
        check_comparable(folder, races, against, before)
        if races.rules.target != before.rules.target:
            raise InputError(f"{folder} races to {races.rules.target}, {against} to {before.rules.target}: they do not compare")
        common = [method for method in races.methods if method in before.methods and method != BASELINE]
        if not common:
            raise NothingToConclude(f"{folder} and {against} have no method in common but the baseline")
        checks += [check_regression(races, before, method, max_regression, axis) for method in common]
    return checks


def speedup_of(folder: str | Path, method: str, axis: str = "iterations", target: Target | None = None) -> Speedup:
    """The method's speedup over the baseline in `folder`, a path or the name of published tables. Raises
    InputError for a method or axis that is not there,
    NothingToConclude where fewer than MIN_PAIRS pairs were run or none of them came to the target."""
    folder = find_tables(folder)
    found = compare_to_baseline(read_run_table(folder, target), method, check_axis(axis))
    if found.speedup is None or found.why_nothing:
        raise NothingToConclude(f"{folder}: {method}: {found.why_nothing}")
    return found.speedup


def compare_to_baseline(races: RunTable, method: str, axis: str) -> Comparison:
    """The method against the baseline; raises InputError, with the nearest name, where it was not raced."""
    methods = [name for name in races.methods if name != BASELINE]
    if not methods:
        raise NothingToConclude("there are no runs but the baseline's")
    if method not in methods:
        raise InputError(f"no runs of {method!r} to compare{nearest(method, methods)}")
    return races.compare(method, axis)


def check_requirement(races: RunTable, method: str, factor: float, axis: str) -> Check:
    """Whether the method's factor is at least `factor`."""
    found = compare_to_baseline(races, method, axis)
    asked = f"{method} >= {factor:g}x"
    if found.speedup is None or found.why_nothing:
        return Check(asked, NOTHING, notes=found.why_nothing)
    said = outcome(found.speedup.ci_low, found.speedup.ci_high, factor)
    return Check(asked, said, str(found.speedup), notes="; ".join(warnings(races, method, axis, found)))


def warnings(races: RunTable, method: str, axis: str, found: Comparison) -> list[str]:
    """What a table would say beside the factor: runs that failed, seeds added later, guards that are lost."""
    return races.notes(method, axis, len(found.seeds)) + lost_guards(guard_table(races), method)


def check_regression(now: RunTable, before: RunTable, method: str, share: float, axis: str) -> Check:
    """Whether the method's factor is still at least 1 - share of what it was."""
    ours, theirs = now.compare(method, axis), before.compare(method, axis)
    asked = f"{method} loses at most {100 * share:g}%"
    for side, when in ((ours, "now"), (theirs, "before")):
        if side.why_nothing and side.why_nothing != OPEN:
            return Check(asked, NOTHING, notes=f"{when}: {side.why_nothing}")
    found = change(ours, theirs, unchanged_seeds(now, before, method))
    known = found.ci_low > 0 or found.ci_high < np.inf
    verdict = outcome(found.ci_low, found.ci_high, 1 - share) if known else NOTHING
    notes = [found.how, *([] if known else [OPEN]), *warnings(now, method, axis, ours)]
    notes += [f"before: {note}" for note in warnings(before, method, axis, theirs) if note not in notes]
    return Check(asked, verdict, str(ours.speedup), str(theirs.speedup), str(found), "; ".join(notes))


def unchanged_seeds(now: RunTable, before: RunTable, method: str) -> set[int]:
    """Seeds of which neither the method's nor the baseline's distances have changed in one digit."""
    sides = [[races.usable[name] for races in (now, before)] for name in (method, BASELINE)]
    seeds = set.intersection(*({*runs} for side in sides for runs in side))
    return {seed for seed in seeds if all(ours[seed].equals(theirs[seed]) for ours, theirs in sides)}


def outcome(low: float, high: float, bound: float) -> str:
    """Of an interval beside what is asked, which rounding must not decide."""
    asked = bound * (1 - 1e-9)
    return HOLDS if low >= asked else FAILS if high < asked else UNDECIDED


def change(now: Comparison, before: Comparison, unchanged: Set[int] = frozenset()) -> Change:
    """The ratio of two factors of one method, each of MIN_PAIRS pairs or more.

    A side whose curves are identical to its baseline's has the factor 1 for any seed, and adds no scatter. Else, over
    MIN_PAIRS or more seeds that both sides have, Student on the differences: with the same seeds meet the same chances,
    so code that has not changed gives 1 exactly. Else Welch, over all seeds of both. Limits that censored runs leave open
    are 0 and inf; in pairs, a seed whose runs are `unchanged` has the ratio 1 whether they arrive or not.
    """
    same_now, same_before = is_identical(now.speedup), is_identical(before.speedup)
    shared = [seed for seed in now.seeds if seed in before.seeds]
    paired = len(shared) >= MIN_PAIRS and not same_now and not same_before
    ours, theirs = (restrict_to_seeds(found, shared) if paired else found for found in (now, before))
    if paired:
        mean, low, high, *_ = student(log_factors(ours) - log_factors(theirs))
        how = f"paired, {len(shared)} seeds"
    else:
        mean, low, high = welch(log_factors(ours), log_factors(theirs))
        how = "identical to its baseline" if same_now or same_before else f"{len(now.seeds)} and {len(before.seeds)} seeds"
    exact = unchanged if paired else frozenset()
    (now_low, now_high), (before_low, before_high) = (open_limits(found, exact) for found in (ours, theirs))
    low = -np.inf if now_low or before_high else low
    high = np.inf if now_high or before_low else high
    return Change(float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)), how)


def open_limits(found: Comparison, exact: Set[int]) -> tuple[bool, bool]:
    """Whether censored runs leave the lower and the upper limit of a factor open, but for seeds in `exact`."""
    if is_identical(found.speedup):
        return False, False
    rows = [pair for seed, *pair in zip(found.seeds, found.ours, found.theirs, strict=True) if seed not in exact]
    return any(ours.censored for ours, _ in rows), any(theirs.censored for _, theirs in rows)


def restrict_to_seeds(found: Comparison, seeds: Sequence[int]) -> Comparison:
    """The comparison over some of its seeds."""
    places = [found.seeds.index(seed) for seed in seeds]
    ours, theirs = ([side[place] for place in places] for side in (found.ours, found.theirs))
    return Comparison([*seeds], ours, theirs, found.speedup)


def log_factors(found: Comparison) -> Floats:
    """ln of the factor, pair by pair."""
    return log_costs(found.theirs) - log_costs(found.ours)


def is_identical(one: Speedup | None) -> bool:
    return one is not None and one.identical


def welch(a: Floats, b: Floats) -> tuple[float, float, float]:
    """The difference of two means with its 95 % limits where each has its own scatter (Welch, Biometrika 34, 1947)."""
    variances = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = float(variances.sum())
    freedom = total**2 / float((variances**2 / [len(a) - 1, len(b) - 1]).sum()) if total > 0 else 1.0
    mean, half = float(a.mean() - b.mean()), half_width(total**0.5, freedom)
    return mean, mean - half, mean + half
