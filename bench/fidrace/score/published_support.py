"""What a published table supports of a speedup: the bracket of its own evaluations, against the target.

The target of a row is the FID that the baseline's curve ends at, as papers race. Each side is one run, so there is no interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from fidrace.score.comparison import RunTable
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import NO_SEED, Curve
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.notes import notes_of_costs
from fidrace.score.one_seed import describe_sensitivity
from fidrace.score.published_curves import Pair, Published
from fidrace.score.rules import Rules
from fidrace.score.run_tables import make_run_table
from fidrace.score.speedups import NAN

SUPPORT_COLUMNS = (
    "source task baseline method unit published target at_baseline_end low high published_lies interpolated bound note"
).split()
METRIC = "FID"
ONE_POINT, NO_BASELINE = "one point", "no baseline"  # why no factor follows
TOUCHED = "touched, above the target again at the next point"


@dataclass(frozen=True)
class Support:
    """The factors, from `low` to `high`, that the two curves of a pair support at one target. `factor`: interpolated, read by
    `bound` as a Speedup's; NaN unless both runs cross between two evaluations. `touched`: some run is at the target without
    arriving there."""

    target: float
    low: float
    high: float
    factor: float
    bound: str
    notes: tuple[str, ...]
    touched: bool

    def place(self, factor: float) -> str:
        """Where a factor lies: inside the bracket, at one of its ends, above it, or below it."""
        for end, name in ((self.low, "lower end"), (self.high, "upper end")):
            if math.isclose(factor, end, rel_tol=1e-9):
                return name
        return "above" if factor > self.high else "below" if factor < self.low else "inside"


@dataclass(frozen=True)
class PairSupport:
    """What the curves of one pair support at the FID that the baseline ends at, and at every FID that either run was measured
    at, from the easiest to the hardest. A pair without curves supports nothing: `end` is None."""

    pair: Pair
    end: Support | None
    at_targets: tuple[Support, ...]

    @cached_property
    def best(self) -> Support | None:
        """The support whose lower end is the highest: the most that the table says for the method, picked afterwards. Not of
        targets that a run touches: it is counted as not arriving there, though it was there once."""
        return max((one for one in self.at_targets if not one.touched), key=lambda one: one.low, default=None)

    @property
    def place(self) -> str:
        """Where the published factor lies in the support at the baseline's end; empty without one of them."""
        factor = self.pair.stated.factor
        return self.end.place(factor) if self.end and factor else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before believing the row."""
        return self.end.notes if self.end else (ONE_POINT,)

    def rows(self) -> list[dict[str, Any]]:
        """The pair's rows of published.csv: one for each target, or one without a target."""
        pair, factor = self.pair, self.pair.stated.factor
        whole = {
            "source": pair.source.key,
            "task": pair.task,
            "baseline": pair.baseline.method,
            "method": pair.method.method,
            "unit": pair.method.unit,
            "published": factor,
        }
        if self.end is None:
            return [whole | {"note": ONE_POINT}]
        return [
            whole
            | {
                "target": one.target,
                "at_baseline_end": one.target == self.end.target,
                "low": one.low,
                "high": one.high,
                "published_lies": one.place(factor) if factor else "",
                "interpolated": one.factor,
                "bound": one.bound,
                "note": "; ".join(one.notes),
            }
            for one in self.at_targets
        ]


def support_of(pair: Pair) -> PairSupport:
    """The support of a pair's own curves."""
    if not pair.has_curves:
        return PairSupport(pair, None, ())
    rules = Rules(
        "baseline-final", "", math.inf, baseline=pair.baseline.method, unit=pair.method.unit, paired=False, ends_freely=True
    )
    table = replace(make_run_table([pair.baseline, pair.method], rules), metric=METRIC)
    targets = np.unique(np.concatenate([pair.baseline.fd, pair.method.fd]))[::-1]
    at_targets = {float(target): support_at(table.at(float(target)), pair) for target in targets}
    return PairSupport(pair, at_targets[table.target(NO_SEED)], tuple(at_targets.values()))


def support_at(table: RunTable, pair: Pair) -> Support:
    """The pair's support at the table's target."""
    method, baseline, axis = pair.method.method, pair.baseline.method, table.rules.unit
    comparison = table.compare(method, axis)
    found = comparison.speedup
    assert found is not None
    both, target = is_interpolated(comparison), table.target(NO_SEED)
    touched = [
        *([method] if only_touches(pair.method, comparison.ours, target) else []),
        *([baseline] if only_touches(pair.baseline, comparison.theirs, target) else []),
    ]
    notes = [
        *(f"{name}: {TOUCHED}" for name in touched),
        *(f"{method}: {note}" for note in notes_of_costs(comparison.ours)),
        *(f"{baseline}: {note}" for note in notes_of_costs(comparison.theirs)),
        *([describe_sensitivity(table, method, axis, found.factor)] if both and found.bound == "=" else []),
        *([pair.source.inexact] if pair.source.inexact else []),
    ]
    factor, bound = (found.factor, found.bound) if both else (NAN, "")
    return Support(target, found.grid_low, found.grid_high, factor, bound, tuple(notes), bool(touched))


def only_touches(curve: Curve, costs: Sequence[TargetCost], target: float) -> bool:
    """True if the run does not arrive at the target, by the protocol's rule, and is there at some evaluation nevertheless."""
    return all(cost.crossing is None for cost in costs) and bool((curve.fd <= target).any())


def is_interpolated(comparison: MethodComparison) -> bool:
    """True if each run crosses between two evaluations."""
    return all(cost.crossing and not cost.may_be_less for cost in (*comparison.ours, *comparison.theirs))


def support_table(supports: list[PairSupport]) -> pd.DataFrame:
    """published.csv: one row for each pair and target."""
    return pd.DataFrame([row for one in supports for row in one.rows()], columns=pd.Index(SUPPORT_COLUMNS))


def unsupported(published: Published) -> pd.DataFrame:
    """The runs from which no factor follows, by source and task: how many, the fewest and most points of one, and why."""
    compared = {id(curve) for pair in published.pairs if pair.has_curves for curve in (pair.baseline, pair.method)}
    left = [
        {"source": key, "task": curve.task, "points": len(curve.fd)}
        for key, curves in published.curves.items()
        for curve in curves
        if id(curve) not in compared
    ]
    points = pd.DataFrame(left).groupby(["source", "task"], sort=False)["points"]
    table = points.agg(runs="count", fewest="min", most="max").reset_index()
    return table.assign(why=np.where(table["fewest"] == 1, ONE_POINT, NO_BASELINE))
