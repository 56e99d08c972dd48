"""What stopping at the crossing and searching for it save, and what a search misses: the tables of docs/statistics.md.

python -m tests.slow.search [STUDIES]     prints them as Markdown (100 studies of 10 runs a row: 15 s)
"""

import sys
from collections.abc import Iterator

import numpy as np

from fidrace.method.base import Floats
from fidrace.report.markdown import markdown_table
from tests.search_simulation import (
    PUBLISHED,
    Look,
    bracket,
    bumpy_worlds,
    look,
    published_runs,
    share_of_iterations,
    simulated_runs,
)

STEPS = {1: "every", 2: "every second", 3: "every third", 4: "every fourth", 5: "every fifth"}


def published() -> Iterator[tuple[Floats, Floats, float]]:
    """n[E], fd[E] and the target of each published run."""
    for name in PUBLISHED:
        runs, target = published_runs(name)
        yield from ((run.iteration, run.fd, target) for run in runs)


def same_bracket(n: Floats, fd: Floats, target: float, seen: Look) -> bool:
    return bracket(n[seen.places], fd[seen.places], target) == bracket(n, fd, target)


def published_rows(stop: bool) -> list[list[str]]:
    """One row for each step: the runs with the whole grid's bracket, evaluations a run, and the share of iterations trained."""
    runs, rows = [*published()], []
    for step in STEPS:
        looks = [look(fd, (target, target), step, stop) for _, fd, target in runs]
        same = sum(same_bracket(*run, seen) for run, seen in zip(runs, looks, strict=True))
        measured = np.mean([len(seen.places) for seen in looks])
        trained = share_of_iterations(runs[0][0], looks)
        name = f"{STEPS[step]}{' evaluation' if step == 1 else ', and what the crossing needs'}"
        row = [name, "yes" if stop else "no", f"{same} of {len(runs)}", f"{measured:.1f} of {len(runs[0][0])}"]
        rows.append([*row, f"{100 * trained:.1f} %"])
    return rows


def simulated_rows(studies: int) -> list[list[str]]:
    """One row for each family: by step, evaluations a run and the share of runs whose crossing is missed or seen too late."""
    rows = []
    for name, world in bumpy_worlds():
        n, runs = simulated_runs(world, studies)
        row = [name, str(len(runs)), str(len(n))]
        for step in [*STEPS][1:]:
            looks = [look(fd, (world.target, world.target), step) for fd in runs]
            pairs = zip(runs, looks, strict=True)
            missed = np.mean([not same_bracket(n, fd, world.target, seen) for fd, seen in pairs])
            row.append(f"{np.mean([len(seen.places) for seen in looks]):.1f}, {100 * missed:.1f} %")
        rows.append(row)
    return rows


def main(studies: int) -> None:
    rows = published_rows(stop=False) + published_rows(stop=True)
    print(markdown_table(["measured", "stops", "the grid's own bracket", "evaluations a run", "iterations trained"], rows))
    headings = ["curves", "runs", "evaluations", *(f"{name}: measured, missed" for name in [*STEPS.values()][1:])]
    print(f"\n{markdown_table(headings, simulated_rows(studies))}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
