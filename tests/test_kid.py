"""The kernel distance against the unbiased estimate on whole sets, in float64."""

import math

import numpy as np
import pytest
import torch

from fidrace.evaluate.kid import kernel_distance


def features(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).gamma(2.0, 1.0, (count, 24)).astype(np.float32) + np.float32(shift))


def unbiased_mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Lemma 6 of Gretton et al. (2012), with the cubic kernel."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.einsum("id,jd->ij", a, b) / a.shape[1] + 1) ** 3

    def between_others(a: np.ndarray) -> float:
        return float(kernel(a, a)[~np.eye(len(a), dtype=bool)].mean())

    return between_others(x) + between_others(y) - 2 * float(kernel(x, y).mean())


def test_the_mean_over_subsets_is_the_whole_sets_estimate_within_its_sampling_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fidrace.evaluate.kid.SUBSET", 300)  # 1,000 take ten times as long
    generated, real = features(1500, 0, shift=0.2), features(2000, 1)
    found, deviation = kernel_distance(generated, real)
    expected = unbiased_mmd2(generated.numpy().astype(np.float64), real.numpy().astype(np.float64))
    assert found == pytest.approx(expected, abs=4 * deviation / math.sqrt(100))
    assert expected > 20 * deviation / math.sqrt(100)  # or the test would tell nothing


def test_sets_smaller_than_a_subset_are_taken_whole() -> None:
    generated, real = features(80, 0, shift=0.2), features(80, 1)
    found, deviation = kernel_distance(generated, real)
    whole = unbiased_mmd2(generated.numpy().astype(np.float64), real.numpy().astype(np.float64))
    assert found == pytest.approx(whole, rel=1e-3)
    assert deviation < 1e-4 * found
    assert kernel_distance(generated, features(60, 1))[1] > 1e-4 * found


def test_two_sets_of_one_distribution_are_apart_by_chance_alone() -> None:
    draws = [kernel_distance(features(60, 2 * seed), features(60, 2 * seed + 1))[0] for seed in range(40)]
    assert abs(np.mean(draws)) < 4 * np.std(draws, ddof=1) / math.sqrt(40)


def test_features_that_are_not_finite_have_no_distance() -> None:
    broken = features(50, 0)
    broken[3, 1] = math.inf
    assert all(math.isnan(value) for value in kernel_distance(broken, features(50, 1)))
    assert all(math.isfinite(value) for value in kernel_distance(features(50, 2), features(50, 1)))
