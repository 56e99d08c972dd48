"""Windows: the cost of a target averaged over the targets around it, which the noise of one evaluation moves less.

A window of 1.35 reaches from target / 1.35 to target * 1.35. Its middle is the target, on the log scale, in every pair: where
a run ends or begins too near to the target, both of the pair are averaged over the smaller window that both have.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from fidrace.score.costs import Costs
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import Curve

SMALLEST = 1e-9  # a half-width, of ln distance, below which a window is a point
NO_ROOM = 0.0


@dataclass(frozen=True)
class CostOfTargets:
    """What every target costs one run on one axis, from the crossings that it confirmed by its budget.

    Let z be minus the ln of a target: it rises as targets fall. Targets from z[j] to z[j + 1], a piece, are crossed in one grid
    interval, from low[j] to high[j], and their cost rises in proportion to z, from costs[j][0] to costs[j][1]. `sums`[j]: the
    integrals over z of the cost, and of low and high, from z[0] to z[j]. `block`[j]: the first and last of the pieces around
    piece j that a window can reach; (-1, -1) if its costs are not known, because the run was there when it was first evaluated,
    or a distance or the count of training is not finite."""

    z: list[float]
    costs: list[tuple[float, float]]
    low: list[float]
    high: list[float]
    sums: list[tuple[float, float, float]]
    block: list[tuple[int, int]]

    @staticmethod
    def of(curve: Curve, axis: str, budget: float) -> "CostOfTargets":
        descent = curve.descent
        n, fd = descent.iteration, descent.fd
        x = np.append(np.zeros(descent.added), curve.axis(axis))
        kept = -np.array(descent.kept)
        start = fd[0] if len(fd) and not np.isnan(fd[0]) else np.inf
        kept = np.minimum(kept[: int(np.searchsorted(n[1:-1], curve.within(budget), side="right"))], start)
        k = np.flatnonzero(kept < np.append(start, kept)[:-1])
        levels = np.append(start, kept[k])
        known = np.isfinite(fd[k]) & (fd[k + 1] > 0) & np.isfinite(x[k] + x[k + 1])
        with np.errstate(invalid="ignore", divide="ignore"):
            z, slope = -np.log(levels), (x[k + 1] - x[k]) / np.log(fd[k] / fd[k + 1])
            ends = [x[k] + slope * (np.log(fd[k]) + at) for at in (z[:-1], z[1:])]
            heights = [(ends[0] + ends[1]) / 2, x[k], x[k + 1]]
            steps = np.where(known, np.diff(z) * np.stack(heights), 0.0)
        sums = np.cumsum(steps, axis=1, dtype=float)
        return CostOfTargets(
            z.tolist(),
            [*zip(ends[0].tolist(), ends[1].tolist(), strict=True)],
            x[k].tolist(),
            x[k + 1].tolist(),
            [(0.0, 0.0, 0.0), *zip(*sums.tolist(), strict=True)],
            blocks(known.tolist()),
        )

    def piece(self, z: float, first: int = 0, last: int | None = None) -> int:
        """The number of the piece of z, among those from `first` to `last`."""
        return min(max(bisect_right(self.z, z) - 1, first), len(self.low) - 1 if last is None else last)

    def room(self, target: float) -> float:
        """The half-width, of ln distance, of the largest window around the target that this run has."""
        z = -math.log(target)
        if not self.low or not self.z[0] <= z < self.z[-1]:
            return NO_ROOM
        first, last = self.block[self.piece(z)]
        return min(z - self.z[first], self.z[last + 1] - z) if first >= 0 else NO_ROOM

    def mean(self, target: float, half: float) -> tuple[float, float, float]:
        """The cost, and the ends of its bracket, averaged over the targets from `target` / e^half to `target` * e^half; `half`
        is above 0 and at most the room."""
        z = -math.log(target)
        reach = self.block[self.piece(z)]
        parts = zip(self.integrals(z + half, *reach), self.integrals(z - half, *reach), strict=True)
        cost, low, high = ((upper - lower) / (2 * half) for upper, lower in parts)
        return cost, low, high

    def integrals(self, z: float, first: int, last: int) -> tuple[float, float, float]:
        """The integrals of the cost, and of its bracket's ends, from the first z to this one, which is in a piece from `first`
        to `last`."""
        j = self.piece(z, first, last)
        width, (start, end) = z - self.z[j], self.costs[j]
        here = start + (end - start) * width / (self.z[j + 1] - self.z[j])
        total, low, high = self.sums[j]
        return total + width * (start + here) / 2, low + width * self.low[j], high + width * self.high[j]


def blocks(known: Sequence[bool]) -> list[tuple[int, int]]:
    """For each piece the first and the last of the known ones in a row that it belongs to; (-1, -1) if it is not known."""
    found: list[tuple[int, int]] = []
    for j, here in enumerate(known):
        start = found[-1][0] if j and found[-1][0] >= 0 else j
        found.append((start if here else -1, -1))
    for j in reversed(range(len(found))):
        if found[j][0] >= 0:
            follows = j + 1 < len(found) and found[j + 1][0] >= 0
            found[j] = found[j][0], found[j + 1][1] if follows else j
    return found


def cost_of_targets(curve: Curve, axis: str, budget: float) -> CostOfTargets:
    """What every target costs the run, made once for each axis and budget."""
    if (axis, budget) not in curve.costs_of_targets:
        curve.costs_of_targets[axis, budget] = CostOfTargets.of(curve, axis, budget)
    return curve.costs_of_targets[axis, budget]


@dataclass(frozen=True)
class Window:
    """The window of a comparison on an axis: its ratio, the target in its middle, and the budget of crossings."""

    ratio: float
    target: float
    axis: str
    budget: float

    def average(
        self, sides: Sequence[Sequence[Curve]], costs: Sequence[Sequence[TargetCost]], paired: bool
    ) -> tuple[list[Costs], float]:
        """`costs` of the runs of both sides, averaged over the window or the part of it that both runs of a pair have; of runs
        that are not paired, that all have which arrive. Also the share of the window, on the log scale, that is left at the
        median of what arrives; 1 if nothing does."""
        found = [[cost_of_targets(curve, self.axis, self.budget) for curve in side] for side in sides]
        rooms = [[self.room(one, cost) for one, cost in zip(*side, strict=True)] for side in zip(found, costs, strict=True)]
        if paired:
            pairs = [min(pair) for pair in zip(*rooms, strict=True)]
            halves = [pairs, pairs]
        else:
            arrived = [room for room, cost in zip((*rooms[0], *rooms[1]), (*costs[0], *costs[1]), strict=True) if cost.crossing]
            halves = [[min(arrived, default=NO_ROOM)] * len(side) for side in sides]
        averaged = [Costs(map(self.mean, *side)) for side in zip(found, costs, halves, strict=True)]
        reached = [half for half, cost, other in zip(halves[0], *costs, strict=False) if cost.crossing and other.crossing]
        return averaged, median(reached) / math.log(self.ratio) if reached else 1.0

    def room(self, found: CostOfTargets, cost: TargetCost) -> float:
        """The half-width of the run's window; none if its crossing is not confirmed or not bounded on both sides."""
        is_whole = cost.crossing and cost.crossing.confirmed and cost.crossing.before >= 0
        return min(math.log(self.ratio), found.room(self.target)) if is_whole else NO_ROOM

    def mean(self, found: CostOfTargets, cost: TargetCost, half: float) -> TargetCost:
        if half < SMALLEST or cost.censored:
            return cost
        mean, low, high = found.mean(self.target, half)
        return cost._replace(cost=mean, low=low, high=high, alone=cost)
