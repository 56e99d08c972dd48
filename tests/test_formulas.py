"""Each method's formula against an independent source: a closed form, scipy's distributions, another library."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from fidrace.method.base import NoiseSchedule
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.registry import Registry

REGISTRY = Registry()
NAMES = sorted(REGISTRY.methods)
HORIZON = 400
GRIDS = ("linear-1000", "cosine-4000")


def prepared(name: str, grid: str = "cosine-1000", sigma_data: float = 0.5) -> Composition:
    composition = REGISTRY.compose(name)
    composition.prepare(NoiseSchedule(parse_noise_schedule(grid), sigma_data=sigma_data, horizon=HORIZON))
    return composition


def density(name: str, grid: str, n: int = 0) -> NDArray[np.float64]:
    p = prepared(name, grid).timestep_density(n)
    assert p is not None
    return p


@pytest.fixture(scope="module")
def snr() -> NDArray[np.float64]:
    """diffusers' signal-to-noise ratio on linear-1000."""
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    return compute_snr(scheduler, torch.arange(1000)).double().numpy()


@pytest.mark.parametrize("n", range(0, HORIZON + 40, 40))
def test_mdlrc_multiplies_the_learning_rate_by_exactly_one_minus_nine_tenths_of_progress(n: int) -> None:
    scale, beta1 = prepared("mdlrc").optimizer(n)
    tau = min(n / HORIZON, 1)
    assert scale == pytest.approx(1 - 0.9 * tau, abs=1e-12)
    assert 0 <= beta1 <= 0.9


def test_mdlrc_keeps_the_weight_of_the_newest_gradient_constant() -> None:
    """eta_t (1 - beta_t) is what the newest gradient is multiplied by."""
    weights = [scale * (1 - beta1) for scale, beta1 in (prepared("mdlrc").optimizer(n) for n in range(0, 401, 50))]
    np.testing.assert_allclose(weights, 0.1, rtol=1e-12)


def test_lr_decay_is_mdlrc_without_its_momentum() -> None:
    decay, both = prepared("lr-decay"), prepared("mdlrc")
    for n in (0, 123, 400, 440):
        assert decay.optimizer(n) == (pytest.approx(both.optimizer(n)[0], abs=1e-12), None)


@pytest.mark.parametrize("grid", ["linear-1000", "cosine-4000"])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0])
def test_clts_goes_from_uniform_to_the_renormalised_gaussian(sigma: float, grid: str) -> None:
    clts = prepared(f"clts[sigma={sigma}]", grid)
    T = len(parse_noise_schedule(grid))
    bell = stats.norm.pdf(np.arange(T), loc=0.3 * T, scale=sigma * T)
    np.testing.assert_allclose(clts.timestep_density(0), np.full(T, 1 / T), rtol=1e-12)
    np.testing.assert_allclose(clts.timestep_density(HORIZON), bell / bell.sum(), rtol=1e-9)
    np.testing.assert_allclose(clts.timestep_density(10 * HORIZON), bell / bell.sum(), rtol=1e-9)
    np.testing.assert_allclose(clts.timestep_density(HORIZON // 4), 0.75 / T + 0.25 * bell / bell.sum(), rtol=1e-9)


@pytest.mark.parametrize(("sigma", "published"), [("1.0", 0.028), ("0.5", 0.10), ("0.3", 0.22), ("0.2", 0.35)])
def test_total_variation_of_the_clts_family_to_uniform(sigma: str, published: float) -> None:
    p = prepared(f"clts[sigma={sigma}]").timestep_density(HORIZON)
    assert 0.5 * np.abs(p - 1 / 1000).sum() == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize("n", range(0, HORIZON + 40, 40))
def test_demon_lets_the_sum_of_the_momentum_terms_fall_linearly(n: int) -> None:
    """Demon's own derivation: beta / (1 - beta), the geometric sum of all later weights of a gradient, goes to 0 linearly."""
    scale, beta1 = prepared("demon").optimizer(n)
    assert scale == 1
    assert beta1 / (1 - beta1) == pytest.approx(9 * (1 - min(n / HORIZON, 1)), abs=1e-12)


def test_low_momentum_is_constant() -> None:
    assert {prepared("low-momentum").optimizer(n) for n in (0, 200, 800)} == {(1.0, 0.5)}
    assert prepared("low-momentum[beta1=0.0]").optimizer(7) == (1.0, 0.0)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_controls_of_clts_are_its_end_and_its_reverse(grid: str) -> None:
    T = len(parse_noise_schedule(grid))
    bell = stats.norm.pdf(np.arange(T), loc=0.2 * T, scale=0.4 * T)
    for n in (0, 100, 900):
        np.testing.assert_allclose(density("gaussian[mu=0.2,sigma=0.4]", grid, n), bell / bell.sum(), rtol=1e-9)
    np.testing.assert_allclose(density("reverse-clts[mu=0.2,sigma=0.4]", grid, 0), bell / bell.sum(), rtol=1e-9)
    np.testing.assert_allclose(density("reverse-clts", grid, HORIZON), np.full(T, 1 / T), rtol=1e-12)
    np.testing.assert_allclose(
        density("reverse-clts[sigma=0.4,mu=0.2]", grid, HORIZON // 4), 0.25 / T + 0.75 * bell / bell.sum(), rtol=1e-9
    )


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_stratified_batch_has_one_uniform_in_each_stratum_and_each_place_is_uniform(batch: int) -> None:
    rng, method = np.random.default_rng(0), prepared("stratified").parts[0]
    batches = np.array([method.uniforms(rng.random(batch)) for _ in range(4000)])
    strata = np.sort(np.floor(batches * batch), axis=1)
    assert (strata == np.arange(batch)).mean() > 0.999  # rounding may put one on the edge
    assert ((batches >= 0) & (batches < 1)).all()
    for place in {0, batch // 2, batch - 1}:
        assert stats.kstest(batches[:, place], "uniform").pvalue > 1e-3


def test_weights_equal_the_formulas_on_the_snr_of_diffusers(snr: NDArray[np.float64]) -> None:
    def weight(name: str, sigma_data: float = 0.5) -> NDArray[np.float64]:
        w = prepared(name, "linear-1000", sigma_data).loss_weight(0)
        assert w is not None
        return w

    sigma2 = 1 / snr  # of the variance-exploding form
    np.testing.assert_allclose(weight("min-snr"), np.stack([snr, np.full_like(snr, 5)]).min(0) / snr, rtol=1e-3)
    np.testing.assert_allclose(weight("p2"), 1 / (1 + snr), rtol=1e-3)
    np.testing.assert_allclose(weight("p2[k=2.0,gamma=0.5]"), (2 + snr) ** -0.5, rtol=1e-3)
    # weights on the x0-MSE are S times those on the eps-MSE
    for sigma_data in (0.5, 0.75):
        np.testing.assert_allclose(snr * weight("soft-min-snr", sigma_data), 1 / (sigma2 + sigma_data**2), rtol=1e-3)
        edm = (sigma2 + sigma_data**2) / (sigma2 * sigma_data**2)
        np.testing.assert_allclose(snr * weight("edm-lognormal[floor=1e-9]", sigma_data), edm, rtol=1e-3)
    np.testing.assert_allclose(weight("soft-min-snr[gamma=4.0]", 0.75), weight("soft-min-snr", 0.5), rtol=1e-12)
    np.testing.assert_allclose(weight("debiased[floor=1e-9]"), sigma2**0.5, rtol=1e-3)


def test_floors_hold_where_the_signal_vanishes_and_nowhere_else() -> None:
    assert prepared("debiased[floor=1e-12]", "linear-1000").loss_weight(0).max() == pytest.approx(157, abs=1)
    assert prepared("debiased[floor=1e-12]", "cosine-4000").loss_weight(0).max() == pytest.approx(8e4, rel=0.05)
    for grid in GRIDS:
        abar = parse_noise_schedule(grid)
        noisy = abar / (1 - abar) < 1e-3
        assert noisy.any()
        for name, ceiling in (("debiased", 1000**0.5), ("edm-lognormal", 4001), ("logit-normal", (1 + 1000**0.5) ** 2)):
            floored, free = (prepared(each, grid).loss_weight(0) for each in (name, f"{name}[floor=1e-300]"))
            np.testing.assert_allclose(floored[noisy], ceiling, rtol=1e-12)
            np.testing.assert_allclose(floored[~noisy], free[~noisy], rtol=1e-12)


def test_logit_normal_gives_unit_weight_to_the_velocity_of_rectified_flow() -> None:
    """x_s = (1 - s) x0 + s eps: what an error in eps does to the velocity eps - x0, computed rather than derived."""
    rng = np.random.default_rng(0)
    abar = parse_noise_schedule("linear-1000")
    w = prepared("logit-normal", "linear-1000").loss_weight(0)
    for t in (0, 300, 600, 790):
        sigma = np.sqrt((1 - abar[t]) / abar[t])
        s = sigma / (1 + sigma)
        x0, eps, error = rng.standard_normal((3, 50))
        x_s, eps_hat = (1 - s) * x0 + s * eps, eps + error
        x0_hat = (x_s - s * eps_hat) / (1 - s)
        velocity_mse = np.mean(((eps_hat - x0_hat) - (eps - x0)) ** 2)
        assert w[t] * np.mean(error**2) == pytest.approx(velocity_mse, rel=1e-9)
    assert prepared("logit-normal[weight=eps]").loss_weight(0) is None


@pytest.mark.parametrize("grid", [*GRIDS, "cosine-1000", "linear-4000"])
@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("edm-lognormal", lambda log_snr: stats.norm.sf(-log_snr / 2, -1.2, 1.2)),
        ("edm-lognormal[mean=0.5,std=0.7]", lambda log_snr: stats.norm.sf(-log_snr / 2, 0.5, 0.7)),
        # of the flow time s = expit(ln sigma), as SD3 states it
        ("logit-normal", lambda log_snr: stats.norm.sf(-np.log(1 / expit(-log_snr / 2) - 1))),
        ("laplace", lambda log_snr: stats.laplace.cdf(log_snr, 0, 0.5)),
        ("laplace[mu=-1.0,b=2.0]", lambda log_snr: stats.laplace.cdf(log_snr, -1, 2)),
    ],
)
def test_densities_over_noise_levels_hold_the_mass_of_the_published_law_on_every_schedule(grid: str, name: str, law) -> None:
    """The mass between any two timesteps against the law's distribution function, cut off at the ends of the grid."""
    abar = parse_noise_schedule(grid)
    p, log_snr = density(name, grid), np.log(abar) - np.log1p(-abar)
    T = len(abar)
    edges = np.linspace(0, T - 2, 41).astype(int)  # the last step of cosine is the jump of a clipped beta
    between = law((log_snr[edges] + log_snr[edges + 1]) / 2)  # the law's mass below the middle of two timesteps
    expected = between[:-1] - between[1:]
    found = np.array([p[a + 1 : b + 1].sum() for a, b in pairwise(edges)])
    expected, found = expected / expected.sum(), found / found.sum()
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("alpha", [0.8, 0.5, 1.7])
def test_beta_is_scipys_beta_and_the_published_inverse(alpha: float, grid: str) -> None:
    method, T = prepared(f"beta[alpha={alpha}]", grid), len(parse_noise_schedule(grid))
    cdf = stats.beta(alpha, 1).cdf(np.arange(T + 1) / T)
    np.testing.assert_allclose(method.timestep_density(0), np.diff(cdf), rtol=1e-9, atol=1e-15)
    u = np.random.default_rng(0).random(10_000)
    np.testing.assert_array_equal(method.timesteps(u, 0), np.floor(T * u ** (1 / alpha)).astype(int))


@pytest.mark.parametrize(("grid", "T"), [("linear-1000", 1000), ("cosine-4000", 4000)])
def test_speed_draws_the_early_timesteps_five_times_as_often(grid: str, T: int) -> None:
    p = density("speed", grid)
    early = int(0.7 * T)
    assert p[:early].sum() == pytest.approx(5 * 0.7 / (5 * 0.7 + 0.3))
    assert np.ptp(p[:early]) == np.ptp(p[early:]) == 0


def test_the_weight_of_speed_is_the_slope_of_the_noise_variance() -> None:
    """On the cosine schedule 1 - abar is sin^2 up to a constant, so its slope is a sine: a closed form."""
    w = prepared("speed", "cosine-4000").loss_weight(0)
    assert (w.min(), w.max()) == pytest.approx((0.4, 0.6))
    angle = np.pi * (np.arange(4000) / 4000 + 0.008) / 1.008
    np.testing.assert_allclose(w, 0.4 + 0.2 * np.sin(angle), atol=5e-3)
    assert prepared("speed[lam=0.9]", "cosine-4000").loss_weight(0).max() == pytest.approx(0.9)


def test_speed_as_released_mirrors_half_of_the_batch() -> None:
    """The released procedure by simulation: draw, mirror about t* = 642, put both halves together."""
    method = prepared("speed[variant=code]", "linear-1000")
    rng = np.random.default_rng(0)
    drawn = rng.choice(1000, 200_000, p=np.where(np.arange(1000) < 700, 5, 1) / 3800)
    released = np.concatenate([drawn, np.where(drawn < 642, 642 - drawn, drawn - 642)])
    count = np.bincount(released, minlength=1000)
    p = method.timestep_density(0)
    assert stats.chisquare(count, p / p.sum() * count.sum()).pvalue > 1e-3
    t = method.timesteps(rng.random(64), 0)
    np.testing.assert_array_equal(t[32:], np.abs(642 - t[:32]))
    w = method.loss_weight(0)
    assert (w[700:] == 1).all()
    np.testing.assert_array_equal(w[:700], prepared("speed", "linear-1000").loss_weight(0)[:700])
