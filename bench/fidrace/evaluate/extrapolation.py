"""The Frechet distance that infinitely many samples would have.

That of N samples is too large by about b / N, with a b that depends on the network (Chong and Forsyth, CVPR 2020,
arXiv 1911.07023): a line through distances of fewer samples, at 1/N = 0, has no such bias. They draw subsets at random; here
the samples are cut into equal parts, so that all of them count at every size.
"""

import numpy as np
from torch import Tensor

from fidrace.evaluate.frechet import Moments, Reference, frechet_distance, frechet_with_error

PARTS = (1, 2, 4)
FEWEST = 8  # times the dimension of the features: below, the parts are too small for a line (docs/statistics.md)


def extrapolated_with_error(reference: Reference, features: Tensor) -> tuple[float, float, float]:
    """The distance of features[N, D] extrapolated to infinitely many, its standard error, and the distance of the N.

    The error is that of the N: to first order both have the same influence function. NaN for features that are not finite.
    """
    plain, error = frechet_with_error(reference, features)
    if np.isnan(plain):
        return plain, error, plain
    means = [plain, *(mean_distance(reference, features, parts) for parts in PARTS[1:])]
    return float(np.polynomial.polynomial.polyfit(PARTS, means, 1)[0]), error, plain


def mean_distance(reference: Reference, features: Tensor, parts: int) -> float:
    """The mean distance of equal parts of features[N, D]."""
    moments = [Moments.of(part) for part in features.tensor_split(parts)]
    return float(np.mean([frechet_distance(reference, one.mean, one.covariance) for one in moments]))
