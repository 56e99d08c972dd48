"""fidrace.torch: methods that adapt to the losses, checkpoints, and wrong input."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

import fidrace.torch as fr
from fidrace.errors import InputError
from fidrace.method import NoiseSchedule
from fidrace.method.registry import load_method
from tests.loops import (
    ABAR,
    ADAPTED,
    DRAWS,
    KS,
    SIGMA,
    adapted,
    adapted_by_rank,
    at,
    discrete,
    draws,
    lognormal,
    optimizer_of,
    path,
)


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


def test_two_processes_learn_what_one_does_from_the_whole_batch(tmp_path):
    """A batch's halves are two processes' here: each method that adapts has seen both in each of them."""
    torch.multiprocessing.spawn(adapted_by_rank, (tmp_path,), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for case, of in ADAPTED.items():
        whole, half = adapted(*of), adapted(*of, slice(500))
        for rank in (first, second):
            torch.testing.assert_close(rank[case], whole, rtol=1e-12, atol=0, equal_nan=True)
        assert any(not torch.equal(half[name], value) for name, value in whole.items()), case  # one half teaches something else


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


def test_a_warning_of_one_kind_does_not_hide_another(recwarn):
    race = discrete("uncertainty", horizon=1)
    optimizer, _ = optimizer_of()
    for losses in (torch.ones(2), torch.tensor([1.0, float("nan")])):
        race(torch.tensor([1, 2]))
        with race.step(optimizer, losses):
            pass
    assert sorted(str(one.message).partition(":")[0] for one in recwarn) == ["step 2", "step 2 of a race over 1"]


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
    "'immiscible' changes the noise, which is your loop's own": lambda: discrete("min-snr+immiscible"),
    "'power-ema' changes the average, which is": lambda: path("power-ema"),
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
