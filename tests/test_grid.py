"""Noise schedules and the diffusion process against diffusers' schedulers and closed forms."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from bench.grid import cosine_abar, linear_abar, named_schedule
from bench.train.diffusion import Diffusion
from bench.train.sampler import ddim, leading_timesteps
from methods.base import InputError


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_equal_diffusers_at_1000_steps(name: str, theirs: str) -> None:
    expected = DDPMScheduler(num_train_timesteps=1000, beta_schedule=theirs).alphas_cumprod.double().numpy()
    np.testing.assert_allclose(named_schedule(f"{name}-1000"), expected, rtol=2e-4, atol=1e-9)  # theirs is float32


@pytest.mark.parametrize(("name", "above_5", "above_1"), [("linear-1000", 0.13, 0.26), ("cosine-4000", 0.26, 0.50)])
def test_share_of_timesteps_above_a_signal_to_noise_ratio(name: str, above_5: float, above_1: float) -> None:
    abar = named_schedule(name)
    snr = abar / (1 - abar)
    assert (snr > 5).mean() == pytest.approx(above_5, abs=0.005)
    assert (snr > 1).mean() == pytest.approx(above_1, abs=0.005)


def test_linear_schedule_ends_at_the_same_noise_whatever_its_length() -> None:
    assert np.log(linear_abar(4000)[-1]) == pytest.approx(np.log(linear_abar(1000)[-1]), rel=0.01)


@pytest.mark.parametrize("text", ["cosine", "cosine-x", "cosin-1000", "linear-1", "linear-20"])
def test_a_grid_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        named_schedule(text)


class Predictor(nn.Module):
    """A fixed nonlinear function of x and t, shaped like a network."""

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(x.roll(1, -1) * (1 + t[:, None, None, None] / 1000)) * 0.8


@pytest.mark.parametrize("steps", [5, 10, 50])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_ddim_equals_diffusers(prediction: str, steps: int) -> None:
    names = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type=names[prediction], clip_sample=True, set_alpha_to_one=True
    )
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == leading_timesteps(1000, steps).tolist()
    latents = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = latents
    for t in scheduler.timesteps:
        x = scheduler.step(Predictor()(x, t.expand(6)), t, x, eta=0.0, use_clipped_model_output=True).prev_sample
    diffusion = Diffusion(cosine_abar(1000), prediction)  # type: ignore[arg-type]
    torch.testing.assert_close(ddim(Predictor(), diffusion, latents, steps, batch=4), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("T", "steps"), [(1000, 7), (4000, 250), (10, 10)])
def test_sampling_timesteps_descend_evenly_to_zero(T: int, steps: int) -> None:
    timesteps = leading_timesteps(T, steps)
    assert len(timesteps) == steps
    assert timesteps[-1] == 0
    assert set(-np.diff(timesteps)) <= {T // steps, T // steps + 1}


def test_ddim_with_the_optimal_predictor_of_a_gaussian_returns_its_variance() -> None:
    """For x0 ~ N(0, s^2) the best eps_hat is sqrt(1 - abar) x_t / (abar s^2 + 1 - abar), and the flow keeps Gaussians."""
    s, abar = 0.2, cosine_abar(1000)

    class Optimal(nn.Module):
        def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
            a = torch.tensor(abar, dtype=torch.float32)[t.round().long()][:, None, None, None]
            return (1 - a).sqrt() * x / (a * s**2 + 1 - a)

    latents = torch.randn(2000, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    samples = ddim(Optimal(), Diffusion(abar, "eps"), latents, steps=250)
    assert float(samples.std()) == pytest.approx(s, rel=0.03)


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
