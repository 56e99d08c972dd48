"""Whether the intervals hold what they promise: the tables of docs/statistics.md, from simulated studies of known speedup.

python -m tests.slow.coverage [STUDIES] [PROCESSES]     prints them as Markdown (4,000 studies a cell: minutes)
"""

import argparse
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from fidrace.report.markdown import markdown_table
from tests.simulation import (
    FAMILIES,
    Outcome,
    World,
    first_touch,
    log_rank,
    noise_twice,
    outcome,
    restricted,
    scarce,
    to_baseline_final,
    worlds,
)

FACTORS = (1.0, 1.5, 1 / 1.5)
SEEDS = (3, 5, 10, 20)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def cell(task: tuple[World, int]) -> list[Outcome]:
    world, studies = task
    return [outcome(replace(world, factor=factor), studies) for factor in FACTORS]


def row(world: World, found: list[Outcome]) -> list[str]:
    equal, faster, slower = found
    held = [percent(one.coverage) for one in (equal, faster, slower)]
    kind = [world.family, f"{world.correlation:g}", percent(equal.censored), str(world.seeds)]
    return [*kind, *held, percent(equal.faster), percent(faster.faster)]


ALTERNATIVES = ("the protocol", "noise added twice", "log-rank", "first touch", "restricted")


def alternative(task: tuple[str, World, int]) -> Outcome:
    name, world, studies = task
    if name == "first touch":
        return outcome(world, studies, cost=first_touch)
    rules = {"noise added twice": noise_twice(world), "log-rank": log_rank, "restricted": restricted}
    return outcome(world, studies, rules[name]) if name in rules else outcome(world, studies)


def compared(pool: ProcessPoolExecutor, studies: int) -> Iterable[list[str]]:
    for family, correlation in ((family, rho) for family in FAMILIES[:2] for rho in (0.0, 0.8)):
        plain = World(family, 10, correlation=correlation)
        told = (plain, scarce(plain), replace(plain, dips=0.1), replace(plain, factor=1.1))
        for name in ALTERNATIVES:
            found = list(pool.map(alternative, [(name, world, studies) for world in told]))
            held = "" if name == "log-rank" else percent(found[0].coverage)
            yield [family, f"{correlation:g}", name, held, *(percent(one.faster) for one in found)]


def at_final(task: tuple[World, int]) -> list[str]:
    """Equal methods and one 1.5 times as fast, raced to what each seed's baseline ends at; equal ones restricted, too."""
    world, studies = task
    equal, faster = (outcome(replace(world, factor=factor), studies, cost=to_baseline_final) for factor in (1.0, 1.5))
    before = outcome(world, studies, restricted, cost=to_baseline_final)
    shares = (equal.faster, faster.coverage, faster.faster, before.faster)
    return [world.family, f"{world.correlation:g}", str(world.seeds), *map(percent, shares)]


def main(studies: int, processes: int) -> None:
    print(f"{studies} studies a cell.\n")
    headings = ["family", "correlation", "% censored", "seeds", "1×", "1.5×", "0.67×", "false alarms", "power at 1.5×"]
    with ProcessPoolExecutor(processes) as pool:
        every = worlds(SEEDS)
        print(
            markdown_table(
                headings, [row(*pair) for pair in zip(every, pool.map(cell, [(w, studies) for w in every]), strict=True)]
            )
        )
        headings = ["family", "correlation", "rule", "coverage", "false alarms", "… censored", "… lucky dips", "power at 1.1×"]
        print(f"\n{markdown_table(headings, list(compared(pool, studies)))}")
        headings = [*"family,correlation,seeds,false alarms,coverage at 1.5×,power at 1.5×,restricted: false alarms".split(",")]
        plain = [replace(w, budget=500.0 if w.family == "digits" else 300.0, crossing=300.0) for w in every[::2]]
        print(f"\n{markdown_table(headings, list(pool.map(at_final, [(world, studies) for world in plain])))}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=4000)
    arguments.add_argument("processes", nargs="?", type=int, default=1)
    main(**vars(arguments.parse_args()))
