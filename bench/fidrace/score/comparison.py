"""Comparisons: the runs of one table, method against reference, paired by seed."""

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fidrace.errors import InputError
from fidrace.score.crossings import TargetCost, cost_of_crossing, crossing, is_flat
from fidrace.score.curves import Curve
from fidrace.score.rules import FINAL, Rules
from fidrace.score.speedups import MIN_PAIRS, NAN, Speedup, speedup
from fidrace.spec.study import BASELINE, Target
from fidrace.storage.manifest import MethodRecord, differences
from fidrace.storage.tables import GPU_HOURS

OPEN = "runs that did not arrive, on both sides, leave both limits open"
MISSING = ("failed", "diverged", "running", "incomplete")


@dataclass(frozen=True)
class Comparison:
    """What pairs of runs with the same seeds needed, and the speedup that follows; None where there are no pairs."""

    seeds: list[int]
    ours: list[TargetCost]
    theirs: list[TargetCost]
    speedup: Speedup | None

    def figures(self) -> dict[str, Any]:
        """The columns of a table that tell of it; without pairs those of the speedup are missing."""
        counts = {
            "pairs": len(self.seeds),
            "reached": sum(not one.censored for one in self.ours),
            "baseline_reached": sum(not one.censored for one in self.theirs),
        }
        if self.speedup is None:
            return {**counts, "bound": "none"}
        one = asdict(self.speedup)
        return {**one, **counts, "speedup": one["factor"], "verdict": self.speedup.verdict}

    @property
    def why_nothing(self) -> str:
        """Why nothing was measured; empty where an interval says something of the factor."""
        if len(self.seeds) < MIN_PAIRS:
            return f"{len(self.seeds)} pairs; an interval takes {MIN_PAIRS}"
        if all(one.censored for one in self.ours + self.theirs):
            return "no run reached the target"
        if self.speedup and (self.speedup.ci_low, self.speedup.ci_high) == (0, np.inf):
            return OPEN
        return ""


@dataclass(frozen=True)
class RunTable:
    """The runs of one table, ready to be compared: `curves` are all of them, the methods in the order of the table."""

    curves: list[Curve]
    rules: Rules
    methods: list[str]

    # Asked for again and again: a baseline as often as there are methods, a crossing once for each axis.
    known_costs: dict[tuple[str, str], dict[int, TargetCost]] = field(default_factory=dict, init=False)
    known_crossings: dict[str, dict[int, tuple[int, float] | None]] = field(default_factory=dict, init=False)

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
        """Whether a baseline ends anywhere, and lower than it began: one that diverged, or learnt nothing, is no target."""
        final = self.final(curve)
        began_above = not len(curve.fd) or curve.iteration[0] > 0 or not curve.fd[0] <= final
        return bool(np.isfinite(final)) and began_above

    def at(self, target: Target) -> "RunTable":
        """The same runs raced to another target."""
        return RunTable(self.curves, replace(self.rules, target=target), self.methods)

    def target(self, seed: int) -> float:
        """The number to reach: the study's, or by the papers' habit what this seed's baseline ends at."""
        if self.rules.target != FINAL:
            return float(self.rules.target)
        return self.final(self.usable[BASELINE][seed])

    def final(self, curve: Curve) -> float:
        """FD at the budget, NaN where the run did not come so far."""
        budget = curve.within(self.rules.budget)
        return float(np.interp(budget, curve.iteration, curve.fd)) if curve.ends_by(budget) else NAN

    def costs(self, method: str, axis: str) -> dict[int, TargetCost]:
        """By seed; runs whose cost on the axis was not measured are left out, and those whose baseline sets no target."""
        if (method, axis) not in self.known_costs:
            found = self.all_costs(method, axis)
            self.known_costs[method, axis] = {seed: one for seed, one in sorted(found.items()) if 0 < one.cost < np.inf}
        return self.known_costs[method, axis]

    def all_costs(self, method: str, axis: str) -> dict[int, TargetCost]:
        """By seed, NaN where an axis was not measured."""
        budget, runs = self.rules.budget, self.usable[method]
        if self.rules.target == FINAL and method == BASELINE:  # by definition, at the budget
            ends = {seed: (curve.at_budget(axis, budget), curve) for seed, curve in runs.items()}
            return {
                seed: TargetCost(at, at, at, int(np.searchsorted(curve.iteration, curve.within(budget))))
                for seed, (at, curve) in ends.items()
            }
        found = {seed: cost_of_crossing(runs[seed], crossed, axis, budget) for seed, crossed in self.crossings(method).items()}
        for seed, one in found.items():
            if one.censored and not np.isfinite(one.cost):  # no clock makes a run arrive that does not
                found[seed] = TargetCost(self.typical_cost(axis), np.nan, np.inf)
        return found

    def typical_cost(self, axis: str) -> float:
        """The median over all runs of what the budget costs on the axis, for a censored run of which that is not known."""
        costs = [curve.at_budget(axis, self.rules.budget) for runs in self.usable.values() for curve in runs.values()]
        known = [one for one in costs if np.isfinite(one)]
        return float(np.median(known)) if known else NAN

    def crossings(self, method: str) -> dict[int, tuple[int, float] | None]:
        """By seed: where each run crosses, or None; of runs whose baseline sets no target, nothing."""
        if method not in self.known_crossings:
            goals = self.usable[BASELINE if self.rules.target == FINAL else method]
            self.known_crossings[method] = {
                seed: crossing(curve, self.target(seed), self.rules.budget)
                for seed, curve in self.usable[method].items()
                if seed in goals
            }
        return self.known_crossings[method]

    def compare(self, method: str, axis: str, reference: str = BASELINE) -> Comparison:
        """`method` against `reference`, over the seeds that both have."""
        our_costs, their_costs = self.costs(method, axis), self.costs(reference, axis)
        seeds = [seed for seed in our_costs if seed in their_costs]
        ours, theirs = [our_costs[seed] for seed in seeds], [their_costs[seed] for seed in seeds]
        same = bool(seeds) and all(
            one.cost == other.cost and self.usable[reference][seed].equals(self.usable[method][seed])
            for seed, one, other in zip(seeds, ours, theirs, strict=True)
        )
        return Comparison(seeds, ours, theirs, speedup(theirs, ours, same) if seeds else None)

    def notes(self, method: str, axis: str, pairs: int, reference: str = BASELINE) -> list[str]:
        """What a reader must know before believing a factor of `method` over `reference`."""
        runs = [curve for curve in self.curves if curve.method == method]
        known = self.rules.methods.get(method, MethodRecord())
        raced = [curve for seed, curve in self.usable[method].items() if seed in self.usable[BASELINE]]
        declared = self.rules.declared_seeds
        devices = {curve.about.get("device") for curve in [*self.usable[method].values(), *self.usable[BASELINE].values()]}
        timeless = len(set(self.crossings(method)) - set(self.costs(method, axis))) if method != BASELINE else 0
        notes = {
            "post hoc": self.rules.post_hoc,
            "extended": declared is not None and any(curve.seed not in declared for curve in runs),
            f"fewer than {MIN_PAIRS} pairs": pairs < MIN_PAIRS,
            "horizon": known.horizon,
            "as reconstructed": known.evidence == "reconstructed",
            "flat at target": bool(raced) and np.mean([is_flat(c, self.target(c.seed)) for c in raced]) > 0.5,
            "mixed devices": axis == "seconds" and len(devices) > 1,
            f"{timeless} without {axis}": timeless > 0,
        }
        counts = self.missing(method)
        theirs = self.missing(BASELINE) if method != BASELINE and reference == BASELINE else []
        return [*(note for note, holds in notes.items() if holds), *counts, *(f"baseline: {count}" for count in theirs)]

    def missing(self, method: str) -> list[str]:
        """How many runs of the method ended badly, early, or not yet."""
        statuses = [curve.status for curve in self.curves if curve.method == method]
        late = sum(curve.timed_out for curve in self.curves if curve.method == method)
        others = [f"{late} ended by {GPU_HOURS}"] if late else []
        if method == BASELINE and self.rules.target == FINAL:
            ended = [curve for curve in self.curves if curve.method == BASELINE and curve.status == "finished"]
            aimless = sum(not self.is_usable_target(curve) for curve in ended)
            others += [f"{aimless} no better than at the start"] if aimless else []
        return [f"{statuses.count(status)} {status}" for status in MISSING if status in statuses] + others


def make_run_table(curves: list[Curve], rules: Rules) -> RunTable:
    """The curves as one table; a run that calls itself finished and has lost rows is `incomplete`."""
    marked = [
        replace(curve, status="incomplete") if curve.status == "finished" and not rules.whole(curve) else curve
        for curve in curves
    ]
    there = {curve.method for curve in curves}
    methods = dict.fromkeys([BASELINE, *rules.methods, *(curve.method for curve in curves)])
    return RunTable(marked, rules, [method for method in methods if method in there])


def check_comparable(folder: Path, races: RunTable, other: Path, others: RunTable) -> None:
    """Raise InputError, naming the field that differs, where two folders hold runs of different tasks or fixed parts."""
    here, there = races.curves[0].task, others.curves[0].task
    fixed = [side.rules.fixed for side in (races, others)]
    if not all(fixed):  # without a study.json the hash is all that is known
        hashes = [{curve.config_hash for curve in side.curves} - {""} for side in (races, others)]
        fixed = [{"config_hash": min(found)} for found in hashes] if all(hashes) else [{}, {}]
    for name, one, two in differences({"task": here, **fixed[0]}, {"task": there, **fixed[1]}):
        raise InputError(f"{name} is {one} in {folder} and {two} in {other}: different fixed parts do not compare")
