"""What a step of each method costs on digits, against the baseline's: python tests/slow/step_time.py [BLOCKS] [METHOD...]

`FLOPs` and `ratio` are relative to the baseline's, `ratio` of the time of whole steps that alternate with the baseline's in one
process, as medians, taken twice; `hooks` is the time spent in the method itself per step (drawing, weighting, observing), and
its share of a baseline step. Wants a quiet machine; the last table is in docs/methods.md.
"""

import sys
from time import perf_counter

import numpy as np
import torch

from fidrace.data.loading import load_data
from fidrace.execute.method_trial import step_ratio
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.flops import step_flops
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

REGISTRY = Registry()
VARIANTS = ("speed[variant=code]", "clts+mdlrc", "clts+stratified")


def hooks(training: Training, steps: int = 500) -> float:
    """Median seconds per iteration in the hooks of a method, with losses of 1."""
    method, batch = training.method, training.task.optimizer.batch
    rng, loss, times = np.random.default_rng(0), np.ones(batch), []
    for n in range(steps):
        u = rng.random(batch)
        start = perf_counter()
        t = method.timesteps(u, n)
        method.loss_weight(n)
        method.optimizer(n)
        method.observe(t, loss)
        times.append(perf_counter() - start)
    return float(np.median(times[steps // 2 :]))


def main(blocks: int, *names: str) -> None:
    task = load_task("digits")
    data = load_data(task.data)
    torch.set_num_threads(task.budget.threads)

    def training(name: str) -> Training:
        return Training(task, REGISTRY.compose(name), 0, data, ProcessGroup(torch.device("cpu")))

    baseline = training("baseline")
    baseline.advance(20)
    step = []
    for _ in range(50):
        start = perf_counter()
        baseline.advance(1)
        step.append(perf_counter() - start)
    pace = float(np.median(step))
    print(f"a step of the baseline: {1000 * pace:.1f} ms\n")
    print("| method | FLOPs | ratio | ratio again | hooks, µs | share of a step |")
    print("|---|---|---|---|---|---|")
    for name in names or (*REGISTRY.methods, *VARIANTS):
        ratios = " | ".join(f"{step_ratio(name, REGISTRY, blocks):.3f}" for _ in range(2))
        trained = training(name)
        flops, cost = step_flops(task, trained.method) / step_flops(task, baseline.method), hooks(trained)
        print(f"| {name} | {flops:.3f} | {ratios} | {1e6 * cost:.0f} | {cost / pace:.2%} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15, *sys.argv[2:])
