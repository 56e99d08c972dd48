"""Methods that bring an optimizer: their first steps by formula, which part trains which parameters, and their state."""

import builtins
import math
from pathlib import Path

import numpy as np
import pytest
import pytorch_optimizer
import torch
from torch import Tensor, nn

from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.execute.method_trial import race_briefly
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.optimizers import roles_of
from fidrace.train.process_group import ProcessGroup
from tests.test_formulas import HORIZON, REGISTRY, prepared

pytestmark = pytest.mark.usefixtures("one_thread")
TASK = load_task("digits", {"optimizer.warmup": 0})
LR = TASK.optimizer.lr


def training(name: str, registry: Registry = REGISTRY, task=TASK) -> Training:
    return Training(task, registry.compose(name), 0, load_data(task.data), ProcessGroup(torch.device("cpu")))


def first_step(one: Training) -> list[tuple[str, Tensor, Tensor]]:
    """Role, gradient and change of each parameter in a step in which the whole network has a gradient."""
    torch.manual_seed(0)
    nn.init.normal_(one.network.conv_out.weight, std=0.1)  # it starts at zero, and nothing behind it has a gradient
    roles = {id(parameter): role for role, group in roles_of(one.network).items() for parameter in group}
    before = [(parameter, parameter.detach().clone()) for parameter in one.network.parameters()]
    one.step()
    return [(roles[id(p)], p.grad.double(), p.detach().double() - old.double()) for p, old in before if p.grad is not None]


def test_muon_turns_matrices_orthogonally_and_the_rest_by_adam() -> None:
    for role, gradient, change in first_step(training("muon")):
        if role != "matrices":
            moved = gradient.abs() > 1e-6  # beyond Adam's epsilon its first step is the gradient's sign
            torch.testing.assert_close(change[moved], -LR * gradient[moved].sign(), rtol=0.02, atol=0)
            continue
        matrix, aim = (-change).flatten(1), gradient.flatten(1)
        size = LR * 0.2 * math.sqrt(max(matrix.shape))
        singular = torch.linalg.svdvals(matrix) / size
        u, s, v = torch.linalg.svd(aim, full_matrices=False)
        full = s > 0.05 * s[0]  # five iterations do not bring the least directions up to 1
        assert ((singular[: int(full.sum())] > 0.6) & (singular[: int(full.sum())] < 1.3)).all()
        along = ((u.T @ matrix @ v.T) / size).diagonal()
        assert (along[full] > 0.5).all()


def test_lion_moves_by_the_sign() -> None:
    for _, gradient, change in first_step(training("lion")):
        torch.testing.assert_close(change, -0.1 * LR * gradient.sign(), rtol=1e-3, atol=1e-9)


def test_schedule_free_evaluates_the_mean_of_its_fast_weights() -> None:
    """Equal learning rates weigh all steps equally: x_n is the mean of z_1 to z_n."""
    one = training("schedule-free")
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in one.network.parameters()]
    for _ in range(5):
        one.step()
        for total, parameter in zip(sums, one.network.parameters(), strict=True):
            total += one.optimizer.state[parameter]["z"].double()
    for total, mean, parameter in zip(sums, one.ema.parameters(), one.network.parameters(), strict=True):
        torch.testing.assert_close(mean.double(), total / 5, rtol=0, atol=2e-6)
        beta = TASK.optimizer.beta1
        between = (1 - beta) * one.optimizer.state[parameter]["z"] + beta * mean
        torch.testing.assert_close(parameter.detach(), between, rtol=0, atol=2e-6)


def test_soap_starts_without_a_step_and_then_lowers_the_loss() -> None:
    one = training("soap")
    assert all(not change.any() for _, _, change in first_step(one))
    one.advance(30)
    assert float(torch.stack(one.pending.loss[-3:] or [torch.ones(1)]).mean()) < 1


ALONE = {
    "muon": lambda p: pytorch_optimizer.Muon(
        [{"params": [p], "use_muon": True, "lr": LR}], weight_decay=0, use_adjusted_lr=True
    ),
    "lion": lambda p: pytorch_optimizer.Lion([p], lr=0.1 * LR, betas=(0.9, 0.99), weight_decay=0),
    "soap": lambda p: pytorch_optimizer.SOAP([p], lr=LR, betas=(0.95, 0.95), weight_decay=0, precondition_frequency=10),
    "schedule-free": lambda p: pytorch_optimizer.ScheduleFreeAdamW([p], lr=LR, betas=(0.9, 0.999), weight_decay=0),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_tensor_of_the_network_moves_as_the_package_moves_it_alone(name: str) -> None:
    """By the same gradients, over twelve steps, in which SOAP renews its basis."""
    one = training(name)
    inside = one.network.down[0][0].in_conv.weight
    alone = nn.Parameter(inside.detach().clone())
    optimizer = ALONE[name](alone)

    def take_gradient(*_: object) -> None:
        alone.grad = inside.grad.clone()

    one.optimizer.register_step_pre_hook(take_gradient)  # some change the gradient in their step
    for _ in range(12):
        one.step()
        optimizer.step()
    rounding = 1e-8 if name == "schedule-free" else 0  # its mean is taken after each step, and the weights put back
    torch.testing.assert_close(inside, alone, rtol=0, atol=rounding)
    assert not torch.equal(alone, training(name).network.down[0][0].in_conv.weight)


def test_parameters_are_grouped_by_what_they_do() -> None:
    for task, last, embeddings in (
        (load_task("digits", {"network.classes": 10}), "conv_out.weight", 1),
        (load_task("digits-dit", {"network.classes": 10}), "head.weight", 1),
    ):
        network = training("baseline", task=task).network
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        groups = roles_of(network)
        assert sorted(names[id(p)] for group in groups.values() for p in group) == sorted(names.values())
        assert [names[id(p)] for p in groups["output"]] == [last]
        assert len(groups["embedding"]) == embeddings
        assert all(p.ndim < 2 for p in groups["vectors"])
        assert all(p.ndim >= 2 for p in groups["matrices"])


def test_a_group_keeps_its_ratio_to_the_task_s_learning_rate_through_warm_up_and_schedule() -> None:
    one = training("muon[lr=3.0]+lr-decay", task=load_task("digits", {"optimizer.warmup": 10}))
    for n in (0, 4, 200):
        one.set_optimizer(n)
        expected = LR * min(1, (n + 1) / 10) * (1 - 0.9 * n / TASK.budget.iterations)
        assert [group["lr"] for group in one.optimizer.param_groups] == pytest.approx([3 * expected, expected])


@pytest.mark.parametrize("name", ["muon", "soap", "schedule-free", "lion"])
def test_interrupted_and_resumed_is_uninterrupted(name: str, tmp_path: Path) -> None:
    """Each kind of parameter is there in a network of half the weights too."""
    (tmp_path / "small.toml").write_text('task = "digits"\n[set]\n"network.multipliers" = [1]\n"optimizer.batch" = 8\n')
    assert "held-out loss" in race_briefly(name, [], str(tmp_path / "small.toml"))


def test_learning_rates_follow_their_formulas() -> None:
    tau = np.linspace(0, 1, 11)
    for name, formula in (
        ("cosine[final=0.1]", 0.1 + 0.9 * np.cos(np.pi * tau / 2) ** 2),
        ("wsd[cooldown=0.4]", np.clip((1 - tau) / 0.4, 0, 1)),
        ("inverse-sqrt[ref=10]", 1 / np.sqrt(np.maximum(HORIZON * tau / 10, 1))),
    ):
        found = [prepared(name).optimizer(round(HORIZON * progress))[0] for progress in tau]
        np.testing.assert_allclose(found, formula, rtol=1e-12, err_msg=name)


def test_what_cannot_be_used_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"mdlrc sets Adam's beta1, and muon is another optimizer than Adam"):
        training("muon+mdlrc")
    with pytest.raises(InputError, match="both claim the average"):
        REGISTRY.compose("schedule-free+power-ema")
    for line, body in {
        "gives object, which has no param_groups": "return object()",
        r"the optimizer does not train \w+": "import torch; return torch.optim.SGD(groups['vectors'], lr=lr)",
    }.items():
        (tmp_path / "odd.py").write_text(
            "from fidrace.method import Method\n\nclass Odd(Method, name='odd', source='', evidence='inferred'):\n"
            f"    '''Odd.'''\n    def build_optimizer(self, groups, lr, betas, weight_decay):\n        {body}\n"
        )
        folder = tmp_path / str(len(body))
        folder.mkdir()
        (tmp_path / "odd.py").rename(folder / "odd.py")
        with pytest.raises(ValueError, match=line):
            training("odd", Registry([folder]))
    real = builtins.__import__

    def without(name: str, *arguments, **more):
        if name == "pytorch_optimizer":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"'lion': No module named 'pytorch_optimizer'; pip install 'fidrace\[optimizers\]'"):
        training("lion")


@pytest.mark.parametrize("name", ["schedule-free", "lion", "soap"])
def test_what_is_no_adam_takes_no_beta1(name: str) -> None:
    for other in ("demon", "mdlrc"):
        with pytest.raises(InputError, match="another optimizer than Adam: they do not compose"):
            training(f"{name}+{other}")
