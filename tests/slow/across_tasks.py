"""How often the intervals of a leaderboard over tasks hold the truth, in simulations, and whether a seed's factors on two
published tasks are independent: python -m tests.slow.across_tasks

Methods share their baseline's runs, as they do in a study. Four minutes.
"""

import numpy as np
from scipy.stats import kendalltau

from fidrace.method.base import Floats
from fidrace.packaged import find_tables
from fidrace.score.across_tasks import average
from fidrace.score.crossings import TargetCost
from fidrace.score.estimates import estimate_of, log_factors
from fidrace.score.leaderboard import read_run_table
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.rank_correlation import correlate_ranks
from fidrace.score.speedups import speedup

STUDIES, SPREAD, TASKS, METHODS = 400, 0.06, 3, 8  # SPREAD: standard deviation of ln costs over seeds


def comparisons(log_factors: Floats, seeds: int, spread: float, rng: np.random.Generator) -> list[MethodComparison]:
    """One task's comparisons; ln costs scatter by `spread`."""
    baseline = 6 + rng.normal(0, spread, seeds)
    theirs = [TargetCost(cost, cost, cost) for cost in np.exp(baseline)]
    found = []
    for factor in log_factors:
        logs = 6 - factor + rng.normal(0, spread, seeds)
        ours = [TargetCost(cost, cost, cost) for cost in np.exp(logs)]
        found.append(MethodComparison([*range(seeds)], ours, theirs, speedup(theirs, ours)))
    return found


def coverage_of_means(seeds: int, correlation: float, rng: np.random.Generator) -> float:
    """Of the first method's geometric mean over TASKS tasks; `correlation` of a seed's ln factors between tasks."""
    held = 0
    for _ in range(STUDIES * 5):
        truths = rng.normal(0.1, 0.3, TASKS)
        common = rng.normal(0, SPREAD * correlation**0.5, seeds)
        own = rng.normal(0, SPREAD * (1 - correlation) ** 0.5, (TASKS, seeds))
        estimates = []
        for truth, scatter in zip(truths, own, strict=True):
            theirs = [TargetCost(400.0, 400.0, 400.0)] * seeds
            ours = [TargetCost(cost, cost, cost) for cost in 400 / np.exp(truth + common + scatter)]
            estimates.append(estimate_of(MethodComparison([*range(seeds)], ours, theirs, speedup(theirs, ours))))
        mean = average(estimates)
        held += mean.ci_low <= np.exp(truths.mean()) <= mean.ci_high
    return held / (STUDIES * 5)


def coverage_of_correlation(
    seeds: int, width: float, swaps: float, spread: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Coverage, mean true correlation and mean width of the interval. True ln factors are spread evenly over `width` on one
    task, and moved by `swaps` (standard deviation) on the other."""
    held, truths, widths = 0, [], []
    for _ in range(STUDIES):
        first = np.linspace(0, width, METHODS)
        factors = [first, first + rng.normal(0, swaps, METHODS)]
        truth = float(kendalltau(*factors).statistic)
        _, low, high = correlate_ranks(*(comparisons(one, seeds, spread, rng) for one in factors))
        held += low <= truth <= high
        truths.append(truth)
        widths.append(high - low)
    return held / STUDIES, float(np.mean(truths)), float(np.mean(widths))


def published_correlations(one: str, other: str) -> dict[str, float]:
    """By method, the correlation over seeds of its ln factors on two published tasks."""
    tables = [read_run_table(find_tables(name)) for name in (one, other)]
    found = {}
    for method in sorted({*tables[0].methods} & {*tables[1].methods} - {tables[0].rules.baseline}):
        compared = [table.compare(method, table.rules.unit) for table in tables]
        if all(comparison.speedup and comparison.seeds == compared[0].seeds for comparison in compared):
            logs = [log_factors(comparison)[0] for comparison in compared]
            found[method] = float(np.corrcoef(logs)[0, 1])
    return found


def main() -> None:
    correlations = published_correlations("digits", "digits-late")
    print({method: round(value, 2) for method, value in correlations.items()}, f"mean {np.mean([*correlations.values()]):.2f}")
    rng = np.random.default_rng(0)
    print("geometric mean over 3 tasks: seeds | correlation of a seed between tasks | coverage")
    for correlation in (0.0, 0.1, 0.3, 1.0):
        for seeds in (3, 5, 10):
            print(f"{seeds:3} | {correlation:.1f} | {coverage_of_means(seeds, correlation, rng):.3f}", flush=True)
    print("rank correlation of 8 methods: factors over | scatter | seeds | mean true correlation | coverage | mean width")
    for width, spread in ((0.6, SPREAD), (0.2, 0.1)):
        for swaps in (0.0, width / 6, 5 / 3 * width):
            for seeds in (3, 5, 10):
                held, truth, found = coverage_of_correlation(seeds, width, swaps, spread, rng)
                print(f"{width} | {spread} | {seeds:3} | {truth:.2f} | {held:.3f} | {found:.2f}", flush=True)


if __name__ == "__main__":
    main()
