"""The losses that methods observe in the first steps on digits, by one process or by several of torchrun's.

python -m tests.losses FOLDER      one file per case
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from fidrace.data.loading import load_data
from fidrace.execute.torchrun import join_group, leave_group
from fidrace.method.base import Floats, Ints
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

STEPS = 20
CASES = {  # `uncertainty` adapts its weights to the losses, in the order of the batch
    "plain": ("min-snr+stratified", {}),
    "adaptive": ("uncertainty", {}),
    "in parts": ("uncertainty", {"speed.microbatch": 12}),
}


def observed(case: str, ranks: ProcessGroup) -> Floats:
    """t and loss [2, STEPS, B] in the order in which the method is told of them."""
    method, changes = CASES[case]
    task = load_task("digits", changes)
    composition = Registry().compose(method)
    training = Training(task, composition, 0, load_data(task.data), ranks)
    seen: list[tuple[Ints, Floats]] = []
    observe = composition.observe

    def watch(t: Ints, loss: Floats) -> None:
        seen.append((t, loss))
        observe(t, loss)

    composition.observe = watch  # type: ignore[method-assign]
    training.advance(STEPS)
    return np.array([[t for t, _ in seen], [loss for _, loss in seen]])


if __name__ == "__main__":
    torch.set_num_threads(1)
    ranks = join_group(["cpu"]) if "RANK" in os.environ else ProcessGroup(torch.device("cpu"))
    for case in CASES:
        found = observed(case, ranks)
        if ranks.is_first:
            np.save(Path(sys.argv[1], f"{case}.npy"), found)
    leave_group()
