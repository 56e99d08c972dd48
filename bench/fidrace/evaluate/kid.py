"""The kernel distance (KID, arXiv 1801.01401): the squared MMD of two sets of features under k(x, y) = (x.y / D + 1)^3.

Its estimate has no bias in the number of samples, which the Frechet distance has.
"""

from torch import Tensor

SUBSETS = 100
SUBSET = 1000
SEED = 2020  # torch-fidelity's default, as are the two above: its own command gives the same number


def kernel_distance(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Of f[N, D] and f[M, D], by torch-fidelity: the mean of the unbiased estimates on 100 random subsets of 1,000 (or of as
    many as there are), and their standard deviation, which is that of subsets and no standard error: they overlap. NaN
    for features that are not finite. The subsets are drawn alike in every run."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric  # brings torchvision

    if not (generated.isfinite().all() and real.isfinite().all()):
        return float("nan"), float("nan")
    found = kid_features_to_metric(
        generated,
        real,
        kid_subsets=SUBSETS,
        kid_subset_size=min(SUBSET, len(generated), len(real)),
        rng_seed=SEED,
        verbose=False,
    )
    return found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD]


def kid_columns(generated: Tensor, real: Tensor) -> dict[str, float]:
    """The columns of evals.csv. `real` is the guards' (Guards.real): as many training images as are generated, or half of
    those that the guards look at, which are what is kept of a training set too large to keep."""
    return dict(zip(("kid", "kid_sd"), kernel_distance(generated, real), strict=True))
