"""What racing until it is decided costs and shows: the tables of docs/statistics.md, from simulated races of known speedup.

python -m tests.slow.sequential [STUDIES] [PROCESSES]     prints them as Markdown (2,000 studies a cell: five minutes)
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from fidrace.report.markdown import markdown_table
from fidrace.score.sequential import resolve
from fidrace.spec.looks import Looks
from tests.sequential_simulation import mean_seeds, races, share
from tests.simulation import FAMILIES, World

FACTORS = (1.0, 1.1, 1.2, 1.3, 1.5, 2.0)
DESIGN = resolve(Looks())
HEADINGS = ["family", "correlation", "factor", "faster", "slower", "decided", "mean seeds", "held at all looks", "peeked"]


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def row(task: tuple[World, int]) -> list[str]:
    """One world: shares of its races, in %, and the mean number of seeds that they took."""
    world, studies = task
    found = list(races(world, studies, DESIGN))
    shares = [percent(share(found, name)) for name in ("faster", "slower", "decided")]
    told = [world.family, f"{world.correlation:g}", f"{world.factor:g}", *shares, f"{mean_seeds(found):.1f}"]
    return [*told, percent(share(found, "held")), percent(share(found, "peeked"))]


def worlds() -> list[World]:
    """Every family, uncorrelated pairs and correlated ones, and every factor."""
    plain = [
        World(family, DESIGN.last, correlation=rho, budget=500.0 if family == "digits" else 700.0)
        for family in FAMILIES
        for rho in (0.0, 0.8)
    ]
    return [replace(world, factor=factor) for world in plain for factor in FACTORS]


def main(studies: int, processes: int) -> None:
    print(f"{studies} studies a cell; {DESIGN.describe()}.\n")
    with ProcessPoolExecutor(processes) as pool:
        print(markdown_table(HEADINGS, list(pool.map(row, [(world, studies) for world in worlds()]))))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=2000)
    arguments.add_argument("processes", nargs="?", type=int, default=1)
    main(**vars(arguments.parse_args()))
