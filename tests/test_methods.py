"""The methods' formulas against independent sources, and what may be said of methods by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from scipy import stats

from bench.grid import named_schedule
from methods.base import Grid, InputError, inverse_cdf
from methods.composition import Composition
from methods.registry import Registry, content_hash

REGISTRY = Registry()
NAMES = sorted(REGISTRY.methods)
HORIZON = 400


def prepared(name: str, grid: str = "cosine-1000") -> Composition:
    composition = REGISTRY.compose(name)
    composition.prepare(Grid(named_schedule(grid), horizon=HORIZON))
    return composition


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
    T = len(named_schedule(grid))
    bell = stats.norm.pdf(np.arange(T), loc=0.3 * T, scale=sigma * T)
    np.testing.assert_allclose(clts.timestep_density(0), np.full(T, 1 / T), rtol=1e-12)
    np.testing.assert_allclose(clts.timestep_density(HORIZON), bell / bell.sum(), rtol=1e-9)
    np.testing.assert_allclose(clts.timestep_density(10 * HORIZON), bell / bell.sum(), rtol=1e-9)
    np.testing.assert_allclose(clts.timestep_density(HORIZON // 4), 0.75 / T + 0.25 * bell / bell.sum(), rtol=1e-9)


@pytest.mark.parametrize(("sigma", "published"), [("1.0", 0.028), ("0.5", 0.10), ("0.3", 0.22), ("0.2", 0.35)])
def test_total_variation_of_the_clts_family_to_uniform(sigma: str, published: float) -> None:
    p = prepared(f"clts[sigma={sigma}]").timestep_density(HORIZON)
    assert 0.5 * np.abs(p - 1 / 1000).sum() == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, HORIZON // 2, HORIZON])
def test_every_density_sums_to_one_and_every_weight_is_finite(name: str, n: int) -> None:
    method = prepared(name, "cosine-4000")
    p, w = method.timestep_density(n), method.loss_weight(n)
    if p is not None:
        assert p.shape == (4000,)
        assert (p >= 0).all()
        assert p.sum() == pytest.approx(1, abs=1e-12)
    if w is not None:
        assert w.shape == (4000,)
        assert np.isfinite(w).all()
        assert (w >= 0).all()


def test_weights_equal_the_formulas_on_the_snr_of_diffusers() -> None:
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    snr = compute_snr(scheduler, torch.arange(1000)).double()
    min_snr = torch.stack([snr, torch.full_like(snr, 5.0)]).amin(0) / snr
    np.testing.assert_allclose(prepared("min-snr", "linear-1000").loss_weight(0), min_snr, rtol=1e-3)
    np.testing.assert_allclose(prepared("p2", "linear-1000").loss_weight(0), 1 / (1 + snr), rtol=1e-3)
    np.testing.assert_allclose(prepared("p2[k=2.0,gamma=0.5]", "linear-1000").loss_weight(0), (2 + snr).rsqrt(), rtol=1e-3)


@pytest.mark.parametrize("name", ["baseline", "clts", "clts[sigma=0.1]"])
@pytest.mark.parametrize("n", [0, HORIZON // 2, HORIZON])
def test_drawn_timesteps_follow_the_density(name: str, n: int) -> None:
    method = prepared(name)
    count = 10**6
    drawn = np.bincount(method.timesteps(np.random.default_rng(n).random(count), n), minlength=1000)
    p = method.timestep_density(n)
    expected = count * (np.full(1000, 1e-3) if p is None else p)
    common = expected > 50  # rare timesteps are pooled, so that counts are near-Gaussian
    observed, awaited = (np.append(each[common], each[~common].sum()) for each in (drawn, expected))
    assert (np.abs(observed - awaited) <= 4.9 * np.sqrt(awaited)).all()  # 1e-6 two-sided, for each of 1000
    assert stats.chisquare(observed[awaited > 0], awaited[awaited > 0]).pvalue > 1e-3


def test_inverse_cdf_never_draws_what_has_no_probability() -> None:
    p = np.array([0.0, 0.25, 0.0, 0.75, 0.0])
    u = np.concatenate([[0.0, 0.25, np.nextafter(0.25, 0), np.nextafter(1.0, 0)], np.random.default_rng(0).random(1000)])
    drawn = inverse_cdf(p, u, 5)
    assert set(drawn) == {1, 3}
    assert drawn[:4].tolist() == [1, 3, 1, 3]


def test_methods_that_differ_only_in_p_draw_the_same_timesteps_where_their_cdfs_agree() -> None:
    u = np.random.default_rng(0).random(10_000)
    assert (prepared("baseline").timesteps(u, 0) == prepared("clts").timesteps(u, 0)).all()


def test_composition_takes_each_aspect_from_the_part_that_claims_it() -> None:
    both = prepared("mdlrc+clts+min-snr")
    assert str(both) == "clts+min-snr+mdlrc"
    np.testing.assert_array_equal(both.timestep_density(100), prepared("clts").timestep_density(100))
    np.testing.assert_array_equal(both.loss_weight(100), prepared("min-snr").loss_weight(100))
    assert both.optimizer(100) == prepared("mdlrc").optimizer(100)
    assert prepared("clts+mdlrc").loss_weight(0) is None
    assert both.depends_on_horizon()
    assert both.evidence() == "reconstructed"


def test_a_horizon_of_its_own_ends_the_schedule_early() -> None:
    assert prepared("mdlrc[horizon=100]").optimizer(100)[0] == pytest.approx(0.1)
    composed = prepared("clts[horizon=200]+mdlrc")
    np.testing.assert_array_equal(composed.timestep_density(200), prepared("clts").timestep_density(HORIZON))
    assert composed.optimizer(200) == prepared("mdlrc").optimizer(200)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("minsnr", "min-snr"),
        ("clts+", "cannot read"),
        ("", "cannot read"),
        ("clts[sigma=0.3", "cannot read"),
        ("clts]x[", "cannot read"),
        ("mdlrc+lr-decay", "both claim the optimizer"),
        ("clts+clts", "both claim the timesteps"),
        ("baseline+clts", "changes nothing"),
        ("clts[sigm=0.3]", "sigma"),
        ("clts[sigma=x]", "not a number"),
        ("clts[sigma=0]", "outside"),
        ("clts[sigma=nan]", "outside"),
        ("clts[horizon=1.5]", "whole number"),
        ("clts[sigma=1,sigma=2]", "twice"),
        ("clts[sigma]", "param=value"),
        ("baseline[x=1]", "it has none"),
    ],
)
def test_what_is_no_method_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        REGISTRY.compose(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("clts[sigma=0.3]", "clts[sigma=0.3]"),
        ("clts[sigma=0.30,mu=0.2]", "clts[mu=0.2,sigma=0.3]"),
        ("clts[sigma=0.5]", "clts"),
    ],
)
def test_the_name_in_tables_holds_what_differs_from_the_defaults(text: str, name: str) -> None:
    assert str(REGISTRY.compose(text)) == name
    assert str(REGISTRY.compose(name)) == name


METHOD = '''
from methods.base import Floats, Method, param

class Low(Method, name="low", source="none", evidence="inferred"):
    """{doc}"""
    gamma: float = param(1.0, "strength", low=0)

    def loss_weight(self, progress: float) -> Floats:
        return (1 - self.grid.abar) ** self.gamma{code}
'''


def test_content_hash_notices_code_and_parameters_but_not_words(tmp_path: Path) -> None:
    def hashed(name: str = "low", doc: str = "One.", code: str = "") -> str:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "low.py").write_text(METHOD.format(doc=doc, code=code))
        return content_hash(Registry([folder]).compose(name))

    assert hashed() == hashed(doc="Two.") == hashed(code="  # said\n")
    assert hashed() != hashed(code=" * 2")
    assert hashed() != hashed("low[gamma=2.0]")


def test_a_method_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Registry([tmp_path / "absent"])
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(InputError, match=r"broken\.py: ModuleNotFoundError"):
        Registry([tmp_path])
    (tmp_path / "broken.py").write_text(METHOD.format(doc="", code="").replace('"low"', '"clts"'))
    with pytest.raises(InputError, match="defined twice"):
        Registry([tmp_path / "."])


def test_the_method_that_contributing_shows_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    (tmp_path / "shown.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    shown = Registry([tmp_path]).compose("my-soft-min-snr")
    shown.prepare(Grid(np.array([0.99, 0.8, 0.01])))
    np.testing.assert_allclose(shown.loss_weight(0), [4 / 103, 0.5, 4 / (4 + 1 / 99)])
