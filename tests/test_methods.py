"""What may be said of methods by name, how they compose, and that a method's file is what it says."""

from pathlib import Path

import numpy as np
import pytest

from methods.base import Grid, InputError, inverse_cdf
from methods.registry import Registry, content_hash
from tests.test_formulas import HORIZON, REGISTRY, prepared


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
