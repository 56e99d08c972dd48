"""Costs averaged over a window of targets, against the mean of single crossings at many targets, and in simulated studies."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fidrace.score.crossings import cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.windows import CostOfTargets

BUDGET = 400.0


def curve_of(fd: list[float], start: float = 0.0) -> Curve:
    n = start + 50.0 * np.arange(len(fd))
    columns = {"iteration": n, "images": 64 * n, "forwards": n, "train_seconds": n**1.1}
    return Curve("t", "m", 0, "finished", columns, np.array(fd), np.full(len(fd), np.nan))


distances = st.lists(st.one_of(st.floats(1, 300), st.just(float("nan"))), min_size=4, max_size=11)


@given(distances, st.floats(0.02, 0.98), st.floats(0.05, 1), st.sampled_from(["iterations", "seconds"]), st.booleans())
def test_the_mean_over_a_window_is_that_of_the_crossings_at_its_targets(
    fd: list[float], place: float, part: float, axis: str, from_zero: bool
) -> None:
    curve = curve_of(fd, 0.0 if from_zero else 50.0)
    found = CostOfTargets.of(curve, axis, BUDGET)
    target = float(np.exp(place * np.log(300)))
    half = part * found.room(target)
    assume(half > 1e-3)
    # midpoints of equal steps on the log scale; a jump between two grid intervals may fall inside one step
    steps = 2000
    targets = target * np.exp(half * (2 * (np.arange(steps) + 0.5) / steps - 1))
    costs = [cost_of_target(curve, float(one), axis, BUDGET) for one in targets]
    assert not any(cost.censored or cost.may_be_less for cost in costs)
    x = curve.axis(axis)
    mean, low, high = found.mean(target, half)
    tolerance = 12 * (x[-1] - x[0]) / steps
    assert mean == pytest.approx(np.mean([cost.cost for cost in costs]), abs=tolerance)
    assert low == pytest.approx(np.mean([cost.low for cost in costs]), abs=tolerance)
    assert high == pytest.approx(np.mean([cost.high for cost in costs]), abs=tolerance)
