"""fidrace.torch: a method in another's loop. Laws against scipy's, and weights against gradients."""

import random

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import fidrace.torch as fr
from fidrace.errors import InputError
from fidrace.method.noise_schedule import linear_abar
from tests.loops import ABAR, DRAWS, KS, SIGMA, at, discrete, draws, log_sigma, lognormal, path


@pytest.mark.parametrize("kind", [discrete, lognormal, path])
@pytest.mark.parametrize("name", ["baseline", "min-snr", "p2", "mdlrc"])
def test_a_method_that_claims_no_time_gives_back_the_loop_s_own(kind, name):
    t = draws(kind, 64)
    moved, weight = kind(name)(t)
    assert moved is t
    assert weight.shape == t.shape
    assert (weight == 1).all() == (name in ("baseline", "mdlrc"))


@pytest.mark.parametrize("kind", [discrete, lognormal, path])
def test_no_random_generator_of_the_loop_is_touched(kind):
    t = draws(kind, 64)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 (loops use it)
    kind("clts+mdlrc", reference="linear-1000")(t)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


def of_level(name: str):
    """The published law of ln sigma."""
    return {"laplace": stats.laplace(0, 0.25), "edm-lognormal": stats.norm(-1.2, 1.2), "logit-normal": stats.norm(0, 1)}[name]


@pytest.mark.parametrize("kind", [discrete, lognormal, path])
@pytest.mark.parametrize("name", ["laplace", "edm-lognormal", "logit-normal"])
def test_the_law_of_the_noise_level_is_the_published_one(kind, name):
    level, law = log_sigma(kind, kind(name)(draws(kind))[0]), of_level(name)
    if kind is not discrete:
        ends = {lognormal: (np.log(0.002), np.log(80)), path: (-np.inf, np.inf)}[kind]
        low, high = law.cdf(ends)
        assert stats.kstest(level, lambda x: (law.cdf(x) - low) / (high - low)).statistic < KS
        return
    levels, counts = np.unique(level, return_counts=True)  # one timestep stands for the levels half-way to its neighbours
    between = (levels[1:] + levels[:-1]) / 2
    assert np.abs(np.cumsum(counts)[:-1] / DRAWS - law.cdf(between)).max() < KS


def of_index(name: str):
    """The law of t / T at the middle of training."""
    bell = stats.truncnorm((0 - 0.3) / 0.5, (1 - 0.3) / 0.5, 0.3, 0.5)
    return {
        "beta": stats.beta(0.8, 1).cdf,
        "gaussian": bell.cdf,
        "clts": lambda s: (s + bell.cdf(s)) / 2,
        "reverse-clts": lambda s: (s + bell.cdf(s)) / 2,
        "speed": lambda s: np.where(s < 0.7, 5 * s, 3.5 + (s - 0.7)) / 3.8,
    }[name]


@pytest.mark.parametrize("name", ["beta", "gaussian", "clts", "reverse-clts", "speed"])
def test_a_law_over_the_index_is_that_of_the_loop_s_own_index(name):
    t = at(discrete(name), 50)(draws(discrete))[0].numpy()
    cdf = np.cumsum(np.bincount(t, minlength=1000)) / DRAWS
    assert np.abs(cdf - of_index(name)(np.arange(1, 1001) / 1000)).max() < KS


@pytest.mark.parametrize("kind", [lognormal, path])
@pytest.mark.parametrize("name", ["beta", "gaussian", "clts", "reverse-clts", "speed"])
def test_a_law_over_the_index_is_carried_by_noise_level(kind, name):
    race = at(kind(name, reference="linear-1000"), 50)
    level = log_sigma(kind, race(draws(kind))[0])
    abar = linear_abar(1000)
    ends = {lognormal: (np.log(0.002), np.log(80)), path: (-np.inf, np.inf)}[kind]

    def cdf(x):  # of the chain's levels, t - 1/2 to t + 1/2 standing for t, and without those that EDM never draws
        share = np.interp(x, np.log((1 - abar) / abar) / 2, (np.arange(1000) + 0.5) / 1000, left=0, right=1)
        return of_index(name)(share)

    low, high = cdf(np.array(ends))
    assert race.carried
    assert str(race).endswith("(as carried)")
    assert (
        stats.kstest(level, lambda x: np.clip((cdf(x) - low) / (high - low), 0, 1)).statistic < KS + 0.002
    )  # the chain's ends


def test_edm_s_own_law_and_weight_come_back_from_edm_and_from_a_uniform_level():
    sigma = draws(lognormal, 10_000).double()
    moved, weight = lognormal("edm-lognormal")(sigma)
    inside = (sigma > 0.004) & (sigma < 30)  # edm-lognormal has a floor under S, 1e-3
    apart = (moved / sigma - 1).abs().flatten().numpy()
    cut = 1.6e-5 / stats.norm(-1.2, 1.2).pdf(
        sigma.log().flatten().numpy()
    )  # the share of the law below 0.002, as a shift of ln sigma
    assert np.median(apart) < 5e-5
    assert (apart < cut + 2e-4)[inside.flatten().numpy()].all()
    own = (moved**2 + 0.25) / (moved * 0.5) ** 2
    torch.testing.assert_close(weight.double()[inside], own[inside], rtol=1e-3, atol=0)
    uniform = fr.path("edm-lognormal", sigma=lambda t: torch.exp(-6.2 + 10.5 * t), horizon=10, trained="x0")
    t, weight = uniform(torch.rand(DRAWS, generator=torch.Generator().manual_seed(1)).double())
    sigma = torch.exp(-6.2 + 10.5 * t)
    assert stats.kstest(sigma.log().numpy(), stats.norm(-1.2, 1.2).cdf).statistic < KS
    own = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    torch.testing.assert_close(weight.double()[sigma < 30], own[sigma < 30], rtol=1e-3, atol=0)


def test_one_network_expressed_five_ways_gets_one_gradient():
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(64, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.randint(0, 1000, (64,), generator=generator)
    a, s = ABAR[t].sqrt()[:, None], (1 - ABAR[t]).sqrt()[:, None]
    sigma, data = s / a, 0.5
    net = nn.Linear(8, 8).double()
    gradients = {}
    for trained in ("eps", "x0", "v", "flow", "F"):
        hat = net(a * x0 + s * eps)  # always the noise; what is trained on follows from it
        x0_hat = (a * x0 + s * eps - s * hat) / a
        skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2).sqrt()
        noisy = x0 + sigma * eps
        error = {
            "eps": hat - eps,
            "x0": x0_hat - x0,
            "v": (a * hat - s * x0_hat) - (a * eps - s * x0),
            "flow": (hat - x0_hat) - (eps - x0),
            "F": (x0_hat - skip * noisy) / out - (x0 - skip * noisy) / out,
        }[trained]
        _, w = discrete("min-snr", trained=trained, sigma_data=data)(t)
        gradients[trained] = torch.autograd.grad((w.double() * error.square().mean(1)).mean(), net.weight)[0]
    for gradient in gradients.values():
        torch.testing.assert_close(gradient, gradients["eps"], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("trained", ["eps", "x0", "F"])
def test_weights_by_time_and_by_sigma_agree(trained):
    for race, t, sigma in (
        (discrete("min-snr", trained=trained), torch.arange(1, 999), torch.from_numpy(SIGMA[1:999])),
        (lognormal("min-snr", trained=trained), draws(lognormal, 100).flatten(), draws(lognormal, 100).flatten()),
    ):
        torch.testing.assert_close(race(t)[1], race.weight_of_sigma(sigma), rtol=1e-5, atol=1e-6)


OWN = """
from fidrace.method import Floats, Method

class Late(Method, name="late", source="a test", evidence="inferred"):
    def timestep_density(self, progress):
        if progress <= 0.6:
            return self.schedule.density_over_log_snr(-abs(self.schedule.log_snr))  # of the level so far
        p = self.schedule.snr * 0 + 1.0
        p[: len(p) // 2] = 0
        return p / p.sum()

class Tail(Method, name="tail", source="a test", evidence="inferred"):
    def loss_weight(self, progress):
        w = self.schedule.snr * 0 + 1.0
        w[int(0.95 * len(w)) :] = 0
        return w

class ByLevel(Method, name="by-level", source="a test", evidence="inferred"):
    def loss_weight(self, progress):
        return 1 / (1 + self.schedule.snr ** (1 - progress))
"""


def test_a_method_of_one_s_own_is_judged_by_what_it_answers(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    for name in ("late", "tail"):
        with pytest.raises(InputError, match=f"{name!r} is said in terms of the index t"):
            path(name, methods_path=str(tmp_path))
    assert not path("by-level", methods_path=[tmp_path]).carried
    race = at(path("late", reference="linear-1000", methods_path=[tmp_path]), 80)
    half = linear_abar(1000)[499:501].mean()
    assert log_sigma(path, race(draws(path, 1000))[0]).min() == pytest.approx(np.log((1 - half) / half) / 2, abs=0.01)
