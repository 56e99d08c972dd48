"""Verdicts where sides are evaluated differently often, or rarely; docs/statistics.md and tests/slow/grids.py have more."""

import pytest

from tests.grid_simulation import FAMILIES, GridWorld, verdicts
from tests.simulation import too_many

STUDIES, FALSE_ALARMS = 150, 0.035


@pytest.mark.parametrize("finer", ["method", "baseline"])
@pytest.mark.parametrize("ratio", [2, 10])
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_methods_get_no_verdict_for_being_looked_at_more_often(family: str, ratio: int, finer: str) -> None:
    for before, seeds, paired in ((1, 10, True), (3, 3, False)):
        found = verdicts(GridWorld(family, seeds, before, 0.5, ratio, finer, 0.8 if paired else 0.0, paired=paired), STUDIES)
        assert not too_many(found.faster, STUDIES, FALSE_ALARMS)
        assert not too_many(found.slower, STUDIES, FALSE_ALARMS)
        assert found.factor == pytest.approx(1, abs=0.04)  # at the evaluations that both have


@pytest.mark.parametrize("curves", [("power law", "log-linear"), ("log-linear", "power law")])
def test_a_coarse_grid_that_favours_one_shape_of_curve_gives_no_verdict(curves: tuple[str, str]) -> None:
    found = verdicts(GridWorld(curves[0], 10, 1, other=curves[1], correlation=0.8), STUDIES)
    assert max(found.interpolated_faster, found.interpolated_slower) > 0.5  # what interpolation alone would say
    assert max(found.faster, found.slower) < 0.035


def test_without_the_rule_a_twin_that_is_looked_at_more_often_would_win() -> None:
    found = verdicts(GridWorld("power law", 10, 1, 0.5, 10, "method", 0.8), STUDIES)
    assert max(found.interpolated_faster, found.interpolated_slower) > 0.5


def test_factors_beyond_what_the_grid_leaves_open_are_found() -> None:
    for family in FAMILIES:
        assert verdicts(GridWorld(family, 5, 2, ratio=5, factor=4.0), STUDIES).faster > 0.9
        assert verdicts(GridWorld(family, 5, 8, ratio=5, factor=1.5), STUDIES).faster > 0.8
