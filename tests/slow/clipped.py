"""How often a clipping norm binds on digits: the table of docs/robustness.md.

python -m tests.slow.clipped [ITERATIONS]     the baseline, seed 0, at every setting without clipping (half a minute)
"""

import sys
from itertools import product
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from fidrace.data.loading import load_data
from fidrace.method.base import Floats
from fidrace.method.registry import Registry
from fidrace.report.markdown import markdown_table
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

NORMS = (1, 0.5, 0.3, 0.2)


def gradient_norms(schedule: str, batch: int, lr: float, iterations: int) -> Floats:
    """The norm at every step, without clipping."""
    changes = {"optimizer.clip": 1e9, "optimizer.lr": lr, "optimizer.batch": batch, "diffusion.schedule": schedule}
    task = load_task("digits", changes | {"budget.iterations": iterations, "budget.evaluations": 5})
    clip, norms = nn.utils.clip_grad_norm_, []
    with patch.object(nn.utils, "clip_grad_norm_", lambda *words: norms.append(float(clip(*words)))):
        Training(task, Registry(()).compose("baseline"), 0, load_data(task.data), ProcessGroup(torch.device("cpu"))).advance(
            iterations
        )
    return np.array(norms)


if __name__ == "__main__":
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 165
    heads, rows = ["schedule", "batch", "lr", *(f"> {norm:g}" for norm in NORMS), "median by fifth"], []
    for schedule, batch, lr in product(("linear", "cosine"), (64, 32), (3e-3, 1.5e-3)):
        norms = gradient_norms(schedule, batch, lr, count)
        shares = [f"{100 * (norms > norm).mean():.0f} %" for norm in NORMS]
        medians = " ".join(f"{np.median(part):.2f}" for part in np.array_split(norms, 5))
        rows.append([schedule, str(batch), f"{lr:g}", *shares, medians])
    print(markdown_table(heads, rows))
