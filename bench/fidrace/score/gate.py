"""The gate for continuous integration: is a speedup still there? A false alarm costs trust, a missed one the speedup.

A check fails only if its 95 % interval excludes what is asked; if the interval cannot decide, the outcome is `cannot tell`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fidrace.errors import InputError, NothingToConclude, nearest
from fidrace.packaged import find_tables
from fidrace.score.checks import SPEEDUP, Check, decide, warnings
from fidrace.score.comparison import RunTable
from fidrace.score.curves import check_axis
from fidrace.score.estimates import FAILS, NOTHING, estimate_of
from fidrace.score.grids import common_iterations
from fidrace.score.leaderboard import read_run_table
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.regressions import check_cost, check_regression
from fidrace.score.rules import FINAL, Question
from fidrace.score.run_tables import check_comparable
from fidrace.score.speedups import Speedup
from fidrace.spec.user_input import Target


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
    chosen, axis = axis, check_axis(axis, table.curves)
    checks = [
        check_requirement(table, method, factor, one)
        for method, factor in requirements
        for one in (axis, *(() if chosen else table.honest_axes(method)))
    ]
    if against is not None:
        against = find_tables(against)
        table, before = over_one_window(table, read_run_table(against, asked))
        check_axis(axis, before.curves)
        check_comparable(folder, table, against, before)
        if table.rules.target != before.rules.target:
            targets = f"the target is {table.rules.target} in {folder} and {before.rules.target} in {against}"
            raise InputError(f"{targets}: they do not compare")
        if absolute and table.rules.target == FINAL:
            raise InputError(f"--absolute: at {FINAL} the target moves with the baseline; give a number as --target")
        compared = check_against(table, before, max_regression, axis, absolute)
        if not compared:
            raise NothingToConclude(f"{folder} and {against} have no method in common but the baseline")
        checks += compared
    return checks


def over_one_window(table: RunTable, before: RunTable) -> tuple[RunTable, RunTable]:
    """Both tables over the window of the first, which is a rule and nothing that runs measured; over the smaller of their
    windows if runs were only trained or measured as far as their own takes them."""
    windows = [one.rules.window for one in (table, before)]
    partial = any(one.rules.stopped or one.rules.searched for one in (table, before))
    shared = min(windows) if partial else windows[0]
    now, then = (one if one.rules.window == shared else one.over(shared) for one in (table, before))
    return now, then


def check_against(table: RunTable, before: RunTable, max_regression: float, axis: str, absolute: bool) -> list[Check]:
    """A check of each method that both tables have, and with `absolute` one of its own cost, the baseline's first."""
    searched = table.rules.is_searched_for and before.rules.is_searched_for  # on one grid, which is part of the fixed part
    alike = searched or common_iterations([*table.curves, *before.curves]) is None
    common = [method for method in table.methods if method in before.methods]
    raced = [method for method in common if method != table.rules.baseline]
    checks = [check_regression(table, before, method, max_regression, axis, alike) for method in raced]
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
    where = "" if axis == table.rules.unit else f" in {axis}"
    check = Check(SPEEDUP, method, axis, f"{method} >= {factor:g}x{where}", factor, FAILS, comparison.speedup)
    runs = [curve for curve in table.curves if curve.method == method]
    if dead := sum(curve.is_dead for curve in runs):
        return replace(check, notes=(f"{dead} of {len(runs)} runs diverged or end no lower than they began",))
    if comparison.speedup is None or comparison.why_nothing:
        return replace(check, outcome=NOTHING, now=None, notes=(comparison.why_nothing,))
    result, needed, seeds = decide(estimate_of(comparison), factor)
    return replace(check, outcome=result, notes=(*seeds, *warnings(table, method, axis, comparison)), seeds_needed=needed)
