"""Properties that must hold for any curves and any costs."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from fidrace.score.crossings import TargetCost, cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.speedups import holm, speedup

BUDGET = 1000.0
distances = st.lists(st.floats(0.1, 300) | st.just(float("nan")), min_size=2, max_size=14)
costs = st.lists(st.tuples(st.floats(0.01, 2000), st.floats(0.01, 2000)), min_size=1, max_size=12)
factors = st.floats(0.01, 100)


def curve(fd: list[float], scale: float = 1.0) -> Curve:
    n = scale * np.arange(len(fd) + 1) * BUDGET / (len(fd) - 1)
    axes = dict.fromkeys(("iteration", "images", "train_seconds", "forwards"), n)
    return Curve("t", "m", 0, "finished", axes, np.array([301.0, *fd]), np.ones(len(fd) + 1))


def at(fd: list[float], target: float, scale: float = 1.0) -> TargetCost:
    run = curve(fd, scale)
    return cost_of_target(run, target, "iterations", run.iteration[-2])  # the last evaluation is one step past the budget


def restricted(side: list[float]) -> list[TargetCost]:
    return [TargetCost(min(cost, BUDGET), cost, np.inf if cost >= BUDGET else cost) for cost in side]


@given(distances, st.floats(0.2, 299), factors)
def test_scaling_iterations_scales_the_time_to_target(fd: list[float], target: float, scale: float) -> None:
    plain, scaled = at(fd, target), at(fd, target, scale)
    assert scaled.censored == plain.censored
    np.testing.assert_allclose(scaled.cost, scale * plain.cost)


@given(distances, st.floats(0.2, 299), st.floats(0.2, 299))
def test_raising_the_target_never_lengthens_the_time_to_it(fd: list[float], one: float, other: float) -> None:
    easy, hard = at(fd, max(one, other)), at(fd, min(one, other))
    assert easy.cost <= hard.cost * (1 + 1e-12)
    assert hard.censored or not easy.censored


@given(costs, factors)
def test_scaling_all_costs_leaves_the_factor(pairs: list[tuple[float, float]], scale: float) -> None:
    base, other = (restricted(list(side)) for side in zip(*pairs, strict=True))
    larger = [[TargetCost(one.cost * scale, one.low, one.high) for one in side] for side in (base, other)]
    plain, scaled = speedup(base, other), speedup(*larger)
    assert (plain.bound, plain.pairs) == (scaled.bound, scaled.pairs)
    for name in ("factor", "ci_low", "ci_high"):
        np.testing.assert_allclose(getattr(plain, name), getattr(scaled, name), 1e-6)


@given(costs)
def test_swapping_method_and_baseline_inverts_factor_and_interval(pairs: list[tuple[float, float]]) -> None:
    base, other = (restricted(list(side)) for side in zip(*pairs, strict=True))
    there, back = speedup(base, other), speedup(other, base)
    with np.errstate(divide="ignore"):
        inverted = 1 / np.array([back.factor, back.ci_high, back.ci_low])
    np.testing.assert_allclose([there.factor, there.ci_low, there.ci_high], inverted, 1e-9)
    assert there.bound == {"=": "=", "none": "none", ">=": "<=", "<=": ">="}[back.bound]
    assert {there.verdict, back.verdict} in ({"faster", "slower"}, {"no difference shown"})


@given(costs)
def test_a_censored_pair_is_a_bound_and_limits_are_numbers(pairs: list[tuple[float, float]]) -> None:
    base, other = (restricted(list(side)) for side in zip(*pairs, strict=True))
    found = speedup(base, other)
    censored = any(one.censored for one in base + other)
    assert (found.bound == "=") == (not censored)
    assert np.isnan(found.ci_low) == np.isnan(found.ci_high) == (len(pairs) < 3)
    assert np.isnan(found.factor) == (found.bound == "none")
    if len(pairs) >= 3:
        assert 0 <= found.ci_low <= found.ci_high
        assert not any(one.censored for one in other) or found.ci_low == 0 or found.ci_low > 1
        assert not any(one.censored for one in base) or found.ci_high == np.inf or found.ci_high < 1


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12))
def test_holm_never_lowers_p_nor_changes_the_order(p: list[float]) -> None:
    given_p = np.array(p)
    adjusted = holm(given_p)
    known = ~np.isnan(given_p)
    assert np.array_equal(known, ~np.isnan(adjusted))
    assert (adjusted[known] >= given_p[known]).all()
    assume(known.sum() > 1)
    order = np.argsort(given_p[known], kind="stable")
    assert (np.diff(adjusted[known][order]) >= 0).all()
