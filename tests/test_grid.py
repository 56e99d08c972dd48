"""Noise schedules and the eps-MSE against diffusers' schedulers and closed forms."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddpm import betas_for_alpha_bar
from torch import Tensor, nn

from fidrace.errors import InputError
from fidrace.method.noise_schedule import cosine_abar, linear_abar, parse_noise_schedule
from fidrace.train.diffusion import Diffusion


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_equal_diffusers_at_1000_steps(name: str, theirs: str) -> None:
    expected = DDPMScheduler(num_train_timesteps=1000, beta_schedule=theirs).alphas_cumprod.double().numpy()
    np.testing.assert_allclose(parse_noise_schedule(f"{name}-1000"), expected, rtol=2e-4, atol=1e-9)  # theirs is float32


def betas(abar: np.ndarray) -> np.ndarray:
    return 1 - abar / np.append(1.0, abar[:-1])


@pytest.mark.parametrize("T", [1000, 4000])
def test_cosine_betas_equal_those_of_diffusers(T: int) -> None:
    expected = betas_for_alpha_bar(T).double().numpy()
    np.testing.assert_allclose(betas(cosine_abar(T)), expected, rtol=1e-6)  # theirs are computed in double, kept in float32


@pytest.mark.parametrize("T", [1000, 4000])
def test_linear_betas_rise_evenly_from_a_tenth_over_T_to_20_over_T(T: int) -> None:
    expected = [(0.1 + (20 - 0.1) * t / (T - 1)) / T for t in range(T)]
    np.testing.assert_allclose(betas(linear_abar(T)), expected, rtol=1e-10)
    assert np.log(linear_abar(T)[-1]) == pytest.approx(math.fsum(math.log1p(-beta) for beta in expected), rel=1e-12)


@pytest.mark.parametrize(("name", "above_5", "above_1"), [("linear-1000", 0.13, 0.26), ("cosine-4000", 0.26, 0.50)])
def test_share_of_timesteps_above_a_signal_to_noise_ratio(name: str, above_5: float, above_1: float) -> None:
    abar = parse_noise_schedule(name)
    snr = abar / (1 - abar)
    assert (snr > 5).mean() == pytest.approx(above_5, abs=0.005)
    assert (snr > 1).mean() == pytest.approx(above_1, abs=0.005)


def test_linear_schedule_ends_at_the_same_noise_whatever_its_length() -> None:
    assert np.log(linear_abar(4000)[-1]) == pytest.approx(np.log(linear_abar(1000)[-1]), rel=0.01)


@pytest.mark.parametrize("text", ["cosine", "cosine-x", "cosin-1000", "linear-1", "linear-20"])
def test_a_grid_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_noise_schedule(text)


def test_one_predictor_expressed_as_eps_x0_and_v_has_one_eps_mse() -> None:
    abar = cosine_abar(1000)
    generator = torch.Generator().manual_seed(2)
    x0 = torch.rand(32, 1, 8, 8, generator=generator) * 2 - 1
    eps, t = torch.randn(32, 1, 8, 8, generator=generator), torch.randint(5, 990, (32,), generator=generator)
    a = torch.tensor(abar, dtype=torch.float32)[t][:, None, None, None]

    class As(nn.Module):
        def __init__(self, kind: str):
            super().__init__()
            self.kind = kind

        def forward(self, x: Tensor, scaled: Tensor, labels: Tensor | None = None) -> Tensor:
            guess = torch.tanh(x)
            implied = (x - (1 - a).sqrt() * guess) / a.sqrt()
            return {"eps": guess, "x0": implied, "v": a.sqrt() * guess - (1 - a).sqrt() * implied}[self.kind]

    losses = [Diffusion(abar, kind).eps_mse(As(kind), x0, eps, t) for kind in ("eps", "x0", "v")]  # type: ignore[arg-type]
    torch.testing.assert_close(losses[1], losses[0], rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(losses[2], losses[0], rtol=2e-3, atol=1e-5)
