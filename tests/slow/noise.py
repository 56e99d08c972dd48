"""The host's time a step for the noise of a whole batch: as bits, which the device makes normals of, beside numpy's normals.

    python -m tests.slow.noise [ROUNDS]      its last figures are in docs/speed.md

They take turns, one thread each; medians over the rounds. Before version 2 of the streams every rank drew the normals of the
whole batch; now each draws the bits of its own part.
"""

import math
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch

from fidrace.spec.random_streams import Streams
from fidrace.spec.task import load_task
from fidrace.train.noise import to_normals

RANKS = 8


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    streams = Streams(0)
    print(f"numpy {np.__version__}, torch {torch.__version__}, {rounds} rounds, milliseconds")
    print(
        f"| task | normals a step | numpy's normals | bits | bits of one of {RANKS} ranks | bits and their normals on the CPU |"
    )
    print("|---|---|---|---|---|---|")
    for name in ("digits", "cifar10", "imagenet64", "imagenet128"):
        task = load_task(name)
        batch, shape = task.optimizer.batch, task.data.shape
        size = math.prod(shape)

        def draw(count: int = batch, size: int = size) -> torch.Tensor:
            return torch.from_numpy(streams.bits("noise", 0, count, size))

        ways: list[Callable[[], object]] = [
            lambda batch=batch, size=size: streams.at("noise").standard_normal((batch, size), dtype=np.float32),
            draw,
            lambda draw=draw, batch=batch: draw(batch // RANKS),
            lambda draw=draw, shape=shape: to_normals(draw(), shape),
        ]
        seconds: list[list[float]] = [[] for _ in ways]
        for _ in range(rounds):
            for way, measured in zip(ways, seconds, strict=True):
                start = perf_counter()
                way()
                measured.append(perf_counter() - start)
        told = " | ".join(f"{1000 * np.median(measured):.3g}" for measured in seconds)
        print(f"| {name} | {batch * size:,} | {told} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
