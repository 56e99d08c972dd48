"""How often an absolute check errs, in simulated runs of a method now and before; docs/ci.md has more of them."""

import pytest

from fidrace.score.estimates import FAILS, HOLDS
from tests.regression_simulation import outcomes
from tests.simulation import World, too_many

STUDIES, FALSE_ALARMS = 300, 0.035


@pytest.mark.parametrize(
    ("world", "paired"),
    [
        (World("digits", 3, budget=500.0), False),
        (World("log-linear", 3, correlation=0.95), True),
        (World("power law", 5, correlation=0.8), True),
    ],
    ids=["groups", "pairs", "five pairs"],
)
def test_unchanged_code_is_seldom_called_slower_and_slower_code_seldom_fine(world: World, paired: bool) -> None:
    unchanged = outcomes(world, paired, 1.0, [0.0, 0.1], STUDIES)
    assert not too_many(unchanged[0.0][FAILS] / STUDIES, STUDIES, FALSE_ALARMS)  # nothing may be lost, and nothing is
    assert unchanged[0.1][FAILS] <= unchanged[0.0][FAILS]
    slower = outcomes(world, paired, 0.8, [0.1], STUDIES)[0.1]
    assert not too_many(slower[HOLDS] / STUDIES, STUDIES, FALSE_ALARMS)
    assert slower[FAILS] / STUDIES > (0.3 if paired else 0.05)  # a gate that never failed would raise no false alarm
