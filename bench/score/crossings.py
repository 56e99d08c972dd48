"""Crossings: from a curve of Frechet distances to the cost of reaching a target, on any axis.

x[E] an axis (iterations, images, seconds, forward passes) at the E evaluations of one run, fd[E] distances.
"""

from dataclasses import dataclass

import numpy as np

from bench.score.curves import AXES, Curve
from methods.base import Floats, InputError


@dataclass(frozen=True)
class Reached:
    """What a run needed: `cost` on the axis, between the evaluations at `low` and `high`; censored: it needed more than
    `cost`, which is then the budget."""

    cost: float
    low: float
    high: float
    censored: bool = False


def crossing_index(fd: Floats, target: float) -> int | None:
    """The first k with fd[k] above the target, fd[k + 1] and fd[k + 2] at or below it; NaN counts as above."""
    below = fd <= target
    sustained = ~below[:-2] & below[1:-1] & below[2:]
    return int(np.argmax(sustained)) if sustained.any() else None


def reached(curve: Curve, target: float, axis: str, budget: float) -> Reached:
    """The cost of bringing FD to `target` and keeping it there for two evaluations, the first of them by the budget.

    Inside the grid interval: log-linear in FD. A run that does not cross is censored at the budget. Raises InputError for
    a run that is at the target before it trains.
    """
    if len(curve.fd) and curve.fd[0] <= target and curve.iteration[0] == 0:
        raise InputError(f"{curve.method} seed {curve.seed} is at the target {target:g} at iteration 0: choose a lower one")
    k = crossing_index(curve.fd, target)
    x = curve.columns[AXES[axis]]
    if k is None or curve.iteration[k + 1] > budget:
        limit = curve.at_budget(axis, budget)
        return Reached(limit, limit, np.inf, censored=True)
    low, high = float(x[k]), float(x[k + 1])
    above, below = curve.fd[k], max(curve.fd[k + 1], np.finfo(float).tiny)
    share = np.log(above / target) / np.log(above / below) if np.isfinite(above) else 1.0
    return Reached(low + float(share) * (high - low), low, high)


def flat(curve: Curve, target: float) -> bool:
    """Whether FD falls by less than a quarter of its standard error per grid step about the target, so that noise rather
    than training decides the crossing. Read off the two grid steps on either side of the crossing."""
    k = crossing_index(curve.fd, target)
    if k is None:
        return False
    first, last = max(k - 1, 0), k + 2
    fall = (curve.fd[first] - curve.fd[last]) / (last - first)
    return bool(fall < 0.25 * curve.se[k + 1])
