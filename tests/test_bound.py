"""The losses of a learned variance against the paper's equations in slow float64, and against theory."""

import copy
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from fidrace.data.loading import load_data
from fidrace.method.noise_schedule import cosine_abar, noise_schedule
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.diffusion import Diffusion, Examples, Network
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup
from fidrace.train.variational_bound import Posterior, bin_log_likelihood

pytestmark = pytest.mark.usefixtures("one_thread")
PREDICTIONS = ["eps", "x0", "v"]
TINY = 3, 4, 4


def saying(output: Tensor):  # type: ignore[no-untyped-def]
    """A network of this output, whatever it is asked."""
    return lambda x, t, labels: output


def stored(count: int, levels: int, generator: torch.Generator) -> Tensor:
    """Images of uniformly drawn levels, the first two pixels of each at the ends of the range."""
    x0 = torch.randint(0, levels, (count, *TINY), generator=generator) * (2 / (levels - 1)) - 1
    x0[:, 0, 0, 0], x0[:, 0, 0, 1] = -1, 1
    return x0


def losses_of(diffusion: Diffusion, network: Network, *of: Tensor) -> tuple[Tensor, Tensor | None]:
    """The eps-MSE and the bound of x0, eps, t and perhaps labels."""
    found = diffusion.losses(network, Examples(*of, *([None] if len(of) == 3 else [])))  # type: ignore[arg-type]
    return found.mse, found.bits


def mean_bits(abar: np.ndarray, prediction: str, x0: np.ndarray, x: np.ndarray, said: np.ndarray, t: int, levels: int) -> float:
    """L_t of one example in bits per dimension, from the equations of arXiv 2102.09672; said[2C, H, W] in float64."""
    mean_part, spread = np.split(said, 2)
    a, before = abar[t], (abar[t - 1] if t else 1.0)
    beta = 1 - a / before
    i = max(t, 1)  # at t = 0 the next one's
    tilde = (1 - abar[i - 1]) / (1 - abar[i]) * (1 - abar[i] / abar[i - 1])  # eq. 10
    x0_hat = {
        "eps": (x - np.sqrt(1 - a) * mean_part) / np.sqrt(a),
        "x0": mean_part,
        "v": np.sqrt(a) * x - np.sqrt(1 - a) * mean_part,
    }[prediction]

    def mean(start: np.ndarray) -> np.ndarray:  # eq. 11
        return (np.sqrt(before) * beta * start + np.sqrt(a / before) * (1 - before) * x) / (1 - a)

    v = (spread + 1) / 2
    variance = np.exp(v * np.log(beta) + (1 - v) * np.log(tilde))  # eq. 15
    if t > 0:  # KL of Gaussians, eq. 6
        nats = 0.5 * (np.log(variance / tilde) + (tilde + (mean(x0) - mean(x0_hat)) ** 2) / variance - 1)
        return float(nats.mean()) / math.log(2)
    total, half = 0.0, 1 / (levels - 1)
    for value, centre, sigma in zip(x0.flat, mean(x0_hat).flat, np.sqrt(variance).flat, strict=True):  # eq. 5
        edges = [(-np.inf if value < -1 + half else value - half), (np.inf if value > 1 - half else value + half)]
        low, high = (np.array(edges) - centre) / sigma
        if low + high > 0:
            low, high = -high, -low
        high_cdf, low_cdf = stats.norm.logcdf([high, low])
        total -= high_cdf + np.log1p(-np.exp(low_cdf - high_cdf))
    return total / x0.size / math.log(2)


@pytest.mark.parametrize("levels", [256, 17])
@pytest.mark.parametrize("T", [1000, 4000])
@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_losses_and_their_gradients_equal_the_equations(prediction: str, name: str, T: int, levels: int) -> None:
    """Of the bound: by central differences in the variance's channels of the slow reference. Of the eps-MSE: in closed form."""
    abar = noise_schedule(name, T)
    generator = torch.Generator().manual_seed(T + levels)
    t = torch.tensor([0, 0, 1, 2, T // 2, T - 2, T - 1])
    x0 = stored(len(t), levels, generator)
    eps, slip = torch.randn(2, *x0.shape, generator=generator)
    a = torch.tensor(abar)[t][:, None, None, None]
    target = {"eps": eps, "x0": x0, "v": a.sqrt() * eps - (1 - a).sqrt() * x0}[prediction]
    spread = torch.rand(x0.shape, generator=generator) * 2.4 - 1.2  # v may leave [0, 1]
    output = torch.cat([target + 0.1 * slip, spread], dim=1).float().requires_grad_()

    diffusion = Diffusion(abar, prediction, learned_sigma=True, levels=levels)  # type: ignore[arg-type]
    eps_mse, bound = losses_of(diffusion, saying(output), x0, eps, t)
    assert bound is not None
    (gradient,) = torch.autograd.grad(bound.sum(), output, retain_graph=True)
    (gradient_mse,) = torch.autograd.grad(eps_mse.sum(), output)
    assert not gradient[:, :3].any()
    assert not gradient_mse[:, 3:].any()

    x = (a.sqrt() * x0 + (1 - a).sqrt() * eps).numpy()
    said = output.detach().double().numpy()
    for i, step in enumerate(t.tolist()):

        def reference(said: np.ndarray, i: int = i, step: int = step) -> float:
            return T / 1000 * mean_bits(abar, prediction, x0[i].double().numpy(), x[i], said, step, levels)

        assert bound[i].item() == pytest.approx(reference(said[i]), rel=1e-4, abs=1e-6), step
        for place in ((3, 0, 0), (3, 0, 1), (4, 2, 3), (5, 3, 1)):
            up, down = said[i].copy(), said[i].copy()
            up[place] += 1e-5
            down[place] -= 1e-5
            slope = (reference(up) - reference(down)) / 2e-5
            assert float(gradient[i][place]) == pytest.approx(slope, rel=1e-3, abs=1e-6), (step, place)

    # In float64 from here: eps as the prediction has it, and 2 (eps_hat - eps) d eps_hat / d prediction over the dimensions.
    per_eps = {"eps": torch.ones_like(a), "x0": -a.sqrt() / (1 - a).sqrt(), "v": a.sqrt()}[prediction]
    error = per_eps * (output.detach()[:, :3].double() - target)
    torch.testing.assert_close(eps_mse.detach().double(), error.square().flatten(1).mean(1), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(gradient_mse[:, :3].double(), 2 * error * per_eps / error[0].numel(), rtol=1e-3, atol=1e-6)


def test_where_the_x0_of_a_wrong_prediction_is_absurd_the_gradient_is_still_finite() -> None:
    """At cosine's last timesteps x0_hat is off by 1e5 and more, and is not clipped."""
    abar = cosine_abar(4000)
    x0, t = torch.zeros(3, *TINY), torch.tensor([0, 3998, 3999])
    output = torch.full((3, 6, 4, 4), 30.0, requires_grad=True)
    _, bound = losses_of(Diffusion(abar, "eps", learned_sigma=True), saying(output), x0, x0, t)
    assert bound is not None
    bound.sum().backward()
    assert bound.isfinite().all()
    assert output.grad is not None
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_without_a_learned_variance_there_is_no_bound_and_the_same_eps_mse(prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps, output, spread = torch.randn(4, 5, *TINY, generator=generator)
    t = torch.tensor([0, 1, 10, 500, 900])
    plain = Diffusion(cosine_abar(1000), prediction)  # type: ignore[arg-type]
    learned = Diffusion(cosine_abar(1000), prediction, learned_sigma=True)  # type: ignore[arg-type]
    expected = plain.eps_mse(saying(output), x0, eps, t)
    loss, bound = losses_of(plain, saying(output), x0, eps, t)
    assert bound is None
    both = saying(torch.cat([output, spread], dim=1))
    for other in (loss, learned.eps_mse(both, x0, eps, t), losses_of(learned, both, x0, eps, t)[0]):
        assert torch.equal(other, expected)


def test_outputs_in_half_precision_are_compared_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 2, *TINY, generator=generator)
    output = torch.randn(2, 6, 4, 4, generator=generator).bfloat16()
    diffusion, t = Diffusion(cosine_abar(1000), "eps", learned_sigma=True), torch.tensor([0, 400])
    for half, full in zip(*(losses_of(diffusion, saying(o), x0, eps, t) for o in (output, output.float())), strict=True):
        assert half is not None
        assert full is not None
        assert half.dtype == torch.float32
        assert torch.equal(half, full)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_bound_is_zero_where_p_is_the_posterior(prediction: str) -> None:
    """A right prediction and spread = -1: for t > 0, p equals q; at any other spread the KL is that of its variance alone."""
    generator = torch.Generator().manual_seed(0)
    abar, t = cosine_abar(1000), torch.arange(1, 1000, 111)
    x0, eps = stored(len(t), 256, generator), torch.randn(len(t), *TINY, generator=generator)
    diffusion = Diffusion(abar, prediction, learned_sigma=True)  # type: ignore[arg-type]
    target = diffusion._target(x0, eps, t)
    for spread, v in ((-1.0, 0.0), (0.0, 0.5), (1.0, 1.0)):
        output = torch.cat([target, torch.full_like(x0, spread)], dim=1)
        _, bound = losses_of(diffusion, saying(output), x0, eps, t)
        beta = 1 - abar[t] / abar[t - 1]
        ratio = ((1 - abar[t - 1]) / (1 - abar[t])) ** -v  # sigma^2 / beta~ = (beta / beta~)^v
        assert beta.min() > 0
        expected = 0.5 * (np.log(ratio) + 1 / ratio - 1) / math.log(2)
        assert bound is not None
        np.testing.assert_allclose(bound.numpy(), expected, rtol=1e-4, atol=1e-8)


def test_for_gaussian_data_and_its_ideal_denoiser_the_best_variance_is_that_of_the_true_reverse_step() -> None:
    """x0 ~ N(0, s^2): x_{t-1} given x_t has a variance r in closed form, and there E[KL] = log(r / beta~) / 2 is least."""
    s, abar, t = 0.5, cosine_abar(1000), np.array([1, 30, 300, 800])
    total, before = abar[t] * s**2 + 1 - abar[t], abar[t - 1] * s**2 + 1 - abar[t - 1]
    beta = 1 - abar[t] / abar[t - 1]
    tilde, r = (1 - abar[t - 1]) / (1 - abar[t]) * beta, before * beta / total
    generator = torch.Generator().manual_seed(0)
    x0, eps = s * torch.randn(4, 1, 500, 500, generator=generator), torch.randn(4, 1, 500, 500, generator=generator)
    gain, a = (torch.tensor(values, dtype=torch.float32)[:, None, None, None] for values in (1 / total, abar[t]))
    eps_hat = (1 - a).sqrt() * (a.sqrt() * x0 + (1 - a).sqrt() * eps) * gain
    best = 2 * np.log(r / tilde) / np.log(beta / tilde) - 1
    assert (np.abs(best) < 1).all()
    spread = torch.tensor(best, dtype=torch.float32)[:, None, None, None].expand_as(x0).clone().requires_grad_()
    diffusion = Diffusion(abar, "eps", learned_sigma=True)
    _, bound = losses_of(diffusion, saying(torch.cat([eps_hat, spread], dim=1)), x0, eps, torch.from_numpy(t))
    assert bound is not None
    slope = torch.autograd.grad(bound.sum(), spread)[0].sum((1, 2, 3)).numpy()
    assert bound.detach().numpy() == pytest.approx(0.5 * np.log(r / tilde) / math.log(2), rel=0.02)
    # d KL / d spread = log(beta / beta~) / 4 * (1 - r / sigma^2) at its mean: 0, to 250,000 squared Gaussians
    assert (np.abs(slope) < 4 * np.sqrt(2 / 250_000) * np.log(beta / tilde) / 4 / math.log(2)).all()


def test_the_mean_over_timesteps_is_a_thousandth_of_the_whole_bound() -> None:
    """L_hybrid = L_simple + 0.001 L_vlb, L_vlb the sum over all t, here by the slow reference."""
    T, generator = 20, torch.Generator().manual_seed(0)
    abar, t = cosine_abar(T), torch.arange(T)
    x0 = stored(1, 256, generator).expand(T, *TINY)
    eps = torch.randn(T, *TINY, generator=generator)
    output = torch.cat([eps + 0.3 * torch.randn(x0.shape, generator=generator), torch.zeros(x0.shape)], dim=1)
    _, bound = losses_of(Diffusion(abar, "eps", learned_sigma=True), saying(output), x0, eps, t)
    a = torch.tensor(abar)[:, None, None, None]
    x = (a.sqrt() * x0 + (1 - a).sqrt() * eps).numpy()
    terms = [mean_bits(abar, "eps", x0[i].double().numpy(), x[i], output[i].double().numpy(), i, 256) for i in range(T)]
    assert bound is not None
    assert float(bound.mean()) == pytest.approx(0.001 * sum(terms), rel=1e-4)


def test_every_bin_together_has_probability_1() -> None:
    values = torch.arange(17, dtype=torch.float32) / 8 - 1
    for centre, sigma in ((0.3, 0.01), (-1.4, 0.2), (0.0, 1.0)):
        log_p = bin_log_likelihood(values, centre - values, torch.full_like(values, 2 * math.log(sigma)), 17)
        assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("deviations", [-300, -40, -8, -1, 0.3, 12, 100])
def test_far_from_the_mean_the_likelihood_is_that_of_exact_arithmetic(deviations: float) -> None:
    """And so is its gradient in log sigma^2, where a difference of two CDFs in float32 would be 0."""
    sigma, half = 0.0064, 1 / 255
    error = torch.tensor([deviations * sigma])
    log_p = torch.tensor([2 * math.log(sigma)], requires_grad=True)
    got = bin_log_likelihood(torch.tensor([0.2]), error, log_p, 256)
    (slope,) = torch.autograd.grad(got.sum(), log_p)
    with mpmath.workdps(50):
        centre = abs(mpmath.mpf(float(error)))  # on the side where erfc keeps its digits

        def exact(log_variance: mpmath.mpf) -> mpmath.mpf:
            root = mpmath.exp(log_variance / 2) * mpmath.sqrt(2)
            return mpmath.log((mpmath.erfc((centre - half) / root) - mpmath.erfc((centre + half) / root)) / 2)

        at, small = mpmath.mpf(float(log_p.detach())), mpmath.mpf(10) ** -8
        expected, slope_expected = float(exact(at)), float((exact(at + small) - exact(at - small)) / (2 * small))
    assert float(got.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert float(slope) == pytest.approx(slope_expected, rel=2e-2 if abs(deviations) == 300 else 1e-3)


def test_the_tanh_that_improved_diffusion_takes_for_the_normal_cdf_is_off_by_less_than_2e_4() -> None:
    z = np.linspace(-10, 10, 200_001)
    tanh = 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    assert 1.7e-4 < np.abs(tanh - stats.norm.cdf(z)).max() < 1.9e-4


def test_a_respaced_chain_of_one_step_has_a_posterior_too() -> None:
    posterior = Posterior.of(np.array([0.25]))
    assert (posterior.x0_weight, posterior.xt_weight) == (1, 0)
    assert posterior.log_tilde == posterior.log_beta == np.log(0.75)


def test_one_iteration_minimises_the_weighted_eps_mse_plus_the_unweighted_bound() -> None:
    """And the method sees the eps-MSE alone."""
    task = load_task("digits", {"diffusion.learned_sigma": True})
    training = Training(task, Registry().compose("min-snr"), 0, load_data(task.data), ProcessGroup(torch.device("cpu")))
    training.advance(2)  # the output starts at zero, where too little depends on anything
    before, losses, asked = copy.deepcopy(training.network), training.diffusion.losses, []
    training.diffusion.losses = lambda network, *rest: asked.extend(rest) or losses(network, *rest)  # type: ignore
    training.step()
    (examples,) = asked
    assert training.diffusion.bound is not None
    assert training.diffusion.bound.levels == 17
    found = losses(before, examples)
    t, loss, bound = examples.t, found.mse, found.bits
    snr = cosine_abar(1000)[t.numpy()] / (1 - cosine_abar(1000)[t.numpy()])
    weight = torch.from_numpy(np.minimum(snr, 5) / snr).float()
    assert bound is not None
    before.zero_grad()
    ((weight * loss).mean() + bound.mean()).backward()
    for (name, mine), (_, theirs) in zip(before.named_parameters(), training.network.named_parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, mine.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert before.conv_out.weight.shape[0] == 2
    assert before.conv_out.weight.grad is not None
    assert before.conv_out.weight.grad[1].any()
    torch.testing.assert_close(training.pending.loss[-1], loss.detach())
