"""Comparisons: the runs of one table, each method against a reference, paired by seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.costs import Costs, grid_bracket, known_costs
from fidrace.score.crossings import Crossing, TargetCost, cost_of_crossing, find_crossing
from fidrace.score.curves import NO_SEED, Curve, axes_of, redundant_axes
from fidrace.score.grids import Grids, are_coarse, common_iterations, distinct_runs
from fidrace.score.method_comparison import MIXED, MethodComparison
from fidrace.score.rules import FINAL, Rules
from fidrace.score.sequential import Look, look_at, notes_of_look, within
from fidrace.score.speedups import MIN_PAIRS, NAN, ONE_SIDED, speedup
from fidrace.score.windows import Window
from fidrace.spec.user_input import Target

Crossings = dict[int, Crossing | None]
CUT = 0.5  # the share of a window below which a row says so


@dataclass(frozen=True)
class RunTable:
    """The runs of one table, ready to be compared: `curves` of all runs, the methods in the table's order, the metric's name,
    remarks on how the table was read, and what it says of how distances were measured."""

    curves: list[Curve]
    rules: Rules
    methods: list[str]
    metric: str = ""
    remarks: tuple[str, ...] = ()
    described: dict[str, str] = field(default_factory=dict)

    # What does not depend on the target, shared with the same runs at another one: each method's runs without copies (by method
    # and whether failed ones count), and whether all runs are evaluated alike.
    known_runs: dict[tuple[str, bool], list[int]] = field(default_factory=dict)
    known_grids: list[bool] = field(default_factory=list)

    # Needed repeatedly: the baseline's costs for every method, a crossing once for each axis.
    known_costs: dict[tuple[str, str], dict[int, TargetCost]] = field(default_factory=dict, init=False)
    known_crossings: dict[str, Crossings] = field(default_factory=dict, init=False)
    known_counted: dict[tuple[str, str, bool], dict[int, TargetCost]] = field(default_factory=dict, init=False)
    known_signatures: dict[str, list[str]] = field(default_factory=dict, init=False)
    known_sides: dict[tuple[str, str, bool, tuple[int, ...]], Costs] = field(default_factory=dict, init=False)

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
        return tuple(axis for axis in axes_of(self.curves) if axis not in self.redundant_axes)

    def honest_axes(self, method: str) -> tuple[str, ...]:
        """The axes on which the method must be faster too, without those whose factors repeat the unit's."""
        record = self.rules.methods.get(method)
        return tuple(axis for axis in (record.axes if record else ()) if axis not in self.redundant_axes)

    @property
    def family(self) -> int:
        """How many methods Holm counts at least: all that are declared in a study that is raced until it is decided, else 0."""
        return len({*self.rules.methods, *self.methods} - {self.rules.baseline}) if self.rules.until_decided else 0

    @property
    def has_one_grid(self) -> bool:
        """True if all runs are evaluated alike, or searched on one grid for the target and every distance is a number."""
        if self.rules.is_searched_for:
            return all(len(curve.grid) == len(curve.fd) for curve in self.curves)
        if not self.known_grids:
            self.known_grids.append(common_iterations(self.curves) is None)
        return self.known_grids[0]

    def distinct(self, method: str, failed: bool) -> list[int]:
        """The seeds of the method's usable runs, and of `failed` ones, without copies of another."""
        if (method, failed) not in self.known_runs:
            runs = self.usable[method] | (self.failed_runs(method) if failed else {})
            self.known_runs[method, failed] = distinct_runs(runs)
        return self.known_runs[method, failed]

    @cached_property
    def usable(self) -> dict[str, dict[int, Curve]]:
        """The runs that can be compared, by method and seed."""
        runs: dict[str, dict[int, Curve]] = {method: {} for method in self.methods}
        for curve in self.curves:
            if curve.method == self.rules.baseline and self.rules.target == FINAL and not self.is_usable_target(curve):
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
        known = self.known_runs if FINAL not in (target, self.rules.target) else {}
        rules = replace(self.rules, target=target)
        return replace(self, rules=rules, known_runs=known, known_grids=self.known_grids)

    def over(self, window: float) -> "RunTable":
        """The same runs, compared over another window."""
        return replace(self, rules=replace(self.rules, window=window))

    def target(self, seed: int) -> float:
        """The distance to reach: the study's target, or at `baseline-final` the final FD of this seed's baseline, and if seeds
        share nothing the median over all baseline runs."""
        if self.rules.target != FINAL:
            return float(self.rules.target)
        goals = self.usable[self.rules.baseline]
        return self.final(goals[seed]) if self.rules.paired else float(np.median([self.final(c) for c in goals.values()]))

    def final(self, curve: Curve) -> float:
        """FD at the budget; NaN for a run that ended before it."""
        budget = curve.within(self.rules.budget)
        return float(np.interp(budget, curve.iteration, curve.fd)) if curve.ends_by(budget) else NAN

    def costs(self, method: str, axis: str) -> dict[int, TargetCost]:
        """The costs of a method's runs by seed, without runs whose cost on the axis was not measured or whose baseline sets no
        target."""
        if (method, axis) not in self.known_costs:
            costs = self.all_costs(method, axis)
            self.known_costs[method, axis] = known_costs(costs)
        return self.known_costs[method, axis]

    def all_costs(self, method: str, axis: str) -> dict[int, TargetCost]:
        """The costs of a method's runs by seed; NaN if the axis was not measured."""
        runs = self.usable[method]
        if self.rules.target == FINAL and self.rules.paired and method == self.rules.baseline:  # by definition, at the budget
            return {seed: self.cost_of_end(curve, axis) for seed, curve in runs.items()}
        return {seed: self.cost_of(runs[seed], crossing, axis) for seed, crossing in self.crossings(method).items()}

    def cost_of_end(self, curve: Curve, axis: str) -> TargetCost:
        """What a baseline's own final FD costs it: its budget."""
        cost, budget = curve.at_budget(axis, self.rules.budget), curve.within(self.rules.budget)
        end = min(int(np.searchsorted(curve.iteration, budget)), len(curve.fd) - 1)
        return TargetCost(cost, cost, cost, Crossing(end, end, 1.0))

    def typical_cost(self, axis: str) -> float:
        """The median over all runs of the budget's cost on the axis, for a censored run whose own cost is not known."""
        costs = [curve.at_budget(axis, self.rules.budget) for runs in self.usable.values() for curve in runs.values()]
        known = [cost for cost in costs if np.isfinite(cost)]
        return float(np.median(known)) if known else NAN

    def crossings(self, method: str) -> Crossings:
        """By seed, where each run crosses the target, or None; runs whose baseline sets no target are left out."""
        if method not in self.known_crossings:
            self.known_crossings[method] = {
                seed: find_crossing(curve, self.target(seed), self.rules.budget)
                for seed, curve in self.usable[method].items()
                if self.has_target(seed)
            }
        return self.known_crossings[method]

    def stopped_short(self, method: str) -> int:
        """How many of the method's runs stopped at the study's target before they reached this one: nothing is known of it."""
        crossings = self.crossings(method)
        return sum(curve.stopped and crossings.get(seed) is None for seed, curve in self.usable[method].items())

    def has_target(self, seed: int) -> bool:
        return self.rules.target != FINAL or not self.rules.paired or seed in self.usable[self.rules.baseline]

    @cached_property
    def failed(self) -> list[Curve]:
        return [curve for curve in self.curves if curve.status == "failed"]

    def failed_runs(self, method: str) -> dict[int, Curve]:
        """The method's runs that failed, by seed."""
        return {curve.seed: curve for curve in self.failed if curve.method == method and self.has_target(curve.seed)}

    def compare(self, method: str, axis: str, reference: str = "") -> MethodComparison:
        """`method` against `reference` (default: the baseline).

        Runs are paired by seed if seeds share their chances; otherwise, or with too few pairs, the two groups are compared.
        A failed run of the method counts as one that never arrives, because failures are not missing at random; one of the
        reference is left out, and leaves `slower` open. Runs on grids that differ are compared at their common evaluations,
        and seconds of different devices not at all. In a study that declares looks, the runs are those of the last look
        that both sides have raced."""
        reference = reference or self.rules.baseline
        look = self.look(method, reference)
        failed, lost_references = (within(look, self.failed_runs(name)) for name in (method, reference))
        our_runs, their_runs = self.usable[method] | failed, self.usable[reference]
        ours = [*within(look, self.counted_costs(method, axis, failed=True))]
        theirs = [*within(look, self.counted_costs(reference, axis))]
        common_seeds = {*theirs} - {NO_SEED}
        shared = [seed for seed in ours if seed in common_seeds]
        enough = len(shared) >= MIN_PAIRS or min(len(ours), len(theirs)) < MIN_PAIRS  # Welch would not do better
        paired = self.rules.paired and bool(shared) and enough
        if paired:
            ours = theirs = shared
        sides = [[runs[seed] for seed in seeds] for runs, seeds in ((our_runs, ours), (their_runs, theirs))]
        full = [self.side(method, axis, ours, failed=True), self.side(reference, axis, theirs)]
        mixed = axis == "seconds" and len({curve.about.get("device") for side in sides for curve in side}) > 1
        if not ours or not theirs or mixed:
            notes = [*notes_of_look(look), *([MIXED] if mixed else [])]
            return MethodComparison(ours, full[0], full[1], None, paired, tuple(notes))
        identical = len(ours) == len(theirs) and all(
            a.cost == b.cost and one.equals(other) for a, b, one, other in zip(*full, *sides, strict=True)
        )
        common = None if identical or self.has_one_grid else common_iterations([*sides[0], *sides[1]])
        thinned = None if common is None else self.costs_at(common, sides, full, axis, reference)
        used_sides, used = thinned or (sides, full)
        unlike = common is not None and thinned is None
        grids = Grids.UNLIKE if unlike else Grids.COARSE if are_coarse(used) else Grids.FINE
        lost = bool({*failed} - {*ours}), bool(lost_references)
        cut = []
        if window := self.window(axis):
            full, _ = window.average(sides, full, paired)
            used, share = window.average(used_sides, used, paired)
            cut = [f"window cut to {self.rules.window**share:.3g}x"] if share < CUT and not identical else []
        level = look.level if look else ONE_SIDED
        found = speedup(used[1], used[0], identical, paired, grid_bracket(full[1], full[0]), grids, lost, level)
        if look:
            found = replace(found, p_value=look.p_value(found.p_value), p_slower=look.p_value(found.p_slower))
        notes = [*notes_of_look(look, found), *(["grids differ"] if common is not None else []), *cut]
        if grids is not Grids.FINE and not identical:
            notes.append(f"coarse grid {found.grid_low:.2g}–{found.grid_high:.2g}".replace("inf", "∞"))
        at_common = (used[0], used[1]) if thinned else None
        return MethodComparison(ours, full[0], full[1], found, paired, tuple(notes), lost, grids, at_common, level)

    def window(self, axis: str) -> Window | None:
        """The window of targets over which costs are averaged; None without one, and at `baseline-final`."""
        if self.rules.window == 1 or self.rules.target == FINAL:
            return None
        return Window(self.rules.window, float(self.rules.target), axis, self.rules.budget)

    def look(self, method: str, reference: str = "") -> Look | None:
        """The last look that is over for both methods; None in a study without looks."""
        design = self.rules.until_decided
        if design is None:
            return None
        return look_at(design, min(self.raced(method), self.raced(reference or self.rules.baseline)))

    def raced(self, method: str) -> int:
        """With how many of the seeds 0, 1, 2, … the method has been raced, each to its end or to its failure."""
        ended = {curve.seed for curve in self.curves if curve.method == method and curve.status != "running"}
        return next(seed for seed in range(len(ended) + 1) if seed not in ended)

    def counted_costs(self, method: str, axis: str, failed: bool = False) -> dict[int, TargetCost]:
        """The costs of the method's runs without copies, by seed; with `failed` also of failed runs, as never arriving."""
        if (method, axis, failed) not in self.known_counted:
            costs = dict(self.costs(method, axis))
            if failed:
                costs |= known_costs({seed: self.cost_of(run, None, axis) for seed, run in self.failed_runs(method).items()})
            counted = {seed: costs[seed] for seed in self.distinct(method, failed) if seed in costs}
            self.known_counted[method, axis, failed] = counted
        return self.known_counted[method, axis, failed]

    def side(self, method: str, axis: str, seeds: Sequence[int], failed: bool = False) -> Costs:
        """The counted costs of these runs of the method."""
        key = (method, axis, failed, tuple(seeds))
        if key not in self.known_sides:
            costs = self.counted_costs(method, axis, failed)
            self.known_sides[key] = Costs(costs[seed] for seed in seeds)
        return self.known_sides[key]

    def cost(self, curve: Curve, axis: str) -> TargetCost:
        """The cost of one run."""
        return self.cost_of(curve, find_crossing(curve, self.target(curve.seed), self.rules.budget), axis)

    def cost_of(self, curve: Curve, crossing: Crossing | None, axis: str) -> TargetCost:
        """The cost of a crossing; a run that did not arrive, whatever its cost would have been, has the typical one."""
        found = cost_of_crossing(curve, crossing, axis, self.rules.budget)
        if found.censored and not 0 < found.cost < np.inf:
            return TargetCost(self.typical_cost(axis), 0.0, np.inf)
        return found

    def costs_at(
        self, common: Floats, sides: list[list[Curve]], full: list[Costs], axis: str, reference: str
    ) -> tuple[list[list[Curve]], list[Costs]] | None:
        """The runs of both sides, and their costs, if they had been evaluated at the `common` iterations only; None if some run
        is then no longer seen to cross, or from the first evaluation on."""
        by_definition = self.rules.target == FINAL and self.rules.paired and reference == self.rules.baseline
        runs, found = [], []
        for k, side in enumerate(sides):
            if k == 1 and by_definition:
                runs.append(side)
                found.append(full[k])
                continue
            thinned = [curve.restricted_to(common) for curve in side]
            costs = Costs(self.cost(curve, axis) for curve in thinned)
            states = ([(c.censored, c.may_be_less) for c in known] for known in (costs, full[k]))
            if next(states) != next(states):
                return None
            runs.append(thinned)
            found.append(costs)
        return runs, found
