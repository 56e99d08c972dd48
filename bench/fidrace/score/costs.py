"""The costs of one side of a comparison, and what every comparison asks of them, computed once: all methods are compared with
the same baseline, at many targets.
"""

from collections.abc import Sequence
from functools import cached_property
from statistics import median

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.crossings import TargetCost

NO_WIDTH = 1.0


class Costs(tuple[TargetCost, ...]):
    """The costs of the runs of one side."""

    @cached_property
    def logs(self) -> Floats:
        """The logarithm of each cost."""
        return np.log([one.cost for one in self])

    @cached_property
    def may_be_more(self) -> bool:
        """True if a run may have cost more than its bracket says."""
        return any(one.may_be_more for one in self)

    @cached_property
    def may_be_less(self) -> bool:
        """True if nothing bounds the cost of a run from below."""
        return any(one.may_be_less for one in self)

    @cached_property
    def mean_log_bracket(self) -> tuple[float, float]:
        """The means of the logarithms of the brackets' lower and upper ends."""
        with np.errstate(divide="ignore"):
            low, high = np.log([(one.low, np.inf if one.relapsed else one.high) for one in self]).mean(axis=0)
        return float(low), float(high)

    @cached_property
    def width(self) -> float:
        """The ratio of the ends of the target's own bracket in the median run that arrives; NO_WIDTH if none does."""
        alone = [one.of_target for one in self if one.crossing]
        return median(one.high / one.low if one.low > 0 else np.inf for one in alone) if alone else NO_WIDTH


def costs_of(side: Sequence[TargetCost]) -> Costs:
    """`side` itself if it is Costs already."""
    return side if isinstance(side, Costs) else Costs(side)


def log_costs(side: Sequence[TargetCost]) -> Floats:
    """The logarithm of each cost."""
    return costs_of(side).logs


def known_costs(costs: dict[int, TargetCost]) -> dict[int, TargetCost]:
    """The costs that were measured, by seed in order."""
    return {seed: cost for seed, cost in sorted(costs.items()) if 0 < cost.cost < np.inf}


def are_open(baseline: Sequence[TargetCost], method: Sequence[TargetCost]) -> tuple[bool, bool]:
    """True if the costs flatter the method, so that the factor's lower limit is open; and if they slight it, the upper one."""
    base, other = costs_of(baseline), costs_of(method)
    return base.may_be_less or other.may_be_more, base.may_be_more or other.may_be_less


def grid_bracket(baseline: Sequence[TargetCost], method: Sequence[TargetCost]) -> tuple[float, float]:
    """The lowest and the highest factor that the brackets of all costs allow: the ratio of geometric means of their ends."""
    (base_low, base_high), (low, high) = (costs_of(side).mean_log_bracket for side in (baseline, method))
    return float(np.exp(base_low - high)), float(np.exp(base_high - low))
