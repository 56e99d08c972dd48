"""The intervals hold what the protocol promises, in simulated studies of known speedup; docs/statistics.md has more of them.

A share of studies is only held against the promise as far as its number of studies can tell: one chance in a thousand.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.simulation import (
    Interval,
    Side,
    World,
    first_touch,
    log_costs,
    log_rank,
    noise_twice,
    outcome,
    restricted,
    to_baseline_final,
    too_few,
    too_many,
    worlds,
)

STUDIES = 600
COVERAGE, CENSORED_COVERAGE, FALSE_ALARMS = 0.935, 0.93, 0.035


def name(world: World) -> str:
    return f"{world.family}-{world.correlation}-{world.budget:g}-{world.seeds}"


@pytest.mark.parametrize("world", worlds((3, 10)), ids=name)
def test_intervals_hold_the_true_factor_and_equal_methods_are_not_called_faster(world: World) -> None:
    equal = outcome(world, STUDIES)
    faster = outcome(replace(world, factor=1.5), STUDIES, seed=1)
    required = COVERAGE if equal.censored == 0 else CENSORED_COVERAGE
    assert equal.censored == 0 or 0.25 < equal.censored < 0.5
    assert not too_few(equal.coverage, STUDIES, required)
    assert not too_few(faster.coverage, STUDIES, required)
    assert not too_many(equal.faster, STUDIES, FALSE_ALARMS)
    assert faster.faster > (0.4 if world.seeds == 3 else 0.95)  # an interval that always held 1 would cover too


def test_the_simulation_notices_an_interval_that_is_too_narrow() -> None:
    def normal(baseline: Side, method: Side) -> Interval:
        d = log_costs(baseline) - log_costs(method)
        half = 1.96 * d.std(ddof=1) / len(d) ** 0.5
        return float(np.exp(d.mean() - half)), float(np.exp(d.mean() + half))

    found = outcome(World("log-linear", 3), STUDIES, normal)
    assert too_few(found.coverage, STUDIES, COVERAGE)
    assert too_many(found.faster, STUDIES, FALSE_ALARMS)


def test_first_touch_calls_a_method_with_lucky_dips_faster_and_the_protocol_does_not() -> None:
    lucky = World("power law", 10, correlation=0.8, dips=0.1)
    assert outcome(lucky, STUDIES, cost=first_touch).faster > 0.2
    assert outcome(lucky, STUDIES).faster < 0.08


@pytest.mark.parametrize("seeds", [3, 10])
def test_equal_methods_are_not_called_faster_at_their_baselines_final_distance(seeds: int) -> None:
    """There a baseline costs the budget by definition, and half of equal methods' runs do not arrive."""
    equal = World("digits", seeds, budget=500.0)
    assert not too_many(outcome(equal, STUDIES, cost=to_baseline_final).faster, STUDIES, FALSE_ALARMS)
    faster = outcome(replace(equal, factor=1.5), STUDIES, cost=to_baseline_final)
    assert not too_few(faster.coverage, STUDIES, COVERAGE)
    assert faster.faster > (0.4 if seeds == 3 else 0.9)


def test_counting_censored_runs_as_the_budget_would_call_equal_methods_faster() -> None:
    assert outcome(World("digits", 10, budget=500.0), STUDIES, restricted, cost=to_baseline_final).faster > 0.3


def test_noise_added_twice_hides_speedups_that_the_protocol_finds() -> None:
    small = World("power law", 10, factor=1.1, correlation=0.8)
    assert outcome(small, STUDIES).faster > outcome(small, STUDIES, noise_twice(small)).faster + 0.1


def test_a_test_that_knows_no_pairs_misses_what_pairs_show() -> None:
    small = World("log-linear", 10, factor=1.1, correlation=0.8)
    assert outcome(small, STUDIES).faster > outcome(small, STUDIES, log_rank).faster + 0.2
