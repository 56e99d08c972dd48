"""What one comparison found: the costs on both sides, the speedup, and why there may be none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fidrace.score.costs import log_costs
from fidrace.score.crossings import TargetCost
from fidrace.score.grids import Grids
from fidrace.score.speedups import MIN_PAIRS, NAN, ONE_SIDED, Speedup

NO_SCATTER_NOTE = "costs without any scatter are rounded or copies, and show nothing"
MIXED = "mixed devices"
NO_LOOK = "no look is over yet"
OPEN = "costs that are not known, on both sides, leave both limits open"


@dataclass(frozen=True)
class MethodComparison:
    """The costs of a method's and a reference's runs, over the window if there is one, and the speedup that follows; None
    if a side has no runs, or if seconds of different devices would be compared. `seeds`: of the method's runs, and of both
    sides' if they are `paired`. `notes`: what the comparison itself found. `lost`: if runs that failed, of the method and
    of the reference, are not among them. `grids`: how far these costs can be compared. `at_common`: both sides' costs at
    their common evaluations, from which the speedup follows where grids differ. `level`: the chance that either limit may
    miss; NaN before the first look of a study that is raced until it is decided."""

    seeds: list[int]
    ours: Sequence[TargetCost]
    theirs: Sequence[TargetCost]
    speedup: Speedup | None
    paired: bool = True
    notes: tuple[str, ...] = ()
    lost: tuple[bool, bool] = (False, False)
    grids: Grids = Grids.FINE
    at_common: tuple[Sequence[TargetCost], Sequence[TargetCost]] | None = None
    level: float = ONE_SIDED

    def figures(self) -> dict[str, Any]:
        """The values of a table's columns; without runs on both sides those of the speedup are absent."""
        counts = {
            "pairs": len(self.seeds) if self.paired else 0,
            "reached": sum(not cost.censored for cost in self.ours),
            "baseline_reached": sum(not cost.censored for cost in self.theirs),
        }
        if self.speedup is None:
            return {**counts, "bound": "none"}
        fields = vars(self.speedup)
        factors = {"speedup": fields["factor"], "factor_low": fields["grid_low"], "factor_high": fields["grid_high"]}
        return {**fields, **factors, **counts, "verdict": self.speedup.verdict}

    @property
    def compared(self) -> tuple[Sequence[TargetCost], Sequence[TargetCost]]:
        """The costs of the method and of the reference from which the speedup follows."""
        return self.at_common or (self.ours, self.theirs)

    @property
    def factor_alone(self) -> float:
        """The factor at the target alone, without the window around it; NaN if there is none."""
        if self.speedup is None or self.speedup.bound == "none":
            return NAN
        ours, theirs = (log_costs([cost.of_target for cost in side]) for side in self.compared)
        return float(np.exp(theirs.mean() - ours.mean()))

    @property
    def is_too_small(self) -> bool:
        """True if there are too few pairs, or too few runs on a side, for an interval."""
        return min(len(self.ours), len(self.theirs)) < MIN_PAIRS

    @property
    def size(self) -> str:
        """`2 pairs`, or `3 and 1 runs` of the method and the reference."""
        return f"{len(self.ours)} pairs" if self.paired else f"{len(self.ours)} and {len(self.theirs)} runs"

    @property
    def why_nothing(self) -> str:
        """The reason why nothing was measured; empty if an interval bounds the factor."""
        if MIXED in self.notes:
            return f"{MIXED}: their seconds do not compare"
        if self.is_too_small:
            return f"{self.size}; an interval takes {MIN_PAIRS}{'' if self.paired else ' of each'}"
        if np.isnan(self.level):
            return NO_LOOK
        if all(cost.censored for cost in (*self.ours, *self.theirs)):
            return "no run reached the target"
        if self.speedup and self.speedup.detectable == np.inf:
            return NO_SCATTER_NOTE
        if self.speedup and (self.speedup.ci_low, self.speedup.ci_high) == (0, np.inf):
            return OPEN
        return ""
