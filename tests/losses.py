"""The losses that methods observe in the first steps on digits, by one process or by several of torchrun's; and the graphs that
each compiles.

python -m tests.losses FOLDER      one file per case, and one of graphs per process
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

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
    "paired": ("immiscible+contrastive-fm[lam=0.3]+dispersive+switch-ema[every=5]", {}),
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


@contextmanager
def recorded_graphs(shape: tuple[int, ...]) -> Iterator[list[list[int | torch.SymInt]]]:
    """Of every graph that is compiled, the numbers of images of `shape` that it takes."""
    counts: list[list[int | torch.SymInt]] = []

    def record(graph: torch.fx.GraphModule, inputs: list[object]) -> Callable[..., object]:
        counts.append([one.shape[0] for one in inputs if isinstance(one, torch.Tensor) and one.shape[1:] == shape])
        return graph.forward

    torch._dynamo.reset()
    with patch.object(torch, "compile", partial(torch.compile, backend=record)):
        yield counts


def compiled(ranks: ProcessGroup) -> list[list[int | torch.SymInt]]:
    """The graphs of a run in which evaluations, with an odd last chunk, come before and between steps."""
    task = load_task("digits", {"speed.compile": True, "sampler.batch": 10})
    with recorded_graphs((1, 8, 8)) as counts:
        training = Training(task, Registry().compose("min-snr"), 0, load_data(task.data), ranks)
        for images in (10, 7, 9):
            training.predict(torch.zeros(images, 1, 8, 8), torch.zeros(images, dtype=torch.int64))
            training.advance(2)
    return counts


if __name__ == "__main__":
    torch.set_num_threads(1)
    ranks = join_group(["cpu"]) if "RANK" in os.environ else ProcessGroup(torch.device("cpu"))
    for case in CASES:
        found = observed(case, ranks)
        if ranks.is_first:
            np.save(Path(sys.argv[1], f"{case}.npy"), found)
    Path(sys.argv[1], f"graphs-{ranks.rank}.json").write_text(json.dumps(compiled(ranks)))
    leave_group()
