"""What a window of targets does to intervals: the tables of docs/statistics.md, from simulated studies and published runs.

python -m tests.slow.windows [STUDIES] [PROCESSES] [--results DIR]     prints them as Markdown (4,000 studies a cell: minutes)
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fidrace.method.base import Floats
from fidrace.report.markdown import markdown_table
from fidrace.score.comparison import RunTable
from fidrace.score.costs import log_costs
from fidrace.score.leaderboard import read_run_table
from fidrace.score.rules import Question
from tests.simulation import Outcome, World, each, outcome, over_window, worlds

RATIOS = (1.0, 1.2, 1.35, 1.5)
SEEDS = (3, 5, 10)
CHOSEN = 1.35
FACTORS = (1.0, 1.25, 1.5)
RESULTS = Path(__file__).parents[2] / "results"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


@dataclass(frozen=True)
class Moments:
    """Of ln factors of single pairs: the standard deviation, and the mean over the true value."""

    scatter: float
    bias: float


def moments(world: World, studies: int, ratio: float) -> Moments:
    """Over all pairs of which both runs arrive."""
    n, fd = world.studies(studies, 0)
    cost = over_window(ratio) if ratio > 1 else each
    found: list[Floats] = []
    for s in range(studies):
        baseline, method = cost(n, fd[:, s], world)
        known = [k for k in range(world.seeds) if not (baseline[k].censored or method[k].censored)]
        found.append((log_costs(baseline) - log_costs(method))[known])
    d = np.concatenate(found)
    return Moments(float(d.std()), float(d.mean() - np.log(world.factor)))


def scatter_row(task: tuple[World, int]) -> list[str]:
    world, studies = task
    found = [moments(world, studies, ratio) for ratio in RATIOS]
    cells = [f"{one.scatter / found[0].scatter:.2f} ({100 * (one.bias - found[0].bias):+.1f} %)" for one in found[1:]]
    return [world.family, f"{world.correlation:g}", f"{world.factor:g}×", f"{found[0].scatter:.3f}", *cells]


def interval_row(task: tuple[World, int]) -> list[str]:
    """Coverage, false alarms and power with the chosen window, and power at the target alone."""
    world, studies = task
    window = over_window(CHOSEN)
    equal, some, faster = (outcome(replace(world, factor=factor), studies, cost=window) for factor in FACTORS)
    alone = outcome(replace(world, factor=FACTORS[1]), studies)
    kind = [world.family, f"{world.correlation:g}", percent(equal.censored), str(world.seeds)]
    held = [percent(one.coverage) for one in (equal, some, faster)]
    return [*kind, *held, percent(equal.faster), power(some), power(alone)]


def power(found: Outcome) -> str:
    return percent(found.faster)


def pairs_of(table: RunTable, method: str) -> Floats:
    """ln factor of each pair of which both runs arrive."""
    found = table.compare(method, "iterations")
    known = [k for k, pair in enumerate(zip(found.ours, found.theirs, strict=True)) if not any(c.censored for c in pair)]
    return (log_costs(found.theirs) - log_costs(found.ours))[known]


def published_row(folder: Path, ratio: float) -> list[str]:
    """The scatter of published pairs relative to that at the target alone, and how far factors move, over all methods with at
    least four pairs that arrive."""
    alone, windowed = (read_run_table(folder, Question(window=one)) for one in (1.0, ratio))
    ratios, moves = [], []
    for method in alone.methods[1:]:
        before, after = pairs_of(alone, method), pairs_of(windowed, method)
        if len(before) >= 4 and alone.compare(method, "iterations").speedup and np.ptp(before) > 0.02:
            ratios.append(after.std(ddof=1) / before.std(ddof=1))
            moves.append(abs(after.mean() - before.mean()))
    mean, median = np.exp(np.mean(np.log(ratios))), np.median(ratios)
    told = [f"{mean:.2f}", f"{median:.2f}", f"{min(ratios):.2f} – {max(ratios):.2f}"]
    return [folder.name, f"{ratio:g}", str(len(ratios)), *told, percent(float(np.median(moves))), percent(max(moves))]


def main(studies: int, processes: int, results: Path) -> None:
    print(f"{studies} studies a cell.\n")
    every = worlds(SEEDS)
    shapes = [replace(world, factor=factor) for world in worlds((5,))[::2] for factor in (1.0, 1.5)]
    with ProcessPoolExecutor(processes) as pool:
        headings = ["family", "correlation", "factor", "scatter alone", *(f"window {ratio:g}" for ratio in RATIOS[1:])]
        rows = list(pool.map(scatter_row, [(world, max(1, studies // 10)) for world in shapes]))
        print(markdown_table(headings, rows))
        headings = ["published runs", "window", "methods", "scatter, mean", "median", "all", "% moved, median", "most"]
        published = [(results / name, ratio) for name in ("digits-field", "digits", "digits-controls") for ratio in RATIOS[1:]]
        print(f"\n{markdown_table(headings, [published_row(*one) for one in published])}")
        headings = [*"family,correlation,% censored,seeds,1×,1.25×,1.5×,false alarms,power at 1.25×,… alone".split(",")]
        print(f"\n{markdown_table(headings, list(pool.map(interval_row, [(world, studies) for world in every])))}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=4000)
    arguments.add_argument("processes", nargs="?", type=int, default=1)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="the folder of published runs")
    main(**vars(arguments.parse_args()))
