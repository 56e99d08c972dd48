"""The checks of the gate: what one asks, what it found, and what all of them come to."""

import math
from dataclasses import dataclass

from fidrace.score.comparison import RunTable
from fidrace.score.estimates import UNDECIDED, Estimate, describe_seeds, outcome, seeds_needed
from fidrace.score.guards import guard_table, lost_guards
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.notes import notes_of
from fidrace.score.speedups import NAN, Speedup

SPEEDUP, REGRESSION, COST = "speedup", "regression", "cost"  # kinds of checks


@dataclass(frozen=True)
class MedianCost:
    """The median cost of a method's runs on an axis; NaN if half of them or more did not reach the target."""

    cost: float
    axis: str

    def __str__(self) -> str:
        return "not reached" if math.isnan(self.cost) else f"{self.cost:.4g} {self.axis}"


@dataclass(frozen=True)
class Check:
    """One line of the gate: which `kind` of check it is, of which method and on which axis, what was `asked` in words and the
    `bound` in a number, and the outcome (HOLDS, FAILS, UNDECIDED or NOTHING). `ratio` is that of now to before. `seeds_needed`
    is NaN unless the check cannot tell; inf: more than can be named."""

    kind: str
    method: str
    axis: str
    asked: str
    bound: float
    outcome: str
    now: Speedup | MedianCost | None = None
    before: Speedup | MedianCost | None = None
    ratio: Estimate | None = None
    notes: tuple[str, ...] = ()
    seeds_needed: float = NAN


def decide(estimate: Estimate, bound: float) -> tuple[str, float, list[str]]:
    """The outcome of an estimate against a bound; if it cannot tell, the number of seeds that would, and a note on it."""
    found = outcome(estimate.ci_low, estimate.ci_high, bound)
    if found != UNDECIDED:
        return found, NAN, []
    needed = seeds_needed(estimate, bound)
    return found, needed, [describe_seeds(needed, estimate, bound)]


def warnings(table: RunTable, method: str, axis: str, comparison: MethodComparison) -> list[str]:
    """The notes of the method's row in a table: failed runs, seeds added later, guards that are lost."""
    return notes_of(table, method, axis, comparison) + lost_guards(guard_table(table), method)
