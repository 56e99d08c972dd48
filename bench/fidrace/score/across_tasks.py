"""One leaderboard over several tasks: each method's factors, their geometric mean, performance profiles, and whether the order
of methods on one task is that on another.

Only factors are compared, never distances, so tasks may differ in metric, unit and target. Tasks are taken as independent.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.errors import InputError, NothingToConclude
from fidrace.packaged import find_tables
from fidrace.score.comparison import RunTable
from fidrace.score.estimates import Estimate, estimate_of
from fidrace.score.grids import Grids
from fidrace.score.leaderboard import read_run_table
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.rank_correlation import FEWEST, correlate_ranks, is_point
from fidrace.score.rules import Question
from fidrace.score.speedups import FASTER, NAN, SLOWER
from fidrace.score.verdicts import adjust_p_values, judge_on_honest_axes

TAU = 4.0  # the ratio up to which AlgoPerf scores profiles (arXiv 2306.07179)
FACTOR_COLUMNS = "task method axis target pairs speedup ci_low ci_high bound p_holm p_slower_holm verdict".split()
MEAN_COLUMNS = "method tasks of speedup ci_low ci_high bound profile_score".split()
PROFILE_COLUMNS = "method ratio share".split()
ORDER_COLUMNS = "task other methods correlation ci_low ci_high alike opposed".split()

Comparisons = Mapping[str, MethodComparison]  # by method; each has a speedup


@dataclass(frozen=True)
class AcrossTasks:
    """`tasks`: what the tables call the folders, in the order given; `baseline`: what the profiles call the baseline.
    `factors`: one row for each task and method. `means`: one row for each method, those raced on most tasks first, then the
    fastest; no mean for a method raced on one task. `profiles`: after each ratio at which it changes, the share of tasks on
    which a method needs at most that many times what the fastest needs. `orders`: for each two tasks the rank correlation of
    their factors, and how many verdicts are `alike` and `opposed`. `remarks`: what a reader must know. `sources`: of each task
    what was raced, and the command that scores it."""

    tasks: tuple[str, ...]
    baseline: str
    factors: pd.DataFrame
    means: pd.DataFrame
    profiles: pd.DataFrame
    orders: pd.DataFrame
    remarks: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    @property
    def shared(self) -> list[str]:
        """The methods raced on two tasks or more."""
        return [*self.means.loc[self.means["tasks"] > 1, "method"]]


def compare_tasks(folders: Sequence[str | Path], asked: Question = Question()) -> AcrossTasks:
    """The leaderboard over the tables in `folders`, paths or names of published tables. Raises InputError for fewer than two,
    for tables that cannot be read and for two that hold the same run, NothingToConclude if they compare no method."""
    if len(folders) < 2:
        raise InputError("a leaderboard over tasks takes two folders or more (`fidrace score DIR` shows one)")
    tables = {
        name: read_run_table(find_tables(folder), asked) for name, folder in zip(name_folders(folders), folders, strict=True)
    }
    check_distinct(tables)
    compared = {task: compare_methods(table) for task, table in tables.items()}
    methods = list(dict.fromkeys(method for found in compared.values() for method in found))
    if not methods:
        raise NothingToConclude(f"{', '.join(tables)}: no method was raced beside the baseline")
    everywhere = [method for method in methods if all(method in found for found in compared.values())]
    names = {table.rules.baseline for table in tables.values()}
    baseline = names.pop() if len(names) == 1 else "each table's baseline"
    profiles = profiles_of(baseline, [has_arrived(table) for table in tables.values()], compared, everywhere)
    means = pd.DataFrame([mean_row(method, compared, profiles) for method in methods], columns=pd.Index(MEAN_COLUMNS))
    means = means.sort_values(["tasks", "speedup"], ascending=False, kind="stable", ignore_index=True)
    orders = pd.DataFrame([order_row(*pair, compared) for pair in combinations(tables, 2)], columns=pd.Index(ORDER_COLUMNS))
    means.loc[means["tasks"] == 1, ["speedup", "ci_low", "ci_high", "bound"]] = NAN, NAN, NAN, "none"
    return AcrossTasks(
        tuple(tables),
        baseline,
        pd.concat([factor_table(name, tables[name], found) for name, found in compared.items()], ignore_index=True),
        means,
        profiles,
        orders,
        tuple(remarks_on(tables, compared, everywhere, int(orders["methods"].min()))),
        tuple((name, source_of(tables[name], folder, asked)) for name, folder in zip(tables, folders, strict=True)),
    )


def name_folders(folders: Sequence[str | Path]) -> list[str]:
    """What the tables call each folder: its last part, or the path as given if two end alike."""
    last = [Path(folder).resolve().name for folder in folders]
    names = [str(folder) if last.count(name) > 1 else name for name, folder in zip(last, folders, strict=True)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{', '.join(twice)}: named twice")
    return names


def source_of(table: RunTable, folder: str | Path, asked: Question) -> str:
    """What was raced, and the command that scores it alone."""
    goal, runs = table.rules.target, len(table.curves)
    options = [("--target", asked.target), ("--baseline", asked.baseline)]
    words = ["fidrace", "score", str(folder), *(str(word) for pair in options if pair[1] is not None for word in pair)]
    to = goal if isinstance(goal, str) else f"{goal:g}"
    return f"task {table.task}, {runs} runs, in {table.rules.unit} to {table.metric} {to}: {shlex.join(words)}"


def check_distinct(tables: Mapping[str, RunTable]) -> None:
    """Raise InputError if two tables hold the same run, seed and distances: it would count twice."""
    for (one, its), (other, theirs) in combinations(tables.items(), 2):
        for curve in its.curves:
            if len(curve.fd) > 1 and any(curve.equals(copy) for copy in theirs.curves if copy.seed == curve.seed):
                raise InputError(
                    f"{one} and {other} hold the same run ({curve.method}, seed {curve.seed}), which would count twice; "
                    "`fidrace merge` makes one table of them"
                )


def compare_methods(table: RunTable) -> dict[str, MethodComparison]:
    """The methods that can be compared with the baseline, in the table's own unit."""
    found = {method: table.compare(method, table.rules.unit) for method in table.methods if method != table.rules.baseline}
    return {method: comparison for method, comparison in found.items() if comparison.speedup is not None}


def factor_table(task: str, table: RunTable, compared: Comparisons) -> pd.DataFrame:
    """The rows of one task: what `fidrace score` says of its methods in the table's unit."""
    unit, honest = table.rules.unit, {method: table.honest_axes(method) for method in table.methods}
    rows = []
    for axis in (unit, *dict.fromkeys(axis for axes in honest.values() for axis in axes)):
        about = {"task": task, "axis": axis, "target": table.rules.target}
        for method, comparison in compared.items():
            found = comparison if axis == unit else table.compare(method, axis)
            rows.append({**about, "method": method, **found.figures()})
    judged = adjust_p_values(rows, [*FACTOR_COLUMNS, "p_value", "p_slower"], table.family)
    judged = judge_on_honest_axes(judged, honest)
    return judged.loc[judged["axis"] == unit, FACTOR_COLUMNS]


def mean_row(method: str, compared: Mapping[str, Comparisons], profiles: pd.DataFrame) -> dict[str, Any]:
    """One row of `means`. A factor that is a bound on one task makes the mean a bound."""
    known = [found[method] for found in compared.values() if method in found]
    estimate = average([estimate_of(comparison) for comparison in known])
    bounds = {comparison.speedup.bound for comparison in known if comparison.speedup} - {"="}
    bound = "=" if not bounds else bounds.pop() if len(bounds) == 1 else "none"
    ci_low, ci_high = estimate.limits()
    return {
        "method": method,
        "tasks": len(known),
        "of": len(compared),
        "speedup": NAN if bound == "none" else estimate.factor,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "bound": bound,
        "profile_score": profile_score(profiles[profiles["method"] == method]),
    }


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The geometric mean of factors on independent tasks: of these tasks, not of all that might have been raced.

    Its interval is that of a mean of means, by Student's t with Welch's and Satterthwaite's degrees of freedom. A limit that is
    open on one task is open; grids that are coarse on one task bracket the mean as they bracket the factors."""
    count = len(estimates)
    with np.errstate(divide="ignore"):
        low, high = np.exp(np.mean(np.log([estimate.bracket for estimate in estimates]), axis=0))
    return Estimate(
        float(np.mean([estimate.mean for estimate in estimates])),
        [group / count for estimate in estimates for group in estimate.groups],
        (any(estimate.is_open[0] for estimate in estimates), any(estimate.is_open[1] for estimate in estimates)),
        (float(low), float(high)),
        max((estimate.grids for estimate in estimates), key=[*Grids].index),
        level=float(np.min([estimate.level for estimate in estimates])),  # NaN before the first look of a task
    )


def has_arrived(table: RunTable) -> bool:
    """True if every run of the baseline reaches the target."""
    baseline = table.rules.baseline
    costs = table.costs(baseline, table.rules.unit).values()
    return not table.failed_runs(baseline) and not any(cost.censored for cost in costs)


def profiles_of(
    baseline: str, arrivals: Sequence[bool], compared: Mapping[str, Comparisons], methods: Sequence[str]
) -> pd.DataFrame:
    """The performance profiles of the baseline, which reaches the target in every run on the tasks in `arrivals`, and of
    `methods`, which were raced on all tasks (Dolan and More, Mathematical Programming 91, 2002). Who does not reach
    it in every run needs infinitely many times what the fastest needs, because nobody knows what it needs."""
    costs = {baseline: [1.0 if arrived else np.inf for arrived in arrivals]}
    for method in methods:
        costs[method] = [cost_beside_baseline(found[method]) for found in compared.values()]
    best = np.min([*costs.values()], axis=0)
    rows = []
    for method, cost in costs.items():
        known = np.isfinite(cost)
        ratios = np.where(known, np.array(cost) / np.where(known, best, 1.0), np.inf)
        steps = np.unique(np.append(ratios[known], 1.0))
        rows += [{"method": method, "ratio": ratio, "share": float((ratios <= ratio).mean())} for ratio in steps]
    return pd.DataFrame(rows, columns=pd.Index(PROFILE_COLUMNS))


def cost_beside_baseline(comparison: MethodComparison) -> float:
    """How many times the baseline's cost a method needs; inf unless every run arrives and the factor is known."""
    factor = comparison.speedup.factor if comparison.speedup else NAN
    arrived = not comparison.lost[0] and not any(cost.censored for cost in comparison.ours)
    return 1 / factor if arrived and not np.isnan(factor) else np.inf


def profile_score(profile: pd.DataFrame) -> float:
    """The mean of a profile over ratios from 1 to TAU, as AlgoPerf scores it; NaN for a method without a profile."""
    if not len(profile):
        return NAN
    ratio, share = (profile[name].to_numpy(float) for name in ("ratio", "share"))
    kept = ratio < TAU
    return float((np.diff([*ratio[kept], TAU]) * share[kept]).sum() / (TAU - 1))


def order_row(task: str, other: str, compared: Mapping[str, Comparisons]) -> dict[str, Any]:
    """One row of `orders`. Methods whose factor is a bound on either task have no rank. Verdicts are those of the factors' own
    intervals, of all methods raced on both."""
    shared = [(compared[task][method], compared[other][method]) for method in compared[task] if method in compared[other]]
    ranked = [pair for pair in shared if all(map(is_point, pair))]
    correlation, low, high = correlate_ranks([one for one, _ in ranked], [two for _, two in ranked])
    verdicts = [{one.speedup.verdict, two.speedup.verdict} for one, two in shared if one.speedup and two.speedup]
    return {
        "task": task,
        "other": other,
        "methods": len(ranked),
        "correlation": correlation,
        "ci_low": low,
        "ci_high": high,
        "alike": sum(both in ({FASTER}, {SLOWER}) for both in verdicts),
        "opposed": verdicts.count({FASTER, SLOWER}),
    }


def remarks_on(
    tables: Mapping[str, RunTable], compared: Mapping[str, Comparisons], everywhere: Sequence[str], ranked: int
) -> list[str]:
    """What a reader must know beside the tables; `ranked`: the smallest number of methods that any two tasks rank."""
    post_hoc = [task for task, table in tables.items() if table.rules.post_hoc]
    empty = [f"{task}: no method was raced beside the baseline" for task, found in compared.items() if not found]
    partial = sorted({method for found in compared.values() for method in found} - {*everywhere})
    bounds = sorted({method for found in compared.values() for method, one in found.items() if not is_point(one)})
    remarks = [
        f"post hoc, because another target was asked than was declared: {', '.join(post_hoc)}" if post_hoc else "",
        *empty,
        f"not raced on all tasks, so without a profile: {', '.join(partial)}" if partial else "",
        f"without a rank where their factor is a bound: {', '.join(bounds)}" if bounds else "",
        f"a rank correlation takes {FEWEST} methods with a factor on both tasks" if ranked < FEWEST else "",
    ]
    return [remark for remark in remarks if remark]
