"""Looks: levels against numerical integration, p-values and intervals against simulated races."""

from math import e

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from fidrace.score.sequential import resolve, sequential_p
from fidrace.spec.looks import Looks
from tests.sequential_simulation import mean_seeds, races, share
from tests.simulation import FAMILIES, World, too_few, too_many

LOOKS = resolve(Looks())
STUDIES = 400


def later_crossing(first: float, then: float) -> float:
    """The chance that t of three normal pairs is below `first`, and t of the same and a fourth one is `then` or above.

    U = sum x / sqrt(sum x^2) of n pairs. The next one has the angle phi = arctan(x / sqrt(sum x^2)), of density cos(phi)^(n-1)
    and independent of U (Basu: U tells nothing of the scale), and makes it U cos(phi) + sin(phi)."""
    wanted = then * (4 / (3 + then**2)) ** 0.5  # U of t, n = 4: t = U sqrt(n - 1) / sqrt(n - U^2)
    whole = quad(lambda phi: np.cos(phi) ** 2, -np.pi / 2, np.pi / 2)[0]

    def chance(t: float) -> float:
        u = t * (3 / (2 + t**2)) ** 0.5
        peak, size = np.arctan(1 / u) if u > 0 else np.pi / 2 - np.arctan(u), (1 + u**2) ** 0.5
        if wanted >= size:
            return 0.0
        half = np.arccos(wanted / size)  # U' = size cos(phi - peak)
        low, high = max(peak - half, -np.pi / 2), min(peak + half, np.pi / 2)
        return quad(lambda phi: np.cos(phi) ** 2 / whole, low, high)[0] if high > low else 0.0

    return quad(lambda t: chance(t) * stats.t.pdf(t, 2), -60, first, limit=400, epsabs=1e-8)[0]


def test_levels_of_two_looks_spend_what_integration_says_they_spend() -> None:
    design = resolve(Looks(looks=(3, 4), spending=(0.6, 1.0)))
    first, then = (float(stats.t.isf(level, n - 1)) for level, n in zip(design.levels, design.looks, strict=True))
    assert design.levels[0] == pytest.approx(0.6 * 0.025)
    assert later_crossing(first, then) == pytest.approx(0.4 * 0.025, rel=0.02)


def test_levels_of_many_pairs_are_those_of_normal_looks() -> None:
    """Five equal steps: by look k the share ln(1 + (e - 1) k / 5) of 0.025 is spent."""
    design = resolve(Looks(looks=(1000, 2000, 3000, 4000, 5000)))
    t, limits = np.arange(1, 6) / 5, norm.isf(design.levels)
    joint = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    spent = [1 - multivariate_normal.cdf(limits[:k], cov=joint[:k, :k], abseps=1e-6, releps=1e-6) for k in range(2, 6)]
    assert spent == pytest.approx(0.025 * np.log(1 + (e - 1) * t[1:]), rel=0.015)
    assert design.spending == pytest.approx(np.log(1 + (e - 1) * t), abs=1e-6)


def test_one_look_is_the_ordinary_interval_and_the_ordinary_p() -> None:
    design = resolve(Looks(looks=(7,)))
    assert design.levels == (0.025,)
    ps = np.array([1e-6, 0.001, 0.01, 0.0251, 0.1, 0.4])
    assert [sequential_p(design, 1, p) for p in ps] == pytest.approx(ps, rel=1e-3)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_sequential_p_agrees_with_its_interval_and_never_falls_as_the_nominal_one_rises(number: int) -> None:
    level = LOOKS.levels[number - 1]
    assert sequential_p(LOOKS, number, level) == pytest.approx(0.025)
    nominal = np.geomspace(1e-9, 1, 400)
    found = np.array([sequential_p(LOOKS, number, p) for p in nominal])
    assert (np.diff(found) >= 0).all()
    assert (found >= nominal).all()  # looking more than once is never free
    spent = np.diff(LOOKS.spending, prepend=0)[number - 1]
    assert (
        found <= np.minimum(1, nominal / spent * (1 + 1e-9)) + (nominal > 0.1)
    ).all()  # and costs no more than a union bound


def test_the_smallest_sequential_p_of_all_looks_is_a_p_value() -> None:
    """The worst reader stops at the look that suits best; scipy's t test on fresh normal pairs."""
    d = np.random.default_rng(7).standard_normal((4000, LOOKS.last))
    best = np.ones(len(d))
    for number, seeds in enumerate(LOOKS.looks, 1):
        nominal = stats.ttest_1samp(d[:, :seeds], 0, axis=1, alternative="greater").pvalue
        best = np.minimum(best, [sequential_p(LOOKS, number, p) for p in nominal])
    for alpha in (0.01, 0.025, 0.05, 0.2):
        found = float((best <= alpha).mean())
        assert not too_many(found, len(d), alpha)
        assert not too_few(found, len(d), 0.9 * alpha)  # all of it is spent


@pytest.mark.parametrize("correlation", [0.0, 0.8])
@pytest.mark.parametrize("family", FAMILIES)
def test_races_that_stop_when_decided_call_equal_methods_faster_no_more_often_than_one_look(
    family: str, correlation: float
) -> None:
    world = World(family, LOOKS.last, correlation=correlation, budget=500.0 if family == "digits" else 700.0)
    found = list(races(world, STUDIES, LOOKS))
    assert not too_many(share(found, "faster"), STUDIES, 0.025)
    assert not too_few(share(found, "held"), STUDIES, 0.95)  # at all looks, not only at the last one of the race
    assert share(found, "peeked") > 0.045  # what the plain interval would do at five looks


def test_a_method_that_is_much_faster_is_decided_early() -> None:
    found = list(races(World("log-linear", LOOKS.last, factor=1.5, correlation=0.8), 200, LOOKS, seed=1))
    assert share(found, "faster") > 0.99
    assert mean_seeds(found) < 6
    assert not too_few(share(found, "held"), 200, 0.95)
