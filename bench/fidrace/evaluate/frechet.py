"""The Frechet distance between two sets of features seen as Gaussians, and its standard error.

f[N, D] features; mean[D] and covariance[D, D] their moments (unbiased, as numpy.cov). Everything in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Eigenvalues below this share of the largest are rounding, not spread: a covariance of N features in D > N dimensions
# has only N - 1 directions.
RANK_TOLERANCE = 1e-12


@dataclass
class Moments:
    """Count, mean[D] and scatter[D, D] (sum of outer products about the mean) of features, added in batches."""

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def empty(cls, dimension: int) -> "Moments":
        return cls(0, torch.zeros(dimension, dtype=torch.float64), torch.zeros(dimension, dimension, dtype=torch.float64))

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        moments = cls.empty(features.shape[1])
        moments.add(features)
        return moments

    def add(self, features: Tensor) -> None:
        """Add features[N, D] by the pairwise update of Chan, Golub and LeVeque (1979), which never subtracts large sums."""
        f = features.detach().to("cpu", torch.float64)
        mean, total = f.mean(0), self.count + len(f)
        centred, shift = f - mean, mean - self.mean
        self.scatter += centred.T @ centred + torch.outer(shift, shift) * (self.count * len(f) / total)
        self.mean = self.mean + shift * (len(f) / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        return self.scatter / (self.count - 1)


@dataclass(frozen=True)
class Reference:
    """Moments of the real features, with the factor L[D, R] of their covariance, L L^T = covariance, R its rank."""

    mean: Tensor
    covariance: Tensor
    factor: Tensor

    @classmethod
    def from_moments(cls, mean: Tensor, covariance: Tensor) -> "Reference":
        values, vectors = torch.linalg.eigh(covariance)
        kept = values > RANK_TOLERANCE * values[-1]
        return cls(mean, covariance, vectors[:, kept] * values[kept].sqrt())


def frechet_distance(reference: Reference, mean: Tensor, covariance: Tensor) -> float:
    """|m - m_r|^2 + tr(S) + tr(S_r) - 2 tr((S_r S)^1/2), the last through the eigenvalues of L^T S L (symmetric)."""
    values = torch.linalg.eigvalsh(reference.factor.T @ covariance @ reference.factor)
    return distance_from(reference, mean, covariance, values)


def distance_from(reference: Reference, mean: Tensor, covariance: Tensor, values: Tensor) -> float:
    """The same from the eigenvalues of L^T S L."""
    offset = (mean - reference.mean).square().sum()
    return float(offset + covariance.trace() + reference.covariance.trace() - 2 * values.clamp(min=0).sqrt().sum())


def frechet_with_error(reference: Reference, features: Tensor) -> tuple[float, float]:
    """The distance of features[N, D] from the reference, and its standard error over draws of the N features.

    The error is that of the influence function: IF(f) = 2 (m - m_r).(f - m) + (f - m)^T (I - A) (f - m) - tr((I - A) S),
    where A = L (L^T S L)^-1/2 L^T is the transport map from S to S_r, so that -A is the gradient of
    -2 tr((S_r S)^1/2) in S. The reference is taken as known. NaN for features that are not finite.
    """
    if not features.isfinite().all():
        return float("nan"), float("nan")
    moments = Moments.of(features)
    mean, covariance = moments.mean, moments.covariance
    values, vectors = torch.linalg.eigh(reference.factor.T @ covariance @ reference.factor)
    kept = values > RANK_TOLERANCE * values[-1]
    directions = reference.factor @ vectors[:, kept] * values[kept] ** -0.25  # A = directions directions^T
    centred = features.detach().to("cpu", torch.float64) - mean
    linear = 2 * centred @ (mean - reference.mean)
    quadratic = centred.square().sum(1) - (centred @ directions).square().sum(1)
    error = (linear + quadratic).std() / len(features) ** 0.5
    return distance_from(reference, mean, covariance, values), float(error)
