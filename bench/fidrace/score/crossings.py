"""Crossings: from a curve of Frechet distances to the cost of reaching a target, on any axis.

x[E] an axis (iterations, images, seconds, forward passes) at the E evaluations of one run, fd[E] distances.
"""

from dataclasses import dataclass

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats
from fidrace.score.curves import AXES, Curve

TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class TargetCost:
    """The cost of reaching the target on an axis, interpolated between the evaluations at `low` and `high`; `evaluation` is
    the index of the latter. A censored run needed more than `cost`, which is then the budget."""

    cost: float
    low: float
    high: float
    evaluation: int | None = None

    @property
    def censored(self) -> bool:
        return self.high == np.inf


def crossing_index(fd: Floats, target: float) -> int | None:
    """The first k with fd[k] above the target, fd[k + 1] and fd[k + 2] at or below it; NaN counts as above."""
    below = fd <= target
    sustained = ~below[:-2] & below[1:-1] & below[2:]
    return int(np.argmax(sustained)) if sustained.any() else None


def crossing(curve: Curve, target: float, budget: float) -> tuple[int, float] | None:
    """k and the share of the way from evaluation k to k + 1 at which FD falls to `target`, log-linear in FD, and stays there
    for two evaluations, the first of them by the budget; None if it does not.

    k is -1 if iteration 0 was not evaluated and the first evaluation is at the target. Raises InputError for a run that is
    at the target before it trains.
    """
    fd, n = curve.fd, curve.iteration
    skipped = int(len(n) > 0 and n[0] > 0)
    if skipped:  # at iteration 0 the run was above the target, by an unknown distance
        fd, n = np.append(np.inf, fd), np.append(0.0, n)
    elif len(fd) and fd[0] <= target:
        raise InputError(f"{curve.method} seed {curve.seed} is at the target {target:g} at iteration 0: choose a lower one")
    k = crossing_index(fd, target)
    if k is None or n[k + 1] > curve.within(budget):
        return None
    if not np.isfinite(fd[k]):
        return k - skipped, 1.0
    above, goal, below = np.log([fd[k], target, max(fd[k + 1], TINY)])
    return k - skipped, float((above - goal) / (above - below))


def cost_of_target(curve: Curve, target: float, axis: str, budget: float) -> TargetCost:
    """The cost of bringing FD to `target` and keeping it there; a run that does not cross is censored at the budget."""
    return cost_of_crossing(curve, crossing(curve, target, budget), axis, budget)


def cost_of_crossing(curve: Curve, crossed: tuple[int, float] | None, axis: str, budget: float) -> TargetCost:
    """The cost of a crossing on an axis; a run without a crossing is censored at the budget's cost."""
    if crossed is None:
        limit = curve.at_budget(axis, budget)
        return TargetCost(limit, limit, np.inf)
    x, (k, share) = curve.columns[AXES[axis]], crossed
    low, high = float(x[k]) if k >= 0 else 0.0, float(x[k + 1])
    return TargetCost(low + share * (high - low), low, high, k + 1)


def is_flat(curve: Curve, target: float) -> bool:
    """True if FD falls by less than a quarter of its standard error per grid step around the target, so that noise rather
    than training decides the crossing. Measured over the two grid steps on either side of the crossing."""
    k = crossing_index(curve.fd, target)
    if k is None:
        return False
    first, last = max(k - 1, 0), k + 2
    fall = (curve.fd[first] - curve.fd[last]) / (last - first)
    return bool(fall < 0.25 * curve.se[k + 1])
