"""Failure signatures: what a run's own curve says of how its training went wrong.

The notes on arXiv 2404.07946 name oscillation (momentum too high), late instability and slow convergence; a standstill is the
fourth. A rise or a fall counts only beyond the errors of the two evaluations between which it lies, so that evaluations
without an error show none.

A run has fd[E] with standard errors fd_se[E] at iteration[E], the held-out val_loss[E], and grad_norm[E], the mean norm of the
gradient since the evaluation before; NaN where they were not measured.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.curves import Descent
from fidrace.spec.measurement import SignatureConfig
from fidrace.storage.tables import GRADIENT

OSCILLATING, UNSTABLE, SLOW, STANDSTILL = SIGNATURES = ("oscillating", "unstable late", "slow", "at a standstill")
Levels = Floats | Sequence[float]  # a list where they are read one by one: numpy's numbers are slow at that
COLUMNS = ("iteration", "fd", "fd_se", "val_loss", GRADIENT[0])


def signatures(columns: Mapping[str, Floats], target: float | None, budget: float, limits: SignatureConfig) -> list[str]:
    """The signatures of a run from its columns of evals.csv; without a `target` only those that need none."""
    unknown = np.full(len(columns["fd"]), np.nan)
    iteration, fd, se, loss, gradient = (columns.get(name, unknown) for name in COLUMNS)
    known = np.isfinite(fd) & (fd > 0)
    n, y, error = iteration[known], np.log(fd[known]), se[known] / fd[known]
    confirmed = is_raised(loss[known], np.min, limits.loss) or is_raised(gradient[known], np.median, limits.gradient)
    shown = {
        OSCILLATING: count_swings(y, limits.errors * error) >= limits.swings,
        UNSTABLE: stays_risen(y, limits.errors * error) or (confirmed and stays_risen(y, error)),
    }
    if target is not None and len(n):
        descent = Descent.of(iteration, fd)
        k = descent.index(target)
        arrived = np.inf if k is None else descent.iteration[k + 1]
        over = n[-1] >= limits.share * budget
        shown[SLOW] = bool(over and arrived > limits.share * budget)
        shown[STANDSTILL] = bool(over and arrived == np.inf and fall_at_the_end(n, y) < limits.fall)
    return [name for name, holds in shown.items() if holds]


def differ(y: Levels, error: Levels, first: int, second: int) -> bool:
    """True if two evaluations differ by more than their errors."""
    return abs(y[second] - y[first]) > math.hypot(error[first], error[second])


def turns(y: Levels, error: Levels) -> Iterator[int]:
    """The places at which y[E] turns, up or down: its extremes between moves that each exceed their errors."""
    extreme, direction = 0, 0.0
    for k in range(1, len(y)):
        move = y[k] - y[extreme]
        if direction and direction * move >= 0:
            extreme = k
        elif differ(y, error, extreme, k):
            if direction:
                yield extreme
            extreme, direction = k, move


def count_swings(y: Floats, error: Floats) -> int:
    """How often y[E] rises and falls again."""
    return len([*turns(y.tolist(), error.tolist())]) // 2


def stays_risen(y: Floats, error: Floats) -> bool:
    """True if the last two of y[E] lie above the smallest before them by more than the errors."""
    if len(y) < 3:
        return False
    low, last = int(np.argmin(y[:-2])), (len(y) - 2, len(y) - 1)
    return all(y[k] > y[low] and differ(y, error, low, k) for k in last)


def is_raised(x: Floats, summary: Callable[[Floats], Any], share: float) -> bool:
    """True if the last two of x[E] lie above the summary of those before by more than a share of it."""
    before = x[:-2][np.isfinite(x[:-2])]
    return bool(len(before) and (x[-2:] > (1 + share) * summary(before)).all())


def fall_at_the_end(n: Floats, y: Floats) -> float:
    """By how much a line through y falls over the last third of training; NaN if fewer than three evaluations lie there."""
    late = n >= n[-1] * 2 / 3
    if late.sum() < 3:
        return float("nan")
    return float(-np.polynomial.polynomial.polyfit(n[late], y[late], 1)[1] * n[-1] / 3)
