"""Comparisons: the runs of one table, each method against a reference, paired by seed."""

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fidrace.errors import InputError
from fidrace.score.crossings import TargetCost, cost_of_crossing, crossing, is_flat
from fidrace.score.curves import AXES, Curve, redundant_axes
from fidrace.score.rules import FINAL, Rules
from fidrace.score.speedups import MIN_PAIRS, NAN, Speedup, speedup
from fidrace.spec.user_input import BASELINE, Target
from fidrace.storage.manifest import MethodRecord, differences
from fidrace.storage.tables import GPU_HOURS

OPEN = "runs that did not arrive, on both sides, leave both limits open"
UNUSABLE = ("failed", "diverged", "running", "incomplete")  # statuses that a note counts


@dataclass(frozen=True)
class MethodComparison:
    """The costs of runs that are paired by seed, and the speedup that follows; None if there are no pairs."""

    seeds: list[int]
    ours: list[TargetCost]
    theirs: list[TargetCost]
    speedup: Speedup | None

    def figures(self) -> dict[str, Any]:
        """The values of a table's columns; without pairs those of the speedup are absent."""
        counts = {
            "pairs": len(self.seeds),
            "reached": sum(not cost.censored for cost in self.ours),
            "baseline_reached": sum(not cost.censored for cost in self.theirs),
        }
        if self.speedup is None:
            return {**counts, "bound": "none"}
        fields = asdict(self.speedup)
        return {**fields, **counts, "speedup": fields["factor"], "verdict": self.speedup.verdict}

    @property
    def why_nothing(self) -> str:
        """The reason why nothing was measured; empty if an interval bounds the factor."""
        if len(self.seeds) < MIN_PAIRS:
            return f"{len(self.seeds)} pairs; an interval takes {MIN_PAIRS}"
        if all(cost.censored for cost in self.ours + self.theirs):
            return "no run reached the target"
        if self.speedup and (self.speedup.ci_low, self.speedup.ci_high) == (0, np.inf):
            return OPEN
        return ""


@dataclass(frozen=True)
class RunTable:
    """The runs of one table, ready to be compared: `curves` of all runs, and the methods in the table's order."""

    curves: list[Curve]
    rules: Rules
    methods: list[str]

    # Needed repeatedly: the baseline's costs for every method, a crossing once for each axis.
    known_costs: dict[tuple[str, str], dict[int, TargetCost]] = field(default_factory=dict, init=False)
    known_crossings: dict[str, dict[int, tuple[int, float] | None]] = field(default_factory=dict, init=False)

    @property
    def task(self) -> str:
        return self.curves[0].task

    @cached_property
    def redundant_axes(self) -> tuple[str, ...]:
        """The axes whose factors repeat those in iterations."""
        return redundant_axes(self.curves)

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that have rows of their own in the tables."""
        return tuple(axis for axis in AXES if axis not in self.redundant_axes)

    @cached_property
    def usable(self) -> dict[str, dict[int, Curve]]:
        """The runs that can be compared, by method and seed."""
        runs: dict[str, dict[int, Curve]] = {method: {} for method in self.methods}
        for curve in self.curves:
            if curve.method == BASELINE and self.rules.target == FINAL and not self.is_usable_target(curve):
                continue
            if curve.status == "diverged" or (curve.status == "finished" and len(curve.fd)):
                runs[curve.method][curve.seed] = curve
        return runs

    def is_usable_target(self, curve: Curve) -> bool:
        """True if the baseline's final FD is finite and below its initial FD."""
        final = self.final(curve)
        began_above = not len(curve.fd) or curve.iteration[0] > 0 or not curve.fd[0] <= final
        return bool(np.isfinite(final)) and began_above

    def at(self, target: Target) -> "RunTable":
        """The same runs, compared at another target."""
        return RunTable(self.curves, replace(self.rules, target=target), self.methods)

    def target(self, seed: int) -> float:
        """The distance to reach: the study's target, or at `baseline-final` the final FD of this seed's baseline."""
        if self.rules.target != FINAL:
            return float(self.rules.target)
        return self.final(self.usable[BASELINE][seed])

    def final(self, curve: Curve) -> float:
        """FD at the budget; NaN for a run that ended before it."""
        budget = curve.within(self.rules.budget)
        return float(np.interp(budget, curve.iteration, curve.fd)) if curve.ends_by(budget) else NAN

    def costs(self, method: str, axis: str) -> dict[int, TargetCost]:
        """The costs of a method's runs by seed, without runs whose cost on the axis was not measured or whose baseline sets no
        target."""
        if (method, axis) not in self.known_costs:
            costs = self.all_costs(method, axis)
            self.known_costs[method, axis] = {seed: cost for seed, cost in sorted(costs.items()) if 0 < cost.cost < np.inf}
        return self.known_costs[method, axis]

    def all_costs(self, method: str, axis: str) -> dict[int, TargetCost]:
        """The costs of a method's runs by seed; NaN if the axis was not measured."""
        budget, runs = self.rules.budget, self.usable[method]
        if self.rules.target == FINAL and method == BASELINE:  # by definition, at the budget
            ends = {seed: (curve.at_budget(axis, budget), curve) for seed, curve in runs.items()}
            return {
                seed: TargetCost(at, at, at, int(np.searchsorted(curve.iteration, curve.within(budget))))
                for seed, (at, curve) in ends.items()
            }
        costs = {seed: cost_of_crossing(runs[seed], crossed, axis, budget) for seed, crossed in self.crossings(method).items()}
        for seed, cost in costs.items():
            if cost.censored and not np.isfinite(cost.cost):  # it did not arrive, whatever its cost would have been
                costs[seed] = TargetCost(self.typical_cost(axis), np.nan, np.inf)
        return costs

    def typical_cost(self, axis: str) -> float:
        """The median over all runs of the budget's cost on the axis, for a censored run whose own cost is not known."""
        costs = [curve.at_budget(axis, self.rules.budget) for runs in self.usable.values() for curve in runs.values()]
        known = [cost for cost in costs if np.isfinite(cost)]
        return float(np.median(known)) if known else NAN

    def crossings(self, method: str) -> dict[int, tuple[int, float] | None]:
        """By seed, where each run crosses the target, or None; runs whose baseline sets no target are left out."""
        if method not in self.known_crossings:
            goals = self.usable[BASELINE if self.rules.target == FINAL else method]
            self.known_crossings[method] = {
                seed: crossing(curve, self.target(seed), self.rules.budget)
                for seed, curve in self.usable[method].items()
                if seed in goals
            }
        return self.known_crossings[method]

    def compare(self, method: str, axis: str, reference: str = BASELINE) -> MethodComparison:
        """`method` against `reference`, over the seeds that both have."""
        our_costs, their_costs = self.costs(method, axis), self.costs(reference, axis)
        seeds = [seed for seed in our_costs if seed in their_costs]
        ours, theirs = [our_costs[seed] for seed in seeds], [their_costs[seed] for seed in seeds]
        identical = bool(seeds) and all(
            our_cost.cost == their_cost.cost and self.usable[reference][seed].equals(self.usable[method][seed])
            for seed, our_cost, their_cost in zip(seeds, ours, theirs, strict=True)
        )
        return MethodComparison(seeds, ours, theirs, speedup(theirs, ours, identical) if seeds else None)

    def notes(self, method: str, axis: str, pairs: int, reference: str = BASELINE) -> list[str]:
        """What a reader must know before believing a factor of `method` over `reference`."""
        runs = [curve for curve in self.curves if curve.method == method]
        record = self.rules.methods.get(method, MethodRecord())
        paired = [curve for seed, curve in self.usable[method].items() if seed in self.usable[BASELINE]]
        declared = self.rules.declared_seeds
        devices = {curve.about.get("device") for curve in [*self.usable[method].values(), *self.usable[BASELINE].values()]}
        unmeasured = len(set(self.crossings(method)) - set(self.costs(method, axis))) if method != BASELINE else 0
        notes = {
            "post hoc": self.rules.post_hoc,
            "extended": declared is not None and any(curve.seed not in declared for curve in runs),
            f"fewer than {MIN_PAIRS} pairs": pairs < MIN_PAIRS,
            "horizon": record.horizon,
            "as reconstructed": record.evidence == "reconstructed",
            "flat at target": bool(paired) and np.mean([is_flat(c, self.target(c.seed)) for c in paired]) > 0.5,
            "mixed devices": axis == "seconds" and len(devices) > 1,
            f"{unmeasured} without {axis}": unmeasured > 0,
        }
        counts = self.count_unusable(method)
        theirs = self.count_unusable(BASELINE) if method != BASELINE and reference == BASELINE else []
        return [*(note for note, holds in notes.items() if holds), *counts, *(f"baseline: {count}" for count in theirs)]

    def count_unusable(self, method: str) -> list[str]:
        """Notes such as `2 failed`: how many runs of the method failed, ended early, or have not ended."""
        statuses = [curve.status for curve in self.curves if curve.method == method]
        late = sum(curve.timed_out for curve in self.curves if curve.method == method)
        others = [f"{late} ended by {GPU_HOURS}"] if late else []
        if method == BASELINE and self.rules.target == FINAL:
            ended = [curve for curve in self.curves if curve.method == BASELINE and curve.status == "finished"]
            aimless = sum(not self.is_usable_target(curve) for curve in ended)
            others += [f"{aimless} no better than at the start"] if aimless else []
        return [f"{statuses.count(status)} {status}" for status in UNUSABLE if status in statuses] + others


def make_run_table(curves: list[Curve], rules: Rules) -> RunTable:
    """One table of all curves; a run that is marked finished but has lost rows becomes `incomplete`."""
    marked = [
        replace(curve, status="incomplete") if curve.status == "finished" and not rules.whole(curve) else curve
        for curve in curves
    ]
    present = {curve.method for curve in curves}
    methods = dict.fromkeys([BASELINE, *rules.methods, *(curve.method for curve in curves)])
    return RunTable(marked, rules, [method for method in methods if method in present])


def check_comparable(folder: Path, table: RunTable, other_folder: Path, other: RunTable) -> None:
    """Raise InputError, naming the first field that differs, if two folders hold runs of different tasks or fixed parts."""
    fixed = [side.rules.fixed for side in (table, other)]
    if not all(fixed):  # without a study.json only the hash is known
        hashes = [{curve.config_hash for curve in side.curves} - {""} for side in (table, other)]
        fixed = [{"config_hash": min(known)} for known in hashes] if all(hashes) else [{}, {}]
    for name, ours, theirs in differences({"task": table.task, **fixed[0]}, {"task": other.task, **fixed[1]}):
        raise InputError(f"{name} is {ours} in {folder} and {theirs} in {other_folder}: different fixed parts do not compare")
