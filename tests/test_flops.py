"""The FLOPs of a training step, against products counted by hand, and what a study says of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from fidrace.method.registry import load_method
from fidrace.spec.task import Task, load_task
from fidrace.train.architectures import build_network
from fidrace.train.flops import step_flops
from fidrace.train.optimizers import roles_of
from tests.conftest import TINY, Fidrace

TASK = load_task("digits", {"network.attention_resolutions": (), "optimizer.batch": 6})
OPTIMIZER = """
from fidrace.method import Method
import torch

class Reads(torch.optim.SGD):
    def step(self, closure=None):
        assert float(self.param_groups[0]["params"][0].grad.norm()) >= 0
        return super().step(closure)

class Reading(Method, name="reading", source="a test", evidence="inferred"):
    '''An optimizer that reads a number.'''

    def build_optimizer(self, groups, lr, betas, weight_decay):
        return Reads([p for group in groups.values() for p in group], lr=lr)
"""


def flops(name: str, task: Task = TASK) -> float:
    method = load_method(name)
    method.prepare(task.noise_schedule())
    return step_flops(task, method)


def network() -> nn.Module:
    return build_network(TASK.network, TASK.data.shape, 0)


def test_a_step_of_the_baseline_is_the_products_of_its_layers() -> None:
    """Forward, gradient of the weights, and gradient of the input where anything before it is trained; 2 each per product."""
    counted = 0

    def count(module: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        counted += 2 * output.numel() * module.weight[0].numel() * (3 if inputs[0].requires_grad else 2)

    built = network()
    for module in built.modules():
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear):
            module.register_forward_hook(count)
    built(torch.zeros(6, *TASK.data.shape), torch.zeros(6), None)
    attention = 3 * 2 * (2 * 6 * 16**2 * 16)  # two products of 16 places and 16 channels, in the middle
    assert flops("baseline") == counted + attention


def test_an_optimizer_s_products_and_a_loss_on_activations_come_on_top() -> None:
    """Muon: five of X X^T, its square, and that times X, for each matrix [m, n], m <= n. Dispersive: z z^T and its gradient
    with respect to both."""
    plain = flops("baseline")
    built = network()
    sizes = [sorted((len(matrix), matrix[0].numel())) for matrix in roles_of(built)["matrices"]]
    muon = sum(5 * (4 * m * m * n + 2 * m**3) for m, n in sizes)
    assert len(sizes) > 10
    assert flops("muon") == plain + muon
    middle: list[torch.Size] = []
    next(module for name, module in built.named_modules() if name.endswith("middle")).register_forward_hook(
        lambda module, inputs, output: middle.append(output.shape)
    )
    built(torch.zeros(6, *TASK.data.shape), torch.zeros(6), None)
    assert flops("dispersive") == plain + 3 * 2 * 6**2 * int(np.prod(middle[0][1:]))


def test_runs_say_what_they_cost_and_what_cannot_be_counted_is_empty(fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "reading.py").write_text(OPTIMIZER)
    words = ["-m", "stable-target[n=20]", "-m", "reading", "--methods-path", "mine", "--seeds", "1", "--out", "s"]
    said = fidrace("run", *TINY, *words).stderr
    assert "FLOPs not counted" in said
    runs = pd.read_csv(tmp_path / "s" / "runs.csv").set_index("method")
    task = load_task("digits", {"optimizer.batch": 16})
    assert (runs["backwards"] == runs["iterations"]).all()
    assert runs.loc["baseline", "flops"] == runs.loc["baseline", "iterations"] * flops("baseline", task)
    assert np.isnan(runs.loc["reading", "flops"])
    assert runs.loc["baseline", "images"] == 16 * runs.loc["baseline", "iterations"]
    assert runs.loc["stable-target[n=20]", "images"] == 20 * runs.loc["baseline", "iterations"]
