"""Curves: the evaluations of each run in runs.csv and evals.csv, in order of training."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np

from fidrace.errors import InputError, nearest
from fidrace.method.base import Floats
from fidrace.score.columns import ITERATIONS
from fidrace.storage.tables import BINS, CROSSED, GPU_HOURS

GUARDS = ("precision", "recall", "memorised", "val_loss", *(f"val_loss_bin{k}" for k in range(BINS)))
AXES = {"iterations": "iteration", "images": "images", "seconds": "train_seconds", "forwards": "forwards"}
NO_SEED = -1  # of a run whose table does not tell its seed


@dataclass(frozen=True)
class Curve:
    """One run of E evaluations: fd[E], its standard error se[E], and columns[E] by name (all axes, NaN where they were not
    measured, and guards); `about` is its row of runs.csv. `unit`: what its column iteration counts."""

    task: str
    method: str
    seed: int
    status: str
    columns: dict[str, Floats]
    fd: Floats
    se: Floats
    about: dict[str, Any] = field(default_factory=dict)
    unit: str = ITERATIONS
    costs_of_targets: dict[tuple[str, float], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """How messages call the run."""
        return self.method if self.seed == NO_SEED else f"{self.method} seed {self.seed}"

    def axis(self, name: str) -> Floats:
        """The cost [E] of training on an axis; NaN if it was not measured."""
        return self.iteration if name == self.unit else self.columns[AXES[name]]

    @cached_property
    def grid(self) -> Floats:
        """The iterations at which FD is known: without evaluations that are NaN while later ones are not."""
        finite = np.flatnonzero(np.isfinite(self.fd))
        inside = np.arange(len(self.fd)) < (finite[-1] if len(finite) else 0)
        return self.iteration[np.isfinite(self.fd) | ~inside]

    @cached_property
    def descent(self) -> "Descent":
        """Its distances, arranged to be asked at many targets."""
        return Descent.of(self.iteration, self.fd)

    @cached_property
    def content(self) -> bytes:
        """What copies of one run have in common: its distances and where they were measured."""
        return self.iteration.tobytes() + self.fd.tobytes()

    def restricted_to(self, iterations: Floats) -> "Curve":
        """The same run as if it had been evaluated at some of its iterations only."""
        kept = np.isin(self.iteration, iterations)
        columns = {name: values[kept] for name, values in self.columns.items()}
        return replace(self, columns=columns, fd=self.fd[kept], se=self.se[kept])

    @property
    def is_dead(self) -> bool:
        """True if the run diverged or ends no lower than it began."""
        ended = self.status == "finished" and len(self.fd) > 1
        return self.status == "diverged" or (ended and not self.fd[-1] < self.fd[0])

    @property
    def iteration(self) -> Floats:
        return self.columns["iteration"]

    @property
    def config_hash(self) -> str:
        """The hash of the fixed part; empty if runs.csv does not have it."""
        return str(self.about.get("config_hash", ""))

    @property
    def timed_out(self) -> bool:
        """True if the limit of GPU-hours ended the run before its last iteration."""
        return self.about.get("ended_by") == GPU_HOURS and len(self.iteration) > 1

    @property
    def stopped(self) -> bool:
        """True if the run ended where its crossing of the study's target was confirmed."""
        return self.about.get("ended_by") == CROSSED and len(self.iteration) > 1

    @cached_property
    def ended_early(self) -> bool:
        """True if the run ended before its last iteration; its last evaluation only confirms."""
        return self.timed_out or self.stopped

    def within(self, budget: float) -> float:
        """The run's own budget in its unit: no later than the end of a finished run, whose last evaluation only confirms if it
        ended early."""
        if self.ended_early:
            return min(budget, float(self.iteration[-2]))
        return min(budget, float(self.iteration[-1])) if self.status == "finished" and len(self.iteration) else budget

    def ends_by(self, budget: float) -> bool:
        """True if its evaluations reach its budget; otherwise a finished run has lost rows."""
        due = min(budget, float(self.iteration[-2])) if self.ended_early else budget
        return bool(len(self.fd) and self.iteration[-1] >= (due if np.isfinite(due) else self.iteration[-1]))

    @property
    def never_trained(self) -> bool:
        """True if no evaluation comes after iteration 0."""
        return not len(self.iteration) or self.iteration[-1] == 0

    def equals(self, other: "Curve") -> bool:
        """True if both have the same distances at the same iterations, and at least one that is finite."""
        return (
            bool(np.isfinite(self.fd).any())
            and np.array_equal(self.iteration, other.iteration)
            and np.array_equal(self.fd, other.fd, equal_nan=True)
        )

    def at_budget(self, axis: str, budget: float) -> float:
        """The cost of the budget on an axis, extrapolated from the last evaluation of a run that ended before it; NaN if no
        evaluation comes after iteration 0."""
        x, budget = self.axis(axis), self.within(budget)
        if budget == np.inf:  # of a run that did not finish, where no budget is known
            budget = float(self.iteration[-1]) if len(self.iteration) else 0.0
        if axis == self.unit:
            return float(budget)
        if len(x) and budget <= self.iteration[-1]:
            return float(np.interp(budget, self.iteration, x))
        return float("nan") if self.never_trained else float(x[-1] / self.iteration[-1] * budget)


@dataclass(frozen=True)
class Descent:
    """The distances of a run from iteration 0 on: fd[E] at iteration[E]. A run that was not evaluated at 0 was above any target
    there, by an unknown distance: then inf is put in front, and `added` is 1. `kept`[E - 2]: minus the lowest level under which
    two evaluations in a row have been by then, in rising order. `left`[E]: the highest level above which two in a row are from
    there on. NaN is above any target. `distances`[E] and `ln_fd`[E]: fd and its logarithm, to be read one by one."""

    iteration: Floats
    fd: Floats
    distances: list[float]
    ln_fd: list[float]
    added: int
    kept: list[float]
    left: list[float]

    @staticmethod
    def of(iteration: Floats, fd: Floats) -> "Descent":
        added = int(len(iteration) > 0 and iteration[0] > 0)
        iteration, fd = np.append(np.zeros(added), iteration), np.append(np.full(added, np.inf), fd)
        level = np.where(np.isnan(fd), np.inf, fd)
        kept = -np.minimum.accumulate(np.maximum(level[1:-1], level[2:]))
        both = np.append(np.minimum(level[:-1], level[1:]), -np.inf)
        left = np.maximum.accumulate(both[::-1])[::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return Descent(iteration, fd, fd.tolist(), np.log(fd).tolist(), added, kept.tolist(), left.tolist())

    def index(self, target: float) -> int | None:
        """The first k with fd[k] above the target, fd[k + 1] and fd[k + 2] at or below it; k = 0 also if fd[0] is not above."""
        k = bisect_left(self.kept, -target)
        return k if k < len(self.kept) else None


def longest_runs(curves: Sequence[Curve]) -> list[Curve]:
    """The runs that were evaluated as often as any, and at the same iterations, over which medians are taken; empty if no run
    has evaluations. If runs stopped at their crossing these would be the slow ones: then all of them, at the evaluations that
    they share."""
    if any(curve.stopped for curve in curves):
        measured = [curve for curve in curves if len(curve.fd)]
        shared = reduce(np.intersect1d, [curve.iteration for curve in measured])
        return [curve.restricted_to(shared) for curve in measured]
    most = max((len(curve.fd) for curve in curves), default=0)
    longest = [curve for curve in curves if len(curve.fd) == most > 0]
    return [curve for curve in longest if np.array_equal(curve.iteration, longest[0].iteration)]


def axes_of(curves: Sequence[Curve]) -> tuple[str, ...]:
    """The axes on which training can be counted, the runs' own unit first."""
    unit = curves[0].unit if curves else ITERATIONS
    measured = [axis for axis in AXES if axis != ITERATIONS and any(np.isfinite(c.axis(axis)).any() for c in curves)]
    return tuple(dict.fromkeys([unit, *measured]))


def check_axis(axis: str | None, curves: Sequence[Curve]) -> str:
    """`axis`, or the runs' own unit if it is None; raises InputError unless it was measured."""
    axes = axes_of(curves)
    if axis is None:
        return axes[0]
    if axis not in (*AXES, *axes):
        raise InputError(f"unknown axis {axis!r}{nearest(axis, axes)}")
    if axis not in axes:
        raise InputError(f"{axis} were not measured here (choices: {', '.join(axes)})")
    return axis


def redundant_axes(curves: Sequence[Curve]) -> tuple[str, ...]:
    """The axes, images or forwards, that are one constant multiple of the iteration at every evaluation of every run. Factors
    on them repeat those in iterations."""
    iteration = np.concatenate([curve.iteration for curve in curves]) if curves else np.array([])
    trained = iteration > 0

    def is_redundant(axis: str) -> bool:
        cost = np.concatenate([curve.axis(axis) for curve in curves])
        ratio = cost[trained] / iteration[trained]
        return bool((cost[~trained] == 0).all() and (ratio > 0).all() and np.allclose(ratio, ratio[0], rtol=1e-9, atol=0))

    axes = (axis for axis in ("images", "forwards") if curves and axis != curves[0].unit)
    return tuple(axis for axis in axes if trained.any() and is_redundant(axis))
