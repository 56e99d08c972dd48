"""Evaluation grids: whether runs were evaluated alike, and how to compare them if they were not.

A run that is evaluated more often is seen to cross earlier, and by another interpolation error. So runs on different grids
are compared at the evaluations that they have in common, as if nobody had looked in between.
"""

from collections.abc import Iterable, Sequence
from enum import Enum

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.costs import costs_of
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import Curve

WIDEST = 1.25  # the ratio of a bracket's ends up to which interpolation is trusted: five evaluations on an even grid


class Grids(Enum):
    """How far the interpolated costs of runs can be compared: they were evaluated alike and often enough before the target;
    alike, but too rarely; or not alike and not comparable at common evaluations."""

    FINE = "fine"
    COARSE = "coarse"
    UNLIKE = "unlike"


def are_coarse(sides: Iterable[Sequence[TargetCost]]) -> bool:
    """True if on some side the target's own bracket is wider than WIDEST in the median run that arrives."""
    return any(costs_of(side).width > WIDEST * (1 + 1e-9) for side in sides)


def common_iterations(curves: Sequence[Curve]) -> Floats | None:
    """The iterations at which every run is evaluated that goes on so far; None if these are all, so that the grids agree."""
    first, *others = (curve.grid for curve in curves)
    if all(np.array_equal(first, grid) for grid in others):
        return None
    grids = [curve.grid for curve in curves]
    union = np.unique(np.concatenate(grids))
    ends = np.array([grid[-1] if len(grid) else -1.0 for grid in grids])
    absent = np.zeros(len(union), bool)
    for grid, end in zip(grids, ends, strict=True):
        absent |= ~np.isin(union, grid) & (union <= end)
    return union[~absent] if absent.any() else None


def distinct_runs(runs: dict[int, Curve]) -> list[int]:
    """The seeds of runs whose distances are not all equal to those of an earlier run: copies are one run. A single distance,
    as of runs that diverged at once, says nothing of that."""
    seen: set[bytes] = set()
    kept = []
    for seed, curve in sorted(runs.items()):
        if np.isfinite(curve.fd).sum() < 2 or curve.content not in seen:
            kept.append(seed)
        seen.add(curve.content)
    return kept
