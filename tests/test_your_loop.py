"""fidrace.torch: a method in another's loop. Laws against scipy's, weights against gradients, schedulers against torch's."""

import contextlib
import copy
import io
import pickle
import random
import types

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import fidrace.torch as fr
from fidrace.errors import InputError
from fidrace.method import NoiseSchedule
from fidrace.method.noise_schedule import cosine_abar, linear_abar
from fidrace.method.registry import load_method

ABAR = torch.from_numpy(cosine_abar(1000))
SIGMA = np.sqrt((1 - cosine_abar(1000)) / cosine_abar(1000))
DRAWS = 100_000
KS = 1.63 / DRAWS**0.5  # the 1 % point of the Kolmogorov-Smirnov statistic


def discrete(name: str, horizon: int = 100, trained: str = "eps", **more) -> fr.Race:
    return fr.discrete(name, ABAR, horizon=horizon, trained=trained, **more)


def lognormal(name: str, horizon: int = 100, trained: str = "x0", **more) -> fr.Race:
    return fr.lognormal(name, horizon=horizon, trained=trained, **more)


def path(name: str, horizon: int = 100, trained: str = "flow", **more) -> fr.Race:
    return fr.path(name, horizon=horizon, trained=trained, **more)


def draws(kind, count: int = DRAWS, seed: int = 0) -> torch.Tensor:
    """Times as the loop itself would draw them."""
    generator = torch.Generator().manual_seed(seed)
    if kind is discrete:
        return torch.randint(0, 1000, (count,), generator=generator)
    if kind is lognormal:
        return (torch.randn(count, 1, 1, 1, generator=generator) * 1.2 - 1.2).exp()
    return torch.rand(count, generator=generator)


def at(race: fr.Race, n: int) -> fr.Race:
    """The race after `n` steps, for methods that have no state."""
    race.load_state_dict(race.state_dict() | {"n": n})
    return race


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


def log_sigma(kind, t: torch.Tensor) -> np.ndarray:
    if kind is discrete:
        return np.log(SIGMA)[t.numpy()]
    t = t.double().flatten().numpy()
    return np.log(t) if kind is lognormal else np.log(t / (1 - t))


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


def optimizer_of(kind=torch.optim.AdamW, **more):
    weight = nn.Parameter(torch.ones(3))
    return kind([weight], lr=1e-3, **more), weight


SCHEDULERS = {
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "one-cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=20),
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3),  # multiplies the current learning rate
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("attached", [False, True])
def test_mdlrc_takes_the_learning_rate_and_beta1_for_a_step_and_gives_them_back(name, attached):
    own, _ = optimizer_of()
    own_schedule = SCHEDULERS[name](own)
    optimizer, weight = optimizer_of()
    schedule, race, inside = SCHEDULERS[name](optimizer), discrete("mdlrc", horizon=10), []
    optimizer.register_step_pre_hook(lambda *_: inside.append(None))
    if attached:
        race.attach(optimizer)
    optimizer.register_step_pre_hook(lambda one, *_: inside.append((one.param_groups[0]["lr"], one.param_groups[0]["betas"])))
    for n in range(10):
        own.step(), own_schedule.step()
        race(torch.tensor([1]))
        weight.grad = torch.ones(3)
        before = optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]
        if attached:
            optimizer.step()
        else:
            with race.step(optimizer):
                optimizer.step()
        left = 0.9 * (1 - n / 10)  # Demon, arXiv 1910.04952
        assert inside[-1] == (pytest.approx(before[0] * (1 - 0.09 * n)), (pytest.approx(left / (0.1 + left)), before[1][1]))
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == before
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == own.param_groups[0]["lr"]
        assert optimizer.param_groups[0]["betas"] == own.param_groups[0]["betas"]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Rprop, torch.optim.RMSprop])
def test_an_optimizer_without_beta1_is_refused_and_left_alone(kind):
    race = at(discrete("mdlrc"), 50)
    optimizer, _ = optimizer_of(kind)
    before = copy.deepcopy(optimizer.state_dict())
    race(torch.tensor([1]))
    with pytest.raises(InputError, match=f"{kind.__name__} has none"), race.step(optimizer):
        pass
    assert optimizer.state_dict() == before


@pytest.mark.parametrize("attached", [False, True])
def test_a_step_that_fails_gives_the_optimizer_s_numbers_back(attached, monkeypatch):
    race, (optimizer, weight) = at(discrete("mdlrc"), 50), optimizer_of()
    weight.grad = torch.ones(3)
    monkeypatch.setattr(optimizer, "step", lambda: 1 / 0)
    if attached:
        race.attach(optimizer)
    race(torch.tensor([1]))
    with pytest.raises(ZeroDivisionError), contextlib.nullcontext() if attached else race.step(optimizer):
        optimizer.step()
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"], race.n) == (1e-3, (0.9, 0.999), 50)


def test_a_race_is_attached_once_and_not_stepped_beside():
    race, (optimizer, _) = discrete("mdlrc"), optimizer_of()
    race.attach(optimizer)
    with pytest.raises(InputError, match="has a race already"):
        race.attach(optimizer)
    race(torch.tensor([1]))
    with pytest.raises(InputError, match="Use one of the two"), race.step(optimizer):
        optimizer.step()


def test_a_step_that_accelerate_only_accumulates_does_not_count():
    race, (optimizer, _) = discrete("uncertainty"), optimizer_of()
    optimizer.gradient_state = types.SimpleNamespace(sync_gradients=False)
    for n in range(4):
        optimizer.gradient_state.sync_gradients = n % 2 == 1
        race(torch.tensor([n, 900 + n]))
        with race.step(optimizer, torch.ones(2)):
            optimizer.step()
    assert race.n == 2


def test_adaptive_methods_learn_the_loop_s_own_loss_and_weight_it():
    """Uncertainty in a loop on x0 does with the loop's losses what it does in fidrace's own with the eps-MSE."""
    t, losses = torch.arange(1000), torch.rand(1000, generator=torch.Generator().manual_seed(0)).double()
    race = discrete("uncertainty", trained="x0")
    optimizer, _ = optimizer_of()
    race(t)
    with race.step(optimizer, losses):
        pass
    alone = load_method("uncertainty")
    alone.prepare(NoiseSchedule(ABAR.numpy()))
    alone.observe(t.numpy(), losses.numpy())
    np.testing.assert_allclose(race(t)[1].numpy(), alone.loss_weight(1), rtol=1e-5)


@pytest.mark.parametrize(("kind", "trained"), [(path, "flow"), (lognormal, "x0"), (discrete, "v")])
def test_equal_losses_get_equal_weights_from_uncertainty(kind, trained):
    race = observed(kind("uncertainty", trained=trained), kind, lambda t: torch.ones(len(t)), 50)
    torch.testing.assert_close(race(draws(kind, 1000))[1].flatten(), torch.ones(1000), rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", [discrete, path, lognormal])
def test_importance_keeps_the_loop_s_objective(kind):
    """Where it draws more often it weights less: the share of the loss from each tenth of the loop's own law stays a tenth."""
    race = observed(
        kind("importance[history=2]"), kind, lambda t: 1 + 5 * (t.double().flatten().argsort().argsort() / len(t)), 60
    )
    t, weight = race(draws(kind))
    assert weight.std() > 0.1
    own = draws(kind).double().flatten()
    tenths = torch.bucketize(t.double().flatten(), own.sort().values[DRAWS // 10 :: DRAWS // 10][:9].contiguous())
    share = torch.zeros(10).double().index_add_(0, tenths, weight.double().flatten()) / DRAWS
    torch.testing.assert_close(share, torch.full((10,), 0.1).double(), rtol=0.03, atol=0)


def observed(race: fr.Race, kind, losses, steps: int) -> fr.Race:
    """The race after it has seen `losses` of the times of so many steps."""
    optimizer, _ = optimizer_of()
    for n in range(steps):
        t, _ = race(draws(kind, 1000, seed=n))
        with race.step(optimizer, losses(t)):
            pass
    return race


@pytest.mark.parametrize("name", ["uncertainty+laplace", "uncertainty+logit-normal[mean=1.0,weight=eps]"])
def test_a_law_of_the_level_stays_itself_beside_a_method_that_adapts(name):
    race = fr.lognormal(name, P_mean=-1.2, P_std=0.5, horizon=10, trained="x0")
    sigma = (torch.randn(DRAWS, generator=torch.Generator().manual_seed(0)).double() * 0.5 - 1.2).exp()
    level = race(sigma)[0].log().numpy()
    law = stats.laplace(0, 0.25) if "laplace" in name else stats.norm(1, 1)
    assert stats.kstest(level, law.cdf).statistic < KS + 0.001  # sigma_max cuts 4e-4 off the second


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["uncertainty", "importance[history=1]"])
def test_losses_that_are_not_finite_are_left_out(name, bad, recwarn):
    race = observed(discrete(name), discrete, lambda t: torch.where(t == t[0], bad, 1.0), 5)
    assert race(draws(discrete, 100))[1].isfinite().all()
    assert [str(one.message) for one in recwarn] == [
        f"step 1: losses that are not finite are not shown to method {str(race.method)!r}"
    ]


def test_importance_samples_the_loop_s_own_law_until_it_knows_better():
    race, sigma = lognormal("importance"), draws(lognormal, 1000).double()
    assert ((race(sigma)[0] / sigma - 1).abs() < 0.01).double().mean() > 0.99
    assert stats.kstest(race(draws(lognormal))[0].log().flatten().numpy(), stats.norm(-1.2, 1.2).cdf).statistic < KS


OWN = """
from fidrace.method import Floats, Method

class Late(Method, name="late", source="a test", evidence="inferred"):
    def timestep_density(self, progress):
        p = self.schedule.snr * 0 + 1.0
        if progress > 0.6:
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


def trained_weight(kind, name: str, steps: int, race: fr.Race | None = None) -> tuple[torch.Tensor, fr.Race]:
    """The times of `steps` steps whose losses are the squares of the times' levels."""
    race = race or kind(name, seed=3)
    optimizer, _ = optimizer_of()
    chosen = []
    for n in range(race.n, race.n + steps):
        t, w = race(draws(kind, 200, seed=n))
        with race.step(optimizer, w.double().flatten().sum() / (t.double().flatten() + 1)):
            chosen.append(t)
    return torch.stack(chosen), race


@pytest.mark.parametrize(
    ("kind", "name"), [(discrete, "clts+mdlrc"), (discrete, "importance[history=1]"), (path, "uncertainty")]
)
def test_a_run_that_goes_on_from_a_checkpoint_is_the_undisturbed_one(kind, name):
    whole, _ = trained_weight(kind, name, 40)
    half, race = trained_weight(kind, name, 20)
    file = io.BytesIO()
    torch.save(race.state_dict(), file)
    file.seek(0)
    resumed = kind(name, seed=3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    rest, _ = trained_weight(kind, name, 20, resumed)
    assert torch.equal(torch.cat([half, rest]), whole)
    copied, _ = trained_weight(kind, name, 20, copy.deepcopy(race))  # by the same protocol as EDM pickles its loss
    assert torch.equal(copied, rest)
    assert pickle.dumps(race)


def test_microbatches_are_drawn_apart_and_ranks_too():
    t = torch.full((1000,), 999)
    race = discrete("laplace", seed=1)
    one, other = race(t)[0], race(t)[0]
    assert not torch.equal(one, other)  # the last timestep is spread over all levels that it stands for
    assert torch.equal(discrete("laplace", seed=1)(t)[0], one)
    assert not torch.equal(discrete("laplace", seed=1, rank=1)(t)[0], one)
    assert not torch.equal(at(discrete("laplace", seed=1), 1)(t)[0], one)


def test_more_steps_than_the_horizon_are_said_once_and_change_nothing_more(recwarn):
    race = discrete("mdlrc", horizon=2)
    optimizer, _ = optimizer_of()
    for _ in range(4):
        race(torch.tensor([1]))
        with race.step(optimizer):
            last = optimizer.param_groups[0]["lr"]
    assert [str(one.message) for one in recwarn] == ["step 3 of a race over 2: the method stays as it was at the end"]
    assert last == pytest.approx(1e-4)


@pytest.mark.parametrize(("said", "true"), [("eps", "x0"), ("x0", "eps"), ("eps", "eps"), ("x0", "x0"), ("v", "x0")])
def test_losses_that_contradict_what_is_said_to_be_trained_are_noticed(said, true, recwarn):
    race = discrete("min-snr", trained=said)
    optimizer, _ = optimizer_of()
    for n in range(40):
        t, _ = race(draws(discrete, 100, seed=n))
        eps = 1 / (1 + torch.from_numpy(SIGMA)[t] ** 2)  # the best for data of unit variance
        with race.step(optimizer, eps if true == "eps" else eps * torch.from_numpy(SIGMA)[t] ** 2):
            pass
    lines = [str(one.message) for one in recwarn]
    assert lines == [] if said in (true, "v") else f"squared error of {true}?" in lines[0]


WRONG = {
    "unknown method 'min-snt'; did you mean 'min-snr'": lambda: discrete("min-snt"),
    "trained='epsilon'": lambda: discrete("min-snr", trained="epsilon"),
    "horizon=0: the planned optimizer steps": lambda: discrete("min-snr", horizon=0),
    "seed=-1": lambda: discrete("min-snr", seed=-1),
    "alphas_cumprod does not fall": lambda: fr.discrete("min-snr", torch.linspace(1e-4, 0.02, 9), horizon=1, trained="eps"),
    r"alphas_cumprod has the shape \[\]": lambda: fr.discrete("min-snr", 1000, horizon=1, trained="eps"),
    "'clts' is said in terms of the index t": lambda: path("clts"),
    "'speed.variant=code.' turns a batch": lambda: path("speed[variant=code]", reference="linear-1000"),
    "grid 'linear' is not NAME-T": lambda: path("clts", reference="linear"),
    "is float32, not timesteps 0 to 999": lambda: discrete("baseline")(torch.rand(4)),
    "is int64, not noise levels": lambda: lognormal("baseline")(torch.arange(4)),
    "t from 0 to 1000 is not timesteps 0 to 999": lambda: discrete("baseline")(torch.tensor([0, 1000])),
    "t from -1 to 1 is not noise levels": lambda: lognormal("baseline")(torch.tensor([-1.0, 1.0])),
    "t from nan to nan is not times": lambda: path("baseline")(torch.tensor([0.5, float("nan")])),
    "int is no tensor": lambda: discrete("baseline")(5),
    "t is empty": lambda: discrete("baseline")(torch.tensor([], dtype=torch.int64)),
    "step 1 without race": lambda: discrete("baseline").step(optimizer_of()[0]).__enter__(),
    "losses without race": lambda: discrete("baseline").observe(torch.ones(3)),
    "sigma does not grow": lambda: path("min-snr", sigma=lambda t: (1 - t) / t),
    "data_at=2": lambda: path("min-snr", data_at=2),
    "no state of a race: 'horizon' is missing": lambda: discrete("min-snr").load_state_dict({"method": "min-snr"}),
    "the state is of seed 0, and this race has 1": lambda: discrete("p2", seed=1).load_state_dict(discrete("p2").state_dict()),
}


def stepped(race: fr.Race, optimizer: object) -> None:
    race(torch.tensor([1]))
    with race.step(optimizer):
        pass


@pytest.mark.parametrize("line", WRONG)
def test_wrong_input_is_refused_in_one_line(line):
    with pytest.raises(InputError, match=line) as error:
        WRONG[line]()
    assert "\n" not in str(error.value)


def test_losses_are_asked_of_adaptive_methods_and_counted():
    race, (optimizer, _) = discrete("uncertainty"), optimizer_of()
    race(torch.tensor([1, 2]))
    with pytest.raises(InputError, match="'uncertainty' adapts to the losses"), race.step(optimizer):
        pass
    with (
        pytest.raises(InputError, match=r"losses is \[3\], not one loss for each of 2"),
        race.step(optimizer, torch.ones(3)),
    ):
        pass


@pytest.mark.parametrize("rate", [1e-3, torch.tensor(1e-3)])
@pytest.mark.parametrize("name", ["mdlrc", "baseline"])
def test_a_scheduler_inside_the_step_is_refused(rate, name):
    race, (optimizer, weight) = at(discrete(name), 50), optimizer_of()
    optimizer.param_groups[0]["lr"] = before = rate
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    race(torch.tensor([1]))
    weight.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(InputError, match="call the scheduler after it"), race.step(optimizer):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == before


def test_the_log_of_a_loop_is_imported(tmp_path, fidrace):
    for name in ("baseline", "min-snr"):
        for seed in range(3):
            race = discrete(name, seed=seed)
            for step in (100, 200, 300):
                fid = torch.tensor(60.0 - step / 10 - (name == "min-snr"))
                file = fr.log(tmp_path / "logs", step=step, fid=fid, race=race)
    whole = file.read_text()
    with file.open("a") as stream:
        stream.write('{"step": 400, "fi')  # killed in the middle
    fr.log(tmp_path / "logs", step=400, fid=9.0, race=race)
    assert file.read_text().startswith(whole)
    fidrace("import", "jsonl", file, "--out", tmp_path / "tables")
    assert "min-snr" in fidrace("score", tmp_path / "tables", "--target", "40").stdout
    with pytest.raises(InputError, match="fid is list, not a number"):
        fr.log(tmp_path, step=1, fid=[3.0])
    with pytest.raises(InputError, match="no distance"):
        fr.log(tmp_path, step=1, loss=3.0)
    with pytest.raises(InputError, match="step=-1 is not"):
        fr.log(tmp_path, step=-1, fid=3.0)
