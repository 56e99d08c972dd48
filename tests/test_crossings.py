"""Crossings and their costs, on curves whose answer is known."""

import numpy as np
import pytest

from fidrace.errors import InputError
from fidrace.score.crossings import TargetCost, cost_of_target, find_crossing, is_flat
from tests.curves import curve

NAN = float("nan")
BUDGET = 400


def cost(*fd: float, target: float = 10.0) -> TargetCost:
    return cost_of_target(curve(*fd, status="diverged"), target, "iterations", BUDGET)


def test_crossing_is_interpolated_on_the_log_of_fd() -> None:
    found = cost(80, 40, 20, 5, 5, 5)  # from 20 to 5 is two halvings, the target after one of them
    assert found.cost == pytest.approx(250)
    assert (found.low, found.high, found.censored) == (200, 300, False)


@pytest.mark.parametrize(
    ("fd", "expected"),
    [
        pytest.param((80, 40, 10, 9, 9, 9), 200, id="exactly at the target counts"),
        pytest.param((80, 9, 20, 20, 5, 5), 350, id="a lucky dip that is not sustained is none"),
        pytest.param((80, 40, NAN, 10 / 2**0.5, 9, 9), 100 + 200 * 0.8, id="NaN only widens the interval"),
        pytest.param((80, 40, 9, NAN, 20, 20), None, id="a dip confirmed by NaN is none"),
        pytest.param((80, 40, 40, 20, 5, 5), 350, id="at the budget, confirmed one step past it"),
        pytest.param((80, 40, 40, 40, 40, 5), None, id="only at the confirming evaluation"),
        pytest.param((80, 40, 40, 40, 40, 5, 5, 5), None, id="past the budget, though rows go on"),
        pytest.param((80, 40, 40, 40, 5, 40), None, id="at the budget, not confirmed"),
        pytest.param((80, 40), None, id="a run that ended early"),
    ],
)
def test_sustained_crossings(fd: tuple[float, ...], expected: float | None) -> None:
    found = cost(*fd)
    assert found.censored == (expected is None)
    assert found.cost == pytest.approx(BUDGET if expected is None else expected)


def test_a_run_at_the_target_before_training_is_an_error_of_the_task() -> None:
    with pytest.raises(InputError, match="before it trains"):
        cost(9, 8, 7, 6, 5, 4)


def test_censored_run_is_never_counted_as_its_budget_on_another_axis() -> None:
    found = cost_of_target(curve(80, 40, 30, 20, 20, 20), 10, "images", BUDGET)
    assert (found.cost, found.high, found.censored) == (64 * BUDGET, np.inf, True)


def test_a_run_that_diverged_early_is_censored_at_the_budget_in_proportion() -> None:
    found = cost_of_target(curve(80, 40, 30, status="diverged"), 10, "seconds", BUDGET)
    assert (found.cost, found.censored) == (pytest.approx(BUDGET / 20), True)


def test_flat_is_said_where_noise_decides_the_crossing() -> None:
    assert not is_flat(curve(80, 40, 20, 5, 2), 10)
    assert is_flat(curve(10.3, 10.2, 10.1, 9.95, 9.9, se=2), 10)


def test_a_crossing_is_confirmed_by_a_second_evaluation_at_the_target() -> None:
    for fd, confirmed in (((20, 5), False), ((20, 5, 5), True), ((20, 5, 11, 9, 8), True)):
        found = find_crossing(curve(*fd), 10, BUDGET)
        assert found
        assert (found.confirmed, found.before) == (confirmed, len(fd) - 2 - confirmed)


@pytest.mark.parametrize(("later", "left"), [((30, 9, 9), False), ((30, 30, 9, 9), True), ((NAN, 30, 9, 9), True)])
def test_a_run_that_leaves_the_target_for_two_evaluations_and_comes_back_is_told(later: tuple[float, ...], left: bool) -> None:
    found = find_crossing(curve(80, 9, 9, *later), 10, BUDGET)
    assert found
    assert (found.at, found.left, found.relapsed) == (1, left, False)


def test_distances_whose_logarithms_are_equal_are_crossed_at_the_second() -> None:
    above = np.nextafter(10.0, 11)
    assert np.log(above) == np.log(10.0)
    assert cost(80, above, 10, 9).cost == 200
