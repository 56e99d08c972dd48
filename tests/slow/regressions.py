"""How often an absolute check of the gate errs: the table of docs/ci.md, from simulated runs of a method now and before.

python -m tests.slow.regressions [STUDIES] [PROCESSES]     prints it as Markdown (2,000 studies a line: half an hour on a core)
"""

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from fidrace.method.base import Floats
from fidrace.report.markdown import markdown_table
from fidrace.score.estimates import FAILS, HOLDS
from tests.regression_simulation import outcomes, settings
from tests.simulation import World
from tests.slow.coverage import percent

PACES = (1.0, 0.9, 0.8)
SHARES = (0.0, 0.05, 0.1)  # that may be lost
SEEDS = (3, 5)
HEADINGS = [
    *("family", "seeds share", "seeds", "unchanged: alarms", "10 % slower: missed", "20 % slower: missed"),
    "20 % slower: called fine",
]
SHARED = {0.8: "much", 0.95: "nearly all"}


def row(task: tuple[World, bool, int]) -> list[str]:
    """A line of the table; each cell has a number for each of SHARES."""
    world, paired, studies = task
    unchanged, slower, slowest = (outcomes(world, paired, pace, SHARES, studies) for pace in PACES)
    cells = [shares(unchanged, FAILS), 1 - shares(slower, FAILS), 1 - shares(slowest, FAILS), shares(slowest, HOLDS)]
    kind = [world.family, SHARED[world.correlation] if paired else "nothing", str(world.seeds)]
    return [*kind, *(" · ".join(map(percent, cell)) for cell in cells)]


def shares(found: dict[float, Counter[str]], outcome: str) -> Floats:
    """Which share of the checks had this outcome, for each of SHARES."""
    return np.array([found[allowed][outcome] / found[allowed].total() for allowed in SHARES])


def main(studies: int, processes: int) -> None:
    allowed = " · ".join(f"{100 * share:g} %" for share in SHARES)
    print(f"{studies} studies a line; in percent, with --max-regression {allowed}.\n")
    with ProcessPoolExecutor(processes) as pool:
        print(markdown_table(HEADINGS, [*pool.map(row, [(*one, studies) for one in settings(SEEDS)])]))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=2000)
    arguments.add_argument("processes", nargs="?", type=int, default=1)
    main(**vars(arguments.parse_args()))
