"""What can honestly be said of a factor without an interval: what the grid supports, what 1 % of FID moves, what seeds show."""

from dataclasses import replace
from functools import cache

import numpy as np

from fidrace.packaged import published_tables
from fidrace.score.comparison import RunTable
from fidrace.score.costs import log_costs
from fidrace.score.power import AT_POWER, USUAL_POWER, Scatter
from fidrace.score.reading import read_tables
from fidrace.score.rules import FINAL, read_rules
from fidrace.score.run_tables import make_run_table
from fidrace.score.speedups import MIN_PAIRS
from fidrace.spec.user_input import BASELINE

SCATTER_OF = "digits"  # published tables, whose baseline's seeds stand for those that were not run
MORE_FD = 1.01


def describe_without_interval(table: RunTable, method: str, axis: str) -> str:
    """A sentence on the method's factor if it has no interval for want of seeds; empty otherwise, and if there is no factor."""
    comparison = table.compare(method, axis)
    found = comparison.speedup
    if found is None or not comparison.is_too_small or found.identical:
        return ""
    parts = [describe_bracket(found.grid_low, found.grid_high)]
    measured_beside = table.rules.target != FINAL and not table.rules.stopped and not table.rules.searched
    if not np.isnan(found.factor) and measured_beside:
        parts.append(describe_sensitivity(table, method, axis, found.factor))
    parts.append(
        f"{MIN_PAIRS} seeds a side would show a factor of {detectable_by_seeds(MIN_PAIRS):.2f}x {AT_POWER} "
        f"(scatter taken from the baseline of the published tables {SCATTER_OF!r})"
    )
    return f"{method}, {comparison.size}: {'; '.join(parts)}"


def describe_bracket(low: float, high: float) -> str:
    """The factors that the grid supports, in words."""
    if low > 0 and high < np.inf:
        return f"between {low:.2g}x and {high:.3g}x by the grid alone"
    if low > 0:
        return f"{low:.2g}x or more by the grid alone"
    return f"{high:.3g}x or less by the grid alone" if high < np.inf else "any factor by the grid alone"


def describe_sensitivity(table: RunTable, method: str, axis: str, factor: float) -> str:
    """What a slightly worse baseline does to the factor."""
    worse = [replace(c, fd=MORE_FD * c.fd) if c.method == table.rules.baseline else c for c in table.curves]
    found = make_run_table(worse, table.rules).compare(method, axis)
    lead = f"{100 * (MORE_FD - 1):.0f} % more {table.metric}"
    if found.speedup is None or np.isnan(found.speedup.factor) or all(cost.censored for cost in found.theirs):
        return f"with {lead} the baseline does not arrive"
    return f"{lead} in the baseline moves it from {factor:.2f}x to {found.speedup.factor:.2f}x"


@cache
def detectable_by_seeds(seeds: int) -> float:
    """The smallest factor that so many seeds a side would show with USUAL_POWER, by Welch, if they scattered as those of
    SCATTER_OF do."""
    folder = published_tables()[SCATTER_OF]
    tables = read_tables(folder)
    costs = make_run_table(tables.curves, read_rules(folder, tables)).costs(BASELINE, "iterations")
    return Scatter.of([log_costs([*costs.values()])] * 2).smallest_factor(seeds, USUAL_POWER)
