"""What may be said of methods by name, how they compose, and that a method's file is what it says."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.method.base import NoiseSchedule, inverse_cdf
from fidrace.method.conformance import examine
from fidrace.method.registry import Registry, content_hash, modules_behind
from tests.test_formulas import HORIZON, NAMES, REGISTRY, prepared


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


def test_all_four_aspects_compose_and_how_uniforms_are_spread_is_one_of_them() -> None:
    whole = prepared("lr-decay+min-snr+clts+stratified")
    assert str(whole) == "clts+stratified+min-snr+lr-decay"
    u = np.random.default_rng(0).random(64)
    spread = (u[0] + np.arange(64) / 64) % 1
    np.testing.assert_array_equal(whole.timesteps(u, 300), prepared("clts").timesteps(spread, 300))


def test_a_parameter_may_give_an_aspect_up() -> None:
    composed = prepared("logit-normal[weight=eps]+min-snr")
    assert str(composed) == "logit-normal[weight=eps]+min-snr"
    np.testing.assert_array_equal(composed.loss_weight(0), prepared("min-snr").loss_weight(0))
    np.testing.assert_array_equal(composed.timestep_density(0), prepared("logit-normal").timestep_density(0))


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
        ("logit-normal+min-snr", "'logit-normal' and 'min-snr' both claim the weight"),
        ("gaussian+clts+p2", "'gaussian' and 'clts' both claim the timesteps"),
        ("importance+p2", "both claim the weight"),
        ("stratified+stratified", "both claim the uniforms"),
        ("speed[variant=code]+stratified", "'speed' and 'stratified' both claim the uniforms"),
        ("laplace[mu=inf]", "outside"),
        ("p2[gamma=inf]", "outside"),
        ("speed[variant=coed]", "did you mean 'code'"),
        ("speed[lam=0.4]", r"outside \[0.5, 1\]"),
        ("importance[uniform=0]", "outside"),
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
from fidrace.method import Floats, Method, param

class Low(Method, name="low", source="none", evidence="inferred"):
    """{doc}"""
    gamma: float = param(1.0, "strength", low=0)

    def loss_weight(self, progress: float) -> Floats:
        return (1 - self.schedule.abar) ** self.gamma{code}
'''


def test_content_hash_notices_code_and_parameters_but_not_words(tmp_path: Path) -> None:
    def hashed(name: str = "low", doc: str = "One.", code: str = "") -> str:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "low.py").write_text(METHOD.format(doc=doc, code=code))
        return content_hash(Registry([folder]).compose(name))

    assert hashed() == hashed(doc="Two.") == hashed(code="  # said\n")
    assert hashed() != hashed(code=" * 2")
    branch = "\n\n    def uniforms(self, u):\n        if len(u):\n            u = u\n{}u = 1 - u\n        return u"
    inside, outside = branch.format(12 * " "), branch.format(8 * " ")
    assert hashed(code=inside) != hashed(code=outside)
    assert hashed(code=inside) == hashed(code=inside.replace("u = 1 - u", "u = 1 - u  # said\n\n"))
    assert hashed() != hashed("low[gamma=2.0]")


def test_content_hash_covers_the_methods_that_one_builds_on(tmp_path: Path) -> None:
    registry = Registry()
    built = {
        name: [module.__name__ for module in modules_behind(sys.modules[registry.methods[name].__module__])] for name in NAMES
    }
    assert built["gaussian"] == ["fidrace.methods.gaussian", "fidrace.methods.clts"]
    assert built["reverse-clts"] == ["fidrace.methods.reverse_clts", "fidrace.methods.clts"]
    assert built["demon"] == ["fidrace.methods.demon", "fidrace.methods.mdlrc"]
    assert built["clts"] == ["fidrace.methods.clts"]


def test_published_hashes_are_those_of_the_code() -> None:
    """Else a published table could not be extended, and would speak of methods that are no more."""
    for runs in (Path(__file__).parents[1] / "results").glob("digits*/runs.csv"):
        for method, hashed in pd.read_csv(runs).groupby("method")["method_hash"]:
            assert set(hashed) == {content_hash(Registry().compose(str(method)))}, (runs, method)


def test_a_method_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Registry([tmp_path / "absent"])
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(InputError, match=r"broken\.py: ModuleNotFoundError"):
        Registry([tmp_path])
    (tmp_path / "broken.py").write_text(METHOD.format(doc="", code="").replace('"low"', '"clts"'))
    with pytest.raises(InputError, match="defined twice"):
        Registry([tmp_path / "."])


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"low"', '"a/b"', "a name has letters"),
        ('"low"', '"../x"', "a name has letters"),
        ('"low"', '"a+b"', "a name has letters"),
        ('"low"', '""', "a name has letters"),
        ('"low"', "3", "a name has letters"),
        ('"inferred"', '"sure"', "evidence 'sure'"),
        ('"none"', "7", "source and claim must be strings"),
        ('param(1.0, "strength", low=0)', "1.0", "parameter 'gamma' is no int, float or Literal"),
        ("gamma: float =", "gamma: bool =", "parameter 'gamma' is no int, float or Literal"),
        ("gamma: float =", "gamma: Missing =", "name 'Missing' is not defined"),
        ("gamma: float =", "other: float\n    gamma: float =", "parameter 'other'"),
        ("def loss_weight", "def aspects(self): return 1 / 0\n\n    def loss_weight", "ZeroDivisionError"),
    ],
)
def test_a_method_that_is_ill_defined_is_refused_by_its_file(old: str, new: str, named: str, tmp_path: Path) -> None:
    text = "from __future__ import annotations\n" + METHOD.format(doc="", code="")
    assert old in text
    (tmp_path / "low.py").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=r"low\.py: method") as refusal:
        Registry([tmp_path])
    assert named in str(refusal.value)


def test_what_no_part_claims_is_the_baselines(tmp_path: Path) -> None:
    """Also where a method has a hook for it: `aspects` decides."""
    text = METHOD.format(doc="", code="\n\n    def aspects(self):\n        return ('optimizer',)")
    (tmp_path / "low.py").write_text(text)
    low = Registry([tmp_path]).compose("low")
    low.prepare(NoiseSchedule(np.array([0.9, 0.5, 0.1])))
    assert low.loss_weight(0) is None


def test_the_method_that_contributing_shows_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    (tmp_path / "shown.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    registry = Registry([tmp_path])
    shown = registry.compose("my-middle")
    shown.prepare(NoiseSchedule(np.array([0.9, 0.5, 0.1])))
    np.testing.assert_allclose(shown.timestep_density(0), [0.3 / 1.1, 0.5 / 1.1, 0.3 / 1.1])
    assert [wrong for _, wrong in examine(registry, "my-middle") if wrong] == []
