"""How much of a core's arithmetic a training step of the digits tasks uses: GFLOP/s of whole steps, beside a matrix product's.

python -m tests.slow.flop_rate [ROUNDS]     prints the table of docs/digits.md; one thread, both in turn, medians (a minute)
"""

import argparse
from statistics import median
from time import perf_counter

import torch

from fidrace.execute.estimate import random_training
from fidrace.method.registry import load_method
from fidrace.report.markdown import markdown_table
from fidrace.spec.task import load_task
from fidrace.train.flops import step_flops
from fidrace.train.process_group import ProcessGroup

SIZE = 1024  # of the square matrices, float32
CASES = [(8, 64), (16, 64), (32, 64), (16, 128)]  # channels and batch


def seconds(work: object, *arguments: object) -> float:
    start = perf_counter()
    work(*arguments)  # type: ignore[operator]
    return perf_counter() - start


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    left, right = torch.randn(2, SIZE, SIZE)
    rows = []
    for channels, batch in CASES:
        task = load_task("digits-late", {"network.channels": channels, "optimizer.batch": batch})
        flops = step_flops(task, load_method("baseline"))
        training = random_training(task, batch, ProcessGroup(torch.device("cpu")))
        training.advance(3)
        times = [(seconds(training.advance, 3) / 3, seconds(torch.mm, left, right)) for _ in range(rounds)]
        step, product = (median(side) for side in zip(*times, strict=True))
        rate, limit = flops / step / 1e9, 2 * SIZE**3 / product / 1e9
        cells = (channels, batch, f"{1e3 * step:.1f}", f"{rate:.1f}", f"{limit:.0f}", f"{100 * rate / limit:.0f} %")
        rows.append([str(cell) for cell in cells])
    print(markdown_table(["channels", "batch", "step, ms", "GFLOP/s", "sgemm", "of it"], rows))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("rounds", nargs="?", type=int, default=40)
    main(**vars(arguments.parse_args()))
