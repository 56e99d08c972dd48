"""Flow matching: the velocity against closed forms on normally distributed data, its samplers against scipy's solver."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from fidrace.errors import InputError
from fidrace.method.base import NoiseSchedule
from fidrace.method.noise_schedule import noise_schedule
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.diffusion import Diffusion
from fidrace.train.sampler import integrate
from tests.conftest import TINY, Fidrace, Refused

T, MEAN, STD = 1000, 0.3, 0.5
ABAR = noise_schedule("flow", T)
S = (np.arange(T) + 0.5) / T
FLOW = {"diffusion.schedule": "flow", "diffusion.prediction": "flow", "sampler.kind": "euler"}


def velocity(x: Tensor, s: Tensor | float) -> Tensor:
    """E[eps - x0 | x] of x = (1 - s) x0 + s eps, x0 ~ N(MEAN, STD^2)."""
    away, variance = x - (1 - s) * MEAN, (1 - s) ** 2 * STD**2 + s**2
    return s / variance * away - (MEAN + (1 - s) * STD**2 / variance * away)


def ideal(x: Tensor, scaled: Tensor, labels: Tensor | None = None) -> Tensor:
    """The same as a network that is told the time as fidrace tells it."""
    return velocity(x, ((scaled * T / 1000 + 0.5) / T)[:, None, None, None])


def test_signal_and_noise_are_those_of_the_linear_path() -> None:
    np.testing.assert_allclose(ABAR / (1 - ABAR), ((1 - S) / S) ** 2, rtol=1e-9)  # 1 - abar loses digits where abar is near 1
    x0, eps = torch.full((T, 1, 1, 1), 0.7), torch.full((T, 1, 1, 1), -1.3)
    found = Diffusion(ABAR, "flow").add_noise(x0, eps, torch.arange(T)).flatten().double().numpy()
    np.testing.assert_allclose(found, (1 - S) * 0.7 - S * 1.3, atol=1e-6)


@pytest.mark.parametrize("t", [20, 500, 980])
def test_the_ideal_velocity_has_the_loss_that_its_conditional_variance_says(t: int) -> None:
    generator = torch.Generator().manual_seed(t)
    x0, eps = (torch.randn(400, 1, 16, 16, generator=generator, dtype=torch.float32) for _ in range(2))
    loss = Diffusion(ABAR, "flow").eps_mse(ideal, MEAN + STD * x0, eps, torch.full((400,), t)).mean().item()
    a, s = 1 - S[t], S[t]
    variance = 1 + STD**2 - (s - a * STD**2) ** 2 / (a**2 * STD**2 + s**2)
    assert loss / a**2 == pytest.approx(variance, rel=0.02)


def test_a_method_without_a_weight_trains_the_velocity_with_unit_weight_and_one_with_a_weight_the_eps_mse() -> None:
    """By the gradients of one scale in front of a wrong velocity."""
    schedule = NoiseSchedule(ABAR, "flow")
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(64, 1, 4, 4, generator=generator) for _ in range(2))
    t = torch.randint(0, T, (64,), generator=generator)
    s = torch.from_numpy(S)[t][:, None, None, None].float()
    x_t = (1 - s) * x0 + s * eps
    for name, of_velocity in (("baseline", torch.ones(64)), ("min-snr", None), ("logit-normal", torch.ones(64))):
        method = Registry().compose(name)
        method.prepare(schedule)
        w = method.loss_weight(0)
        assert w is not None
        if of_velocity is None:  # min(S, 5) / S on the eps-MSE, whose error is 1 - s times that of the velocity
            snr = ((1 - s) / s) ** 2
            of_velocity = (torch.clamp(5 / snr, max=1) * (1 - s) ** 2).flatten()
        near_noise = t > T - 40  # where logit-normal's own weight is floored
        scale = torch.ones(1, requires_grad=True)
        network = lambda x, now, labels=None, scale=scale: scale * torch.sin(3 * x)  # noqa: E731
        loss = Diffusion(ABAR, "flow").eps_mse(network, x0, eps, t) * torch.from_numpy(w[t.numpy()]).float()
        plain = of_velocity * (scale * torch.sin(3 * x_t) - (eps - x0)).square().flatten(1).mean(1)
        keep = ~near_noise if name == "logit-normal" else torch.ones(64, dtype=torch.bool)
        found, expected = (torch.autograd.grad(part[keep].mean(), scale)[0].item() for part in (loss, plain))
        assert found == pytest.approx(expected, rel=1e-4), name


@pytest.mark.parametrize(("heun", "order"), [(False, 1), (True, 2)])
def test_samplers_converge_to_scipys_solution_with_their_order(heun: bool, order: int) -> None:
    x = torch.linspace(-2.5, 2.5, 6, dtype=torch.float64).reshape(6, 1, 1, 1)
    solved = solve_ivp(
        lambda s, x: velocity(torch.from_numpy(x), s).numpy(), (1, 0), x.flatten().numpy(), rtol=1e-10, atol=1e-12
    )
    errors = []
    for steps in (20, 40):
        with_double: Callable[..., Tensor] = lambda x, scaled, labels=None: ideal(x, scaled.double())  # noqa: E731
        diffusion = Diffusion(ABAR, "flow")
        diffusion.split_output = lambda output: (output, None)  # type: ignore[method-assign]  # kept in float64
        errors.append(np.abs(integrate(with_double, diffusion, x, steps, heun=heun).flatten().numpy() - solved.y[:, -1]).max())
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.2)
    assert errors[1] < (0.06 if order == 1 else 1e-3)


def test_the_image_of_the_flow_of_normal_data_is_its_data() -> None:
    """In closed form too: x(0) = MEAN + STD x(1)."""
    x = torch.linspace(-2, 2, 5).reshape(5, 1, 1, 1)
    torch.testing.assert_close(integrate(ideal, Diffusion(ABAR, "flow"), x, 100, heun=True), MEAN + STD * x, atol=2e-4, rtol=0)


@pytest.mark.parametrize("kind", ["euler", "heun"])
def test_a_flow_is_raced(fidrace: Fidrace, tmp_path: Path, kind: str) -> None:
    words = [word for key, value in (FLOW | {"sampler.kind": kind}).items() for word in ("--set", f"{key}={value}")]
    fidrace(
        "run", "digits", *TINY, *words, "-m", "min-snr", "-m", "logit-normal", "--seeds", "1", "--out", "s", "--target", "50"
    )
    evals = pd.read_csv(tmp_path / "s" / "evals.csv")
    assert np.isfinite(evals[["fd", "val_loss"]]).all(axis=None)
    assert evals.groupby("method")["val_loss"].last().nunique() == 3


def test_heun_costs_two_forward_passes_a_step() -> None:
    euler, heun = (load_task("digits", FLOW | {"sampler.kind": kind}) for kind in ("euler", "heun"))
    assert heun.sampling_forwards() == 2 * euler.sampling_forwards()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"diffusion.schedule": "flow"}, "say flow in both or in neither"),
        ({"diffusion.prediction": "flow"}, "say flow in both or in neither"),
        (FLOW | {"sampler.kind": "ddim"}, "sampler.kind is euler or heun"),
        ({"sampler.kind": "heun"}, "sampler.kind is ddim or ancestral"),
        (FLOW | {"diffusion.learned_sigma": True}, "a flow has none"),
    ],
)
def test_what_does_not_belong_to_a_flow_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_task("digits", changes)


def test_an_analysis_by_ddim_refuses_a_flow(refused: Refused) -> None:
    words = [word for key, value in FLOW.items() for word in ("--set", f"{key}={value}")]
    assert "choose another task" in refused("analyze", "consistency", *words, "--seeds", "2", "--out", "c")
