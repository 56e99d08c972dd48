"""The guards' measurements against brute force, and on sets whose answer is known."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from fidrace.data.loading import digits
from fidrace.evaluate.features import load_features
from fidrace.evaluate.guards import Guards, precision_recall
from fidrace.spec.task import load_task


def gaussian(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, (count, 6)).astype(np.float32))


def share_inside(points: np.ndarray, centres: np.ndarray, k: int = 3) -> float:
    """The share of points in any ball about a centre that reaches its k-th neighbour among the centres."""
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    radii = np.sort(apart, axis=1)[:, k]  # place 0 is the centre itself
    return float((np.linalg.norm(points[:, None] - centres[None], axis=2) <= radii).any(axis=1).mean())


def test_precision_and_recall_equal_brute_force() -> None:
    generated, real = gaussian(80, 0, shift=0.7), gaussian(80, 1)
    precision, recall = precision_recall(generated, real)
    assert precision == pytest.approx(share_inside(generated.numpy(), real.numpy()), abs=1e-6)
    assert recall == pytest.approx(share_inside(real.numpy(), generated.numpy()), abs=1e-6)
    assert 0 < min(precision, recall) < max(precision, recall) < 1  # or the test would tell nothing


def test_precision_and_recall_are_torch_fidelitys_on_digits() -> None:
    """Thousands of balls, some through other images: float by float the same comparisons."""
    task, data = load_task("digits"), digits()
    features = load_features(task.quality, torch.device("cpu"))
    real = features(torch.from_numpy(data.train[:700]))
    for seed, noise in enumerate((0.0, 0.2, 0.5, 0.8)):
        chance = np.random.default_rng(seed)
        images = data.train[700:1400] + noise * chance.normal(size=(700, 1, 8, 8)).astype(np.float32)
        generated = features(torch.from_numpy(images).clamp(-1, 1))
        options = {"prc_neighborhood": 3, "prc_batch_size": 10_000, "save_cpu_ram": False, "verbose": False}
        theirs = prc_features_to_metric(generated, real, **options)
        ours = precision_recall(generated, real)
        assert ours == pytest.approx((theirs["precision"], theirs["recall"]), rel=1e-6)  # theirs are float32 means
        assert 0 < min(ours) < 1
    alike = torch.zeros(8, 6)
    assert precision_recall(alike, alike) == (1, 1)  # balls of radius 0 hold what lies on them


def test_a_collapsed_generator_keeps_precision_and_loses_recall() -> None:
    train = gaussian(400, 0)
    guards = Guards.of(train, gaussian(100, 1), samples=100)
    one_mode = 0.05 * gaussian(100, 2)
    precision, recall = guards.precision_recall(one_mode)
    assert precision > 0.9
    assert recall < 0.2 < guards.ceiling[1]


def test_copies_of_training_images_are_memorised_and_fresh_ones_at_the_rate_of_real_data() -> None:
    train = gaussian(2000, 0)
    guards = Guards.of(train, gaussian(2000, 1), samples=500)
    assert guards.memorised(train[:500]) == 1
    fresh = guards.memorised(gaussian(4000, 2))
    assert fresh == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 * (1 / 4000 + 1 / 2000)))
    half = torch.cat([train[:2000], gaussian(2000, 3)])
    assert guards.memorised(half) == pytest.approx(0.525, abs=0.02)


def test_the_real_images_are_equally_many_and_others_than_the_ceilings() -> None:
    train = gaussian(300, 0)
    assert len(Guards.of(train, gaussian(50, 1), samples=100).real) == 100
    guards = Guards.of(train, gaussian(50, 1), samples=1000)
    assert len(guards.real) == 150
    assert max(guards.ceiling) < 1  # a set against itself scores 1


def test_features_that_are_not_finite_measure_nothing() -> None:
    guards = Guards.of(gaussian(300, 0), gaussian(50, 1), samples=100)
    broken = gaussian(100, 2)
    broken[3, 2] = math.nan
    assert all(math.isnan(value) for value in (*guards.precision_recall(broken), guards.memorised(broken)))


def test_held_out_digits_score_one_in_twenty_and_close_to_the_ceiling() -> None:
    task, data = load_task("digits"), digits()
    features = load_features(task.quality, torch.device("cpu"))
    train, heldout = (features(torch.from_numpy(part)) for part in (data.train, data.heldout))
    guards = Guards.of(train, heldout, samples=len(heldout))
    assert guards.memorised(heldout) == pytest.approx(0.05, abs=1 / len(heldout))
    assert guards.precision_recall(heldout) == pytest.approx(guards.ceiling, abs=0.1)
