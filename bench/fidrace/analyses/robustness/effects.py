"""Effects: by how much a setting changes a speedup, all else equal.

d[S, C] = ln(baseline's cost) - ln(method's cost) of S seeds in C cells, NaN where either did not arrive. Cells of one seed meet
the same chances, so they are no independent measurements: seeds are. The grid is what it is; the interval speaks for new seeds.
"""

from dataclasses import dataclass

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.speedups import student


@dataclass(frozen=True)
class Effect:
    """The factor at one level of a setting over the factor at another, geometric mean over `cells` pairs of cells that differ
    in nothing else; its 95 % interval over `seeds` (NaN for fewer than 3)."""

    cells: int
    seeds: int
    ratio: float
    ci_low: float
    ci_high: float


def effect(level: Floats, against: Floats) -> Effect | None:
    """From d[S, C] at a level and d[S, C] at the other, cell beside cell: each seed's mean difference, then Student's t over
    seeds. Only cells in which every seed arrived on both sides count; None where there are none."""
    difference = level - against
    whole = np.isfinite(difference).all(axis=0)
    if not whole.any() or not len(difference):
        return None
    mean, low, high, _, _ = student(difference[:, whole].mean(axis=1))
    return Effect(int(whole.sum()), len(difference), float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)))
