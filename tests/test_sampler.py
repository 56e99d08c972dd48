"""DDIM and ancestral sampling against diffusers' schedulers step by step, against theory, and their noise against chunks."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from fidrace.method.noise_schedule import cosine_abar, noise_schedule
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import SamplerConfig
from fidrace.train.ancestral import ancestral, linspace_timesteps
from fidrace.train.diffusion import Diffusion
from fidrace.train.sampler import ddim, leading_timesteps, sample

pytestmark = pytest.mark.usefixtures("one_thread")
THEIRS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
GRIDS = [("linear", 1000), ("cosine", 1000), ("linear", 4000), ("cosine", 4000)]


class Toy(nn.Module):
    """A random convolution of x, t and labels, squashed; it keeps what it was asked."""

    def __init__(self, out_channels: int):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(out_channels, 3, 3, 3, generator=generator) / 5
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append((x, t))
        shift = t / 1000 + (0 if labels is None else labels / 10)
        return torch.tanh(nn.functional.conv2d(x, self.weight, padding=1) + shift[:, None, None, None])


class Ideal(nn.Module):
    """The best eps_hat for x0 ~ N(0, s^2), and beside it a `spread` of each of `timesteps`, as far as it is given."""

    def __init__(self, abar: np.ndarray, s: float, spread: dict[int, float] | None = None):
        super().__init__()
        self.abar, self.s, self.spread = abar, s, spread

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        step = round(float(t[0]) * len(self.abar) / 1000)
        a = self.abar[step]
        eps_hat = float((1 - a) ** 0.5 / (a * self.s**2 + 1 - a)) * x
        return eps_hat if self.spread is None else torch.cat([eps_hat, torch.full_like(x, self.spread[step])], dim=1)


def latents(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def exact(scheduler, abar: np.ndarray):  # type: ignore[no-untyped-def]
    """`scheduler` with its table in float64: in float32 the betas of a long chain, differences to 1, have 3 digits."""
    np.testing.assert_allclose(scheduler.alphas_cumprod.double(), abar, rtol=3e-4, atol=1e-9)
    scheduler.alphas_cumprod = torch.from_numpy(abar)
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


def betas(abar: np.ndarray) -> np.ndarray:
    return 1 - abar / np.append(1.0, abar[:-1])


@pytest.mark.parametrize("steps", [5, 50])
@pytest.mark.parametrize(("name", "T"), GRIDS)
@pytest.mark.parametrize("prediction", THEIRS)
def test_ddim_equals_diffusers_step_by_step(prediction: str, name: str, T: int, steps: int) -> None:
    abar, toy = noise_schedule(name, T), Toy(3)
    final = ddim(toy, Diffusion(abar, prediction), latents(), steps)  # type: ignore[arg-type]
    theirs = DDIMScheduler(
        T,
        trained_betas=betas(abar),
        prediction_type=THEIRS[prediction],
        timestep_spacing="leading",
        clip_sample=True,
        set_alpha_to_one=True,
    )
    exact(theirs, abar).set_timesteps(steps)
    assert theirs.timesteps.tolist() == leading_timesteps(T, steps).tolist()
    path = [x for x, _ in toy.asked] + [final]
    for (x, after), t in zip(pairwise(path), theirs.timesteps, strict=True):
        output = toy(x, t.expand(6) * 1000 / T)
        expected = theirs.step(output, t, x, eta=0.0, use_clipped_model_output=True).prev_sample
        torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("learned", [True, False], ids=["learned_range", "fixed_small"])
@pytest.mark.parametrize("steps", [2, 25])
@pytest.mark.parametrize(("name", "T"), GRIDS)
@pytest.mark.parametrize("prediction", THEIRS)
def test_ancestral_sampling_equals_diffusers_step_by_step(
    prediction: str, name: str, T: int, steps: int, learned: bool
) -> None:
    abar, toy = noise_schedule(name, T), Toy(6 if learned else 3)
    diffusion = Diffusion(abar, prediction, learned_sigma=learned)  # type: ignore[arg-type]
    final = ancestral(toy, diffusion, latents(), steps, torch.Generator().manual_seed(2))
    theirs = DDPMScheduler(
        T,
        trained_betas=betas(abar),
        prediction_type=THEIRS[prediction],
        timestep_spacing="linspace",
        clip_sample=True,
        variance_type="learned_range" if learned else "fixed_small",
    )
    exact(theirs, abar).set_timesteps(steps)
    assert theirs.timesteps.tolist() == linspace_timesteps(T, steps).tolist()
    theirs.set_timesteps(timesteps=theirs.timesteps.tolist())  # so that the next of the list is the previous timestep
    generator = torch.Generator().manual_seed(2)
    path = [x for x, _ in toy.asked] + [final]
    for (x, after), t in zip(pairwise(path), theirs.timesteps, strict=True):
        output = toy(x, t.expand(6) * 1000 / T)
        torch.testing.assert_close(after, theirs.step(output, t, x, generator).prev_sample, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["ddim", "ancestral"])
def test_the_network_is_asked_at_the_timesteps_of_its_training(kind: str) -> None:
    toy, config = Toy(3), SamplerConfig(kind=kind, steps=7)  # type: ignore[arg-type]
    sample(config, toy, Diffusion(cosine_abar(4000), "eps"), latents(2), Streams(0))
    steps = {"ddim": [k * 4000 // 7 for k in range(7)], "ancestral": [round(k * 3999 / 6) for k in range(7)]}[kind]
    assert [float(t[0]) for _, t in toy.asked] == pytest.approx([t / 4 for t in reversed(steps)])


@pytest.mark.parametrize("prediction", THEIRS)
def test_ddim_has_no_use_for_a_learned_variance(prediction: str) -> None:
    both, alone = Toy(6), Toy(3)
    alone.weight = both.weight[:3].clone()
    abar = cosine_abar(1000)
    one = ddim(both, Diffusion(abar, prediction, learned_sigma=True), latents(), 10)  # type: ignore[arg-type]
    other = ddim(alone, Diffusion(abar, prediction), latents(), 10)  # type: ignore[arg-type]
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("kind", ["ddim", "ancestral"])
def test_whoever_draws_a_chunk_draws_the_same_images(kind: str, learned: bool) -> None:
    config = SamplerConfig(kind=kind, steps=5, batch=4)  # type: ignore[arg-type]
    diffusion, toy = Diffusion(cosine_abar(1000), "eps", learned_sigma=learned), Toy(6 if learned else 3)
    x, labels = latents(10), torch.arange(10)
    together = sample(config, toy, diffusion, x, Streams(3), labels)
    torch.manual_seed(99)  # which nothing may depend on
    parts = [
        sample(config, toy, diffusion, part, Streams(3), chosen, first=index)
        for index, (part, chosen) in enumerate(zip(x.split(4), labels.split(4), strict=True))
    ]
    assert torch.equal(torch.cat(parts), together)
    later = sample(config, toy, diffusion, x[4:], Streams(3), labels[4:], first=1)
    assert torch.equal(later, together[4:])
    assert not torch.equal(sample(config, toy, diffusion, x, Streams(3)), together)  # labels matter


def test_ancestral_noise_is_the_seeds_and_the_chunks() -> None:
    config, diffusion, toy = SamplerConfig(kind="ancestral", steps=5), Diffusion(cosine_abar(1000), "eps"), Toy(3)
    first = sample(config, toy, diffusion, latents(), Streams(0))
    assert torch.equal(sample(config, toy, diffusion, latents(), Streams(0)), first)
    assert not torch.equal(sample(config, toy, diffusion, latents(), Streams(1)), first)
    assert not torch.equal(sample(config, toy, diffusion, latents(), Streams(0), first=1), first)


@pytest.mark.parametrize(("T", "steps"), [(1000, 7), (4000, 250), (10, 10)])
def test_leading_timesteps_descend_evenly_to_zero(T: int, steps: int) -> None:
    timesteps = leading_timesteps(T, steps)
    assert len(timesteps) == steps
    assert timesteps[-1] == 0
    assert set(-np.diff(timesteps)) <= {T // steps, T // steps + 1}


@pytest.mark.parametrize(("T", "steps"), [(1000, 1), (1000, 2), (1000, 50), (4000, 250), (4000, 251), (4000, 4000), (10, 10)])
def test_linspace_timesteps_are_exact_fractions_of_the_way_rounded(T: int, steps: int) -> None:
    expected = [round(Fraction(k * (T - 1), max(steps - 1, 1))) for k in range(steps)]
    assert linspace_timesteps(T, steps).tolist() == expected[::-1]


def test_ddim_with_the_optimal_predictor_of_a_gaussian_returns_its_variance() -> None:
    """The flow keeps Gaussians."""
    abar = cosine_abar(1000)
    samples = ddim(Ideal(abar, 0.2), Diffusion(abar, "eps"), latents(300), steps=250)
    assert float(samples.std()) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize(("name", "T", "steps"), [("linear", 1000, 1000), ("cosine", 4000, 250), ("cosine", 1000, 8)])
def test_ancestral_sampling_of_a_gaussian_has_the_variance_of_its_recursion(name: str, T: int, steps: int) -> None:
    """Each step is linear in x_t and adds beta~, so variances follow by hand; with many steps they end near the data's."""
    s, abar = 0.2, noise_schedule(name, T)
    samples = ancestral(Ideal(abar, s), Diffusion(abar, "eps"), latents(300), steps, torch.Generator().manual_seed(0))
    timesteps, variance = [round(k * (T - 1) / (steps - 1)) for k in range(steps)], 1.0
    for k in reversed(range(steps)):
        a, before = abar[timesteps[k]], abar[timesteps[k - 1]] if k else 1.0
        beta, gain = 1 - a / before, a**0.5 * s**2 / (a * s**2 + 1 - a)  # E[x0 | x_t] = gain x_t
        factor = (before**0.5 * beta * gain + (a / before) ** 0.5 * (1 - before)) / (1 - a)
        variance = factor**2 * variance + (1 - before) / (1 - a) * beta
    deviations = 4 * (2 / samples.numel()) ** 0.5
    assert float(samples.var()) == pytest.approx(variance, rel=deviations)
    short = {1000: 0.04, 250: 0.07, 8: 0.7}[steps]  # beta~ is too small a variance but for a single point, most so in few steps
    assert (1 - short) * s**2 < variance < s**2


@pytest.mark.parametrize("steps", [8, 100])
def test_with_the_true_variance_of_the_reverse_step_few_steps_suffice_for_a_gaussian(steps: int) -> None:
    """What a learned variance is for: x_{t-1} given x_t is Gaussian here, of a variance between beta~ and beta."""
    s, abar = 0.2, cosine_abar(1000)
    timesteps, spread = linspace_timesteps(1000, steps)[::-1], {0: 0.0}
    for before, t in pairwise(timesteps):
        beta = 1 - abar[t] / abar[before]
        tilde = (1 - abar[before]) / (1 - abar[t]) * beta
        true = beta * (abar[before] * s**2 + 1 - abar[before]) / (abar[t] * s**2 + 1 - abar[t])
        spread[int(t)] = 2 * float(np.log(true / tilde) / np.log(beta / tilde)) - 1
    diffusion = Diffusion(abar, "eps", learned_sigma=True)
    samples = ancestral(Ideal(abar, s, spread), diffusion, latents(300), steps, torch.Generator().manual_seed(0))
    assert float(samples.var()) == pytest.approx(s**2, rel=4 * (2 / samples.numel()) ** 0.5 + 0.002)  # the last step: 0.1 %


def test_one_step_gives_the_clipped_x0_of_timestep_0() -> None:
    toy, abar = Toy(6), cosine_abar(1000)
    images = ancestral(toy, Diffusion(abar, "x0", learned_sigma=True), latents(), 1, torch.Generator())
    assert torch.equal(images, toy(latents(), torch.zeros(6))[:, :3].clamp(-1, 1))
