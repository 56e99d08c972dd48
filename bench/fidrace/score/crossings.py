"""Crossings: from a curve of Frechet distances to the cost of reaching a target, on any axis.

An evaluation says where a run was, not when it got there: the cost of the target lies between two evaluations. x[E] an axis
(iterations, images, seconds, forward passes) at the E evaluations of one run, fd[E] distances.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats
from fidrace.score.curves import Curve

RELAPSE = 2.0  # times the target, over a run's last two evaluations; less of it is within what FD scatters


class Crossing(NamedTuple):
    """Where FD falls to the target: between the evaluations `before` (-1: the run was at the target at its first evaluation)
    and `at`, after `share` of the way, log-linear in FD. `confirmed`: the evaluation after it is at the target too; False if
    there is none. `relapsed`: the run ends above the target: in its last three evaluations, or in the last two by factors whose
    product is above RELAPSE, or with NaN. `left`: it is above the target for two evaluations or more some time later."""

    before: int
    at: int
    share: float
    confirmed: bool = True
    relapsed: bool = False
    left: bool = False


class TargetCost(NamedTuple):
    """The cost of reaching the target on an axis: in (`low`, `high`], interpolated to `cost`. A run that did not arrive is
    right-censored: it needed more than `cost`, then the budget, and `high` is inf. One that had arrived by its first
    evaluation is left-censored: it needed `cost` at most, and `low` is 0. `crossing` is None if there was none. `alone`: the
    cost of the target alone, if this one is averaged over the targets around it."""

    cost: float
    low: float
    high: float
    crossing: Crossing | None = None
    alone: "TargetCost | None" = None

    @property
    def censored(self) -> bool:
        """True if the run did not arrive."""
        return self.high == np.inf

    @property
    def of_target(self) -> "TargetCost":
        """The cost of the target alone."""
        return self.alone or self

    @property
    def relapsed(self) -> bool:
        return self.crossing is not None and self.crossing.relapsed

    @property
    def may_be_more(self) -> bool:
        """True if the cost may be above its bracket: the run did not arrive, not certainly, or not to stay."""
        crossing = self.crossing
        return self.high == np.inf or (crossing is not None and (crossing.relapsed or not crossing.confirmed))

    @property
    def may_be_less(self) -> bool:
        """True if nothing bounds the cost from below."""
        return self.crossing is not None and self.crossing.before < 0


def find_crossing(curve: Curve, target: float, budget: float) -> Crossing | None:
    """The first crossing by the budget after which FD stays at the target for two evaluations, or that is the run's last
    evaluation; None if there is none. An evaluation that is NaN only widens the bracket. Raises InputError for a run that is
    at the target before it trains."""
    descent = curve.descent
    fd, n, skipped = descent.distances, descent.iteration, descent.added
    if fd and fd[0] <= target:
        raise InputError(f"{curve.name} is at the target {target:g} before it trains: choose a lower one")
    k, confirmed = descent.index(target), True
    if k is None and len(fd) > 1 and fd[-1] <= target:
        k, confirmed = len(fd) - 2, False
    if k is None or n[k + 1] > curve.within(budget):
        return None
    last, ended = fd[-1], curve.status == "finished"
    relapsed = stays_above(descent.fd, target) if last > target else math.isnan(last) and ended
    left = descent.left[k + 1] > target
    before = k if target < fd[k] < math.inf else next((j for j in range(k, -1, -1) if target < fd[j] < math.inf), None)
    if before is None:
        return Crossing(-1, k + 1 - skipped, 1.0, confirmed, relapsed, left)
    share = 1.0
    if fd[k + 1] > 0:
        start, end = descent.ln_fd[before], descent.ln_fd[k + 1]
        share = (start - math.log(target)) / (start - end) if start > end else 1.0
    return Crossing(before - skipped, k + 1 - skipped, share, confirmed, relapsed, left)


def stays_above(fd: Floats, target: float) -> bool:
    """True if a run that ends above the target does so for long, or by far."""
    return not (fd[-3:] <= target).any() or bool(np.prod(np.fmax(fd[-2:] / target, 1)) > RELAPSE)


def cost_of_target(curve: Curve, target: float, axis: str, budget: float) -> TargetCost:
    """The cost of bringing FD to `target` and keeping it there; a run that does not cross is censored at the budget."""
    return cost_of_crossing(curve, find_crossing(curve, target, budget), axis, budget)


def cost_of_crossing(curve: Curve, crossing: Crossing | None, axis: str, budget: float) -> TargetCost:
    """The cost of a crossing on an axis; a run without a crossing is censored at the budget's cost."""
    if crossing is None:
        limit = curve.at_budget(axis, budget)
        return TargetCost(limit, limit, np.inf)
    x = curve.axis(axis)
    low, high = float(x[crossing.before]) if crossing.before >= 0 else 0.0, float(x[crossing.at])
    return TargetCost(low + crossing.share * (high - low), low, high, crossing)


def is_flat(curve: Curve, target: float, grid: Sequence[float] = ()) -> bool:
    """True if FD falls by less than a quarter of its standard error per grid step around the target, so that noise rather
    than training decides the crossing. Measured over the two grid steps on either side of the crossing, or if not all of the
    `grid` was measured, over as many as lie between the evaluations around it."""
    k = curve.descent.index(target)
    if k is None or k < curve.descent.added:
        return False
    k -= curve.descent.added
    first, last = max(k - 1, 0), k + 2
    steps = last - first
    if grid:
        steps = sum(curve.iteration[first] < n <= curve.iteration[last] for n in grid)
    fall = (curve.fd[first] - curve.fd[last]) / steps
    return bool(fall < 0.25 * curve.se[k + 1])
