"""What a verdict will cost: from the runs of a pilot or of published tables, how much single seeds scatter and what they take.

Costs that are not known enter no scatter. They are counted, because one of them may leave a verdict open for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fidrace.errors import NothingToConclude
from fidrace.method.base import Floats
from fidrace.packaged import find_tables
from fidrace.score.comparison import RunTable
from fidrace.score.costs import log_costs
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import Curve, check_axis
from fidrace.score.gate import compare_to_baseline
from fidrace.score.grids import Grids
from fidrace.score.leaderboard import median_known, read_run_table
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.one_seed import SCATTER_OF
from fidrace.score.power import Scatter, family_level, variance
from fidrace.score.rules import Question
from fidrace.score.speedups import NAN, NO_SCATTER, correlation

FEWEST = 2  # values from which a scatter can be estimated at all
MANY = 10  # seeds of a study, for an example
LIKE_THESE, LIKE_BASELINE = "like these", "like baseline"  # rows that stand for a method that was not run


@dataclass(frozen=True)
class MethodPlan:
    """What the runs of one method tell of a study to come. `scatter` of a seed's ln factor, None if not known, from `known`
    pairs, or runs of the side that has fewer; `correlation` of the ln costs of a pair. `seconds` that one seed takes, of the
    method and the baseline together (NaN: not known). `paired`: a seed is a pair; otherwise it is a run on either side. `open`:
    how many runs leave its lower limit open. `notes`: on these, and on what else more seeds do not mend."""

    method: str
    scatter: Scatter | None
    known: int
    correlation: float = NAN
    seconds: float = NAN
    paired: bool = True
    open: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A table's methods and the rules of the verdict: on `axis`, one-sided at `level`, which is that of the least favourable of
    `family` methods under Holm."""

    table: RunTable
    axis: str
    family: int
    methods: tuple[MethodPlan, ...]

    @property
    def level(self) -> float:
        return family_level(self.family)

    @property
    def with_scatter(self) -> tuple[MethodPlan, ...]:
        return tuple(one for one in self.methods if one.scatter)


def make_plan(
    folder: str | Path,
    methods: Sequence[str] = (),
    axis: str | None = None,
    asked: Question = Question(),
    family: int | None = None,
) -> Plan:
    """The plan from the runs in `folder`, a path or the name of published tables; of `methods` (default: all), which are
    `family` of them in the study to come (default: as many as the table has). Raises InputError for tables that cannot be read
    and for methods that they do not hold, NothingToConclude if nothing in them scatters."""
    folder = find_tables(folder)
    table = read_run_table(folder, asked)
    axis = check_axis(axis, table.curves)
    others = [method for method in table.methods if method != table.rules.baseline]
    found = [plan_method(table, method, axis) for method in methods or others]
    if not any(one.scatter for one in found) and not methods:
        found += plan_like_baseline(table, axis)
    if not any(one.scatter for one in found):
        raise NothingToConclude(f"{folder}: {why_no_scatter(table, axis)}")
    if len([one for one in found if one.scatter]) > 1:
        found.append(typical_method(found))
    return Plan(table, axis, family or max(1, len(others)), tuple(found))


def plan_method(table: RunTable, method: str, axis: str) -> MethodPlan:
    """The scatter, the time and the notes of one method."""
    comparison = compare_to_baseline(table, method, axis)
    ours, theirs = known_log_costs(comparison)
    groups = [theirs - ours] if comparison.paired else [theirs, ours]
    known = min(map(len, groups))
    scatter = Scatter.of(groups) if known >= FEWEST else None
    notes = notes_of_plan(comparison, known)
    if scatter and scatter.deviation < NO_SCATTER:
        scatter, notes = None, ["its costs do not scatter at all: they are copied or rounded, and show nothing", *notes]
    return MethodPlan(
        method,
        scatter,
        known,
        correlation(theirs, ours) if comparison.paired else NAN,
        seconds_of(table, method) + seconds_of(table, table.rules.baseline),
        comparison.paired,
        count_open(comparison),
        tuple(f"{method}: {note}" for note in notes),
    )


def is_known(cost: TargetCost) -> bool:
    return not cost.may_be_more and not cost.may_be_less


def known_log_costs(comparison: MethodComparison) -> tuple[Floats, Floats]:
    """The ln costs of the method and of the reference that are known; of pairs, where both are."""
    ours, theirs = comparison.compared
    if comparison.paired:
        pairs = [pair for pair in zip(ours, theirs, strict=True) if all(map(is_known, pair))]
        ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return log_costs([*filter(is_known, ours)]), log_costs([*filter(is_known, theirs)])


def count_open(comparison: MethodComparison) -> int:
    """The runs, of the method or of the reference, that leave the lower limit open."""
    return sum(cost.may_be_more for cost in comparison.ours) + sum(cost.may_be_less for cost in comparison.theirs)


def notes_of_plan(comparison: MethodComparison, known: int) -> list[str]:
    """How often runs leave a verdict open, from how many `known` values the scatter is if not from all, and whether the grid
    may decide instead of the seeds."""
    ours, theirs = comparison.ours, comparison.theirs
    late, early = sum(cost.may_be_more for cost in ours), sum(cost.may_be_less for cost in theirs)
    notes = []
    for count, of, what in (
        (late, len(ours), "runs did not arrive, or not for certain"),
        (early, len(theirs), "baseline runs were at the target at their first evaluation, which does as much"),
    ):
        if count:
            spared = 100 * (1 - count / of) ** MANY
            notes.append(f"{count} of {of} {what}; at this rate {spared:.0f} % of studies of {MANY} seeds have no such run")
    if known < (measured := min(len(ours), len(theirs))):
        unit = "pairs" if comparison.paired else "runs a side"
        notes.append(f"only {known} of {measured} {unit} have known costs, and their scatter may be too small")
    if comparison.grids is not Grids.FINE:
        notes.append(f"{'; '.join(comparison.notes)}: a verdict also takes evaluations that exclude 1, whatever the seeds")
    return notes


def seconds_of(table: RunTable, method: str) -> float:
    """The mean time of the method's finished runs, training and evaluation; NaN if it is not known."""
    times = [run_seconds(curve) for curve in table.usable.get(method, {}).values() if curve.status == "finished"]
    known = [time for time in times if time > 0]
    return float(np.mean(known)) if known else NAN


def run_seconds(curve: Curve) -> float:
    """train_seconds and eval_seconds of a row of runs.csv, or else the training time at the run's last evaluation; NaN if
    neither is known."""
    train, evaluation = (float(curve.about.get(name) or NAN) for name in ("train_seconds", "eval_seconds"))
    if not np.isfinite(train):
        train = float(curve.columns["train_seconds"][-1]) if len(curve.fd) else NAN
    return train + (evaluation if np.isfinite(evaluation) else 0.0)


def plan_like_baseline(table: RunTable, axis: str) -> list[MethodPlan]:
    """If only the baseline has enough runs: a method that scatters as it does, and shares nothing with it."""
    costs = log_costs([cost for cost in table.counted_costs(table.rules.baseline, axis).values() if is_known(cost)])
    if len(costs) < FEWEST or costs.std() < NO_SCATTER:
        return []
    note = f"{LIKE_BASELINE}: a method that scatters and costs as it does, unpaired; pairs that correlate take fewer seeds"
    seconds = 2 * seconds_of(table, table.rules.baseline)
    scatter = Scatter((variance(costs),) * 2, len(costs) - 1)
    return [MethodPlan(LIKE_BASELINE, scatter, len(costs), NAN, seconds, False, notes=(note,))]


def typical_method(found: Sequence[MethodPlan]) -> MethodPlan:
    """A method as these: the median of their scatters (the larger of two), the median of their times."""
    ranked = sorted((one for one in found if one.scatter), key=lambda one: one.scatter.deviation if one.scatter else 0.0)
    median = ranked[len(ranked) // 2]
    seconds = median_known([one.seconds for one in ranked])
    return MethodPlan(LIKE_THESE, median.scatter, median.known, median.correlation, seconds, median.paired)


def why_no_scatter(table: RunTable, axis: str) -> str:
    """Why no method of a table has a scatter."""
    runs = max(len({curve.seed for curve in table.curves if curve.method == method}) for method in table.methods)
    remedy = f"take the published scatter: fidrace plan {SCATTER_OF}"
    if runs < FEWEST:
        return f"one seed has no scatter; {len(table.curves)} runs, one a method, do not tell what others cost; {remedy}"
    if unknown := sum(not is_known(cost) for method in table.methods for cost in table.costs(method, axis).values()):
        known = f"no method has {FEWEST} that did"
        return f"{unknown} runs did not arrive, or not for certain, and {known}; give an easier --target"
    return f"no method has {FEWEST} seeds that scatter; {remedy}"
