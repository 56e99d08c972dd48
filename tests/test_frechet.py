"""The Frechet core against two libraries, a closed form and Monte Carlo."""

import numpy as np
import pytest
import torch
from cleanfid.fid import frechet_distance as cleanfid_distance
from torch_fidelity.metric_fid import fid_statistics_to_metric

from fidrace.evaluate.frechet import Moments, Reference, frechet_distance, frechet_with_error


def skewed(rng: np.random.Generator, count: int, mixing: np.ndarray, shift: float = 0.0) -> torch.Tensor:
    """Features [count, D] that are no Gaussian: mixed gammas, like activations behind a non-linearity."""
    return torch.from_numpy(rng.gamma(2.0, 1.0, (count, mixing.shape[0])) @ mixing + shift)


def statistics(features: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    return features.numpy().mean(0), np.cov(features.numpy(), rowvar=False)


def reference_of(features: torch.Tensor) -> Reference:
    moments = Moments.of(features)
    return Reference.from_moments(moments.mean, moments.covariance)


@pytest.mark.parametrize(("dimension", "real", "fake"), [(16, 500, 400), (64, 1500, 1000), (48, 30, 40), (48, 400, 20)])
def test_distance_equals_torch_fidelity_and_cleanfid_at_full_rank_and_below(dimension: int, real: int, fake: int) -> None:
    rng = np.random.default_rng(dimension + real)
    a = skewed(rng, real, rng.normal(size=(dimension, dimension)))
    b = skewed(rng, fake, rng.normal(size=(dimension, dimension)), shift=0.3)
    ours, _ = frechet_with_error(reference_of(a), b)
    (mean_a, cov_a), (mean_b, cov_b) = statistics(a), statistics(b)
    theirs = fid_statistics_to_metric({"mu": mean_a, "sigma": cov_a}, {"mu": mean_b, "sigma": cov_b}, verbose=False)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert ours == pytest.approx(cleanfid_distance(mean_a, cov_a, mean_b, cov_b), rel=1e-6)


def test_distance_of_commuting_gaussians_is_the_closed_form() -> None:
    variances, others, offset = torch.tensor([4.0, 9.0, 0.0]), torch.tensor([1.0, 16.0, 2.0]), torch.tensor([1.0, 0.0, -2.0])
    reference = Reference.from_moments(torch.zeros(3).double(), torch.diag(variances).double())
    expected = offset.square().sum() + (variances.sqrt() - others.sqrt()).square().sum()
    assert frechet_distance(reference, offset.double(), torch.diag(others).double()) == pytest.approx(float(expected), rel=1e-7)


def test_moments_of_batches_are_the_moments_of_the_whole_even_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(1000, 12)) + 1e6)
    moments = Moments.empty(12)
    for batch in features.split([1, 300, 699]):
        moments.add(batch)
    np.testing.assert_allclose(moments.covariance, np.cov(features.numpy(), rowvar=False), rtol=1e-8, atol=1e-8)
    assert moments.count == 1000


@pytest.mark.parametrize("dimension", [4, 24])
def test_standard_error_is_within_15_percent_of_monte_carlo(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    reference = reference_of(skewed(rng, 5000, rng.normal(size=(dimension, dimension))))
    mixing = rng.normal(size=(dimension, dimension))
    draws = [frechet_with_error(reference, skewed(rng, 1000, mixing)) for _ in range(400)]
    distances, errors = map(np.array, zip(*draws, strict=True))
    assert np.median(errors) == pytest.approx(distances.std(ddof=1), rel=0.15)


def test_features_that_are_not_finite_have_no_distance() -> None:
    features = torch.randn(50, 3)
    reference = reference_of(features.double())
    features[7, 1] = float("nan")
    assert all(np.isnan(frechet_with_error(reference, features)))
