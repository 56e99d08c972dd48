"""Whether verdicts survive grids that differ or are coarse: the tables of docs/statistics.md, from simulated studies.

python -m tests.slow.grids [STUDIES] [PROCESSES]     prints them as Markdown (300 studies a cell: seven minutes on two cores)
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np

from fidrace.report.markdown import markdown_table
from tests.grid_simulation import FAMILIES, GridWorld, Verdicts, verdicts

BEFORE, RATIOS, POWER_RATIOS = (1, 2, 3, 4, 8), (1, 2, 5, 10), (1, 5)
GROUPS = ((3, 0.0), (5, 0.8), (10, 0.0), (20, 0.8))  # seeds, and the correlation of their paces
SHAPES = (*((family, "") for family in FAMILIES), ("log-linear", "power law"), ("power law", "log-linear"))
FACTORS = (1.5, 2.0, 3.0)


def cells(family: str, other: str, ratio: int, before: int) -> list[GridWorld]:
    """Every number of seeds, and either side the more often evaluated one."""
    sides = ("method", "baseline") if ratio > 1 else ("method",)
    return [GridWorld(family, n, before, 0.5, ratio, side, rho, other=other) for n, rho in GROUPS for side in sides]


def judged(task: tuple[GridWorld, int]) -> Verdicts:
    return verdicts(*task)


def percent(shares: Sequence[float]) -> str:
    return f"{100 * float(np.mean(shares)):.1f}"


def main(studies: int, processes: int) -> None:
    print(f"{studies} studies a cell, {len(GROUPS)} cells a side; means over cells, in %.\n")
    with ProcessPoolExecutor(processes) as pool:
        rows = []
        for family, other in SHAPES:
            for ratio in RATIOS:
                shown, bare = [], []
                for before in BEFORE:
                    found = list(pool.map(judged, [(world, studies) for world in cells(family, other, ratio, before)]))
                    shown.append(f"{percent([one.faster for one in found])} / {percent([one.slower for one in found])}")
                    bare += [max(one.interpolated_faster, one.interpolated_slower) for one in found]
                rows.append([f"{family} / {other or 'the same'}", f"{ratio}×", *shown, percent([max(bare)])])
        headings = ["curves", "finer by", *(f"{before} before" for before in BEFORE), "worst cell without the rule"]
        print(markdown_table(headings, rows))
        rows = []
        for family in FAMILIES:
            for ratio in POWER_RATIOS:
                for factor in FACTORS:
                    row = [family, f"{ratio}×", f"{factor:g}×"]
                    for before in BEFORE:
                        worlds = [replace(world, factor=factor) for world in cells(family, "", ratio, before)]
                        found = list(pool.map(judged, [(world, studies // 2) for world in worlds]))
                        row.append(percent([one.faster for one in found]))
                    rows.append(row)
        print(f"\n{markdown_table(['curves', 'finer by', 'factor', *headings[2:-1]], rows)}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=300)
    arguments.add_argument("processes", nargs="?", type=int, default=2)
    main(**vars(arguments.parse_args()))
