"""What it costs to set the target from the same baseline runs: the table of docs/robustness.md, from studies of known speedup.

python -m tests.slow.own_target [STUDIES]     prints it as Markdown (600 studies a line: a minute)
"""

import sys
from dataclasses import replace

from fidrace.report.markdown import markdown_table
from tests.simulation import FAMILIES, World, outcome
from tests.slow.coverage import percent
from tests.test_robustness import to_own_target

HEADS = [
    *"family|correlation|seeds|coverage at 1×|at 0.8×|at 1.5×".split("|"),
    *"equal called faster|called slower|0.8× called slower".split("|"),
]


def table_row(world: World, studies: int) -> list[str]:
    equal, slow, fast = (
        outcome(replace(world, factor=factor), studies, seed=seed, cost=to_own_target)
        for seed, factor in enumerate((1.0, 0.8, 1.5))
    )
    shares = (equal.coverage, slow.coverage, fast.coverage, equal.faster, equal.slower, slow.slower)
    return [world.family, f"{world.correlation:g}", str(world.seeds), *map(percent, shares)]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    worlds = [
        World(family, seeds, correlation=rho, budget=500.0) for family in FAMILIES for rho in (0.0, 0.8) for seeds in (3, 5, 10)
    ]
    print(markdown_table(HEADS, [table_row(world, count) for world in worlds]))
