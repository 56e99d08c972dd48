"""The distance extrapolated to infinitely many samples, against Gaussians whose distance is known.

python -m tests.slow.extrapolation [STUDIES]     prints the table of docs/statistics.md (400 studies: four minutes)
"""

import argparse

import numpy as np

from fidrace.report.markdown import markdown_table
from tests.test_extrapolation import World

CASES = [(16, 0.3, 128), (16, 0.1, 128), (64, 0.3, 512), (64, 0.1, 512), (64, 0.1, 2000), (64, 0.1, 8000), (64, 0.03, 8000)]


def main(studies: int) -> None:
    rows = []
    for dimension, gap, samples in CASES:
        world = World(dimension, gap)
        found, error, plain = world.measure(samples, studies).T
        rows.append(
            [
                str(dimension),
                str(samples),
                f"{world.truth:.3g}",
                f"{100 * (plain.mean() / world.truth - 1):+.1f}",
                f"{100 * (found.mean() / world.truth - 1):+.1f}",
                f"{100 * found.std() / world.truth / studies**0.5:.1f}",
                f"{found.std(ddof=1) / plain.std(ddof=1):.2f}",
                f"{found.std(ddof=1) / error.mean():.2f}",
                f"{100 * np.mean(np.abs(found - world.truth) < 1.96 * error):.1f}",
            ]
        )
    headings = ["dimensions", "samples", "distance", "bias %, plain", "bias %, extrapolated", "±"]
    print(markdown_table([*headings, "its scatter / the plain's", "its scatter / its error", "coverage of 95 %"], rows))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=400)
    main(**vars(arguments.parse_args()))
