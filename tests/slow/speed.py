"""Images a second of training, setting by setting, against the first: what each is worth on this machine's device.

    python -m tests.slow.speed TASK BATCH [ROUNDS]      its last figures are in docs/speed.md

The settings take turns, a step each, so that a noisy machine is noisy for all of them; medians over the rounds.
"""

import sys
from time import perf_counter

import numpy as np
import torch

from fidrace.execute.estimate import random_training
from fidrace.execute.local import devices
from fidrace.execute.provenance import device_name
from fidrace.spec.task import load_task
from fidrace.train.process_group import ProcessGroup

SETTINGS = {
    "fp32": {"precision": "fp32"},
    "fp32, channels_last": {"precision": "fp32", "channels_last": True},
    "fp32, AdamW not fused, average not foreach": {"precision": "fp32", "fused": False, "foreach": False},
    "fp32, checkpointing": {"precision": "fp32", "checkpointing": True},
    "bf16": {"precision": "bf16"},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
}
ON_CUDA = {
    "tf32": {"precision": "tf32"},
    "bf16, channels_last, compile": {"precision": "bf16", "channels_last": True, "compile": True},
}
STEADY = {"resident": None, "microbatch": None, "channels_last": False, "compile": False, "checkpointing": False}


def main(name: str, batch: int, rounds: int) -> None:
    ranks = ProcessGroup(torch.device(devices("auto")[0]))
    cuda = ranks.device.type == "cuda"
    settings = SETTINGS | (ON_CUDA if cuda else {})
    runs = {}
    for label, speed in settings.items():
        task = load_task(name, {f"speed.{key}": value for key, value in {**STEADY, **speed}.items()})
        torch.set_num_threads(task.budget.threads if cuda else torch.get_num_threads())
        runs[label] = random_training(task, batch, ranks)
        runs[label].advance(2)
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(rounds):
        for label, run in runs.items():
            start = perf_counter()
            run.advance(1)
            seconds[label].append(perf_counter() - start)
    print(f"{name}, {batch} images a step, {device_name(ranks)}, torch {torch.__version__}, {rounds} rounds")
    first = np.array(seconds[next(iter(seconds))])
    print("| setting | images/s | against the first |")
    print("|---|---|---|")
    for label, measured in seconds.items():
        print(f"| {label} | {batch / np.median(measured):.3g} | {np.median(first / np.array(measured)):.2f} |")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 7)
