"""Methods that learn from the losses: against brute force, and unchanged by being saved and restored."""

from collections import deque

import numpy as np
import pytest

from fidrace.method.composition import Composition
from tests.test_formulas import HORIZON, NAMES, REGISTRY, prepared

ADAPTIVE = [name for name in NAMES if REGISTRY.methods[name].overrides("observe")]
T = 1000


def test_the_adaptive_methods_are_known_here() -> None:
    assert ADAPTIVE == ["difficulty-curriculum", "importance", "uncertainty"]


def losses_at(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positive losses that fall with t, with the scatter of single examples."""
    return (1 - t / T + 0.01) * rng.exponential(size=len(t))


def batches(count: int, batch: int = 64, seed: int = 0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        t = rng.integers(T, size=batch)
        yield t, losses_at(t, rng)


def test_importance_is_uniform_until_each_timestep_was_seen_ten_times_and_then_follows_the_last_ten() -> None:
    method = prepared("importance")
    last = [deque(maxlen=10) for _ in range(T)]
    rng = np.random.default_rng(0)
    warm = False
    for t, loss in batches(700):
        method.observe(t, loss)
        for one, value in zip(t, loss, strict=True):
            last[one].append(value)
        if not all(len(one) == 10 for one in last):
            assert method.timestep_density(0) is None
            assert method.loss_weight(0) is None
            continue
        warm = True
    assert warm
    q = np.array([np.sqrt(np.mean(np.square(one))) for one in last])
    p, w = method.timestep_density(0), method.loss_weight(0)
    np.testing.assert_allclose(p, 0.999 * q / q.sum() + 0.001 / T, rtol=1e-12)
    anything = rng.exponential(size=T)
    assert (p * w * anything).sum() == pytest.approx(anything.mean())  # unbiased: the objective stays


def test_uncertainty_is_a_running_mean_from_one_and_ends_at_the_inverse_of_the_loss() -> None:
    method = prepared("uncertainty")
    np.testing.assert_array_equal(method.loss_weight(0), np.ones(T))
    method.observe(np.array([0]), np.array([0.5]))
    w = method.loss_weight(0)
    assert w[0] / w[-1] == pytest.approx(1 / 0.995)  # 0.99 of the 1 that it starts at, 0.01 of the 0.5 seen
    assert w.mean() == pytest.approx(1)
    true = np.linspace(0.9, 0.01, 20)  # one loss per bin of 50
    for t, _ in batches(2000):
        method.observe(t, true[t // 50])
    w = method.loss_weight(0)
    np.testing.assert_allclose(w, (1 / true[np.arange(T) // 50]) / np.mean(1 / true), rtol=1e-6)


def stages(method: Composition, means: list[float], t: int = 999) -> list[int]:
    """The number of clusters in training after each iteration whose losses all equal the next of `means`; one timestep per
    batch lies in the newest cluster."""
    seen = []
    for mean in means:
        newest = int(np.flatnonzero(method.timestep_density(0))[0])
        method.observe(np.array([newest, t]), np.array([mean, mean]))
        seen.append(round(20 * np.count_nonzero(method.timestep_density(0)) / T))
    return seen


def test_difficulty_curriculum_takes_in_a_cluster_when_the_loss_stalls_for_its_patience() -> None:
    """Patience is 1 % of 400: four iterations."""
    assert stages(prepared("difficulty-curriculum"), [1.0] * 5) == [1, 1, 1, 1, 2]  # the first is an improvement
    assert stages(prepared("difficulty-curriculum"), [1 / n for n in range(1, 50)]) == [1] * 49
    assert stages(prepared("difficulty-curriculum"), [1, 0.5, 0.5, 0.5, 0.5, 2, 2, 2, 2]) == [1] * 8 + [2]
    to_the_end = stages(prepared("difficulty-curriculum"), [1.0] * 400)
    assert to_the_end[94:] == [20] * 306
    assert prepared("difficulty-curriculum[patience=0.1]").parts[0].wait == 40


def test_difficulty_curriculum_leaves_out_losses_that_may_be_from_before_the_stage() -> None:
    method = prepared("difficulty-curriculum")
    stages(method, [1.0] * 5)
    for _ in range(50):
        method.observe(np.array([950, 999]), np.array([0.1, 0.1]))  # nothing of the cluster from 900 on
    assert np.count_nonzero(method.timestep_density(0)) == 100


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("moment", [*range(12), 150, 700])
def test_saved_and_restored_it_goes_on_as_if_nothing_had_been(name: str, moment: int) -> None:
    whole, first = prepared(name), prepared(name)
    for t, loss in batches(moment):
        whole.observe(t, loss)
        first.observe(t, loss)
    second = prepared(name)
    second.load_state_dict({key: np.array(value) for key, value in first.state_dict().items()})
    for t, loss in batches(50, seed=1):
        whole.observe(t, loss)
        second.observe(t, loss)
        np.testing.assert_array_equal(whole.timestep_density(0), second.timestep_density(0))  # at every stage on the way
    for n in (0, HORIZON // 2, HORIZON):
        for hook in ("timestep_density", "loss_weight"):
            np.testing.assert_array_equal(getattr(whole, hook)(n), getattr(second, hook)(n))
