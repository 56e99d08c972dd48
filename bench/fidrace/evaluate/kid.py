"""The kernel distance (KID, arXiv 1801.01401): the squared MMD of two sets of features under k(x, y) = (x.y / D + 1)^3.

Unlike the Frechet distance's, its estimate is not biased by the number of samples.
"""

from torch import Tensor

SUBSETS = 100
SUBSET = 1000
SEED = 2020  # all three are torch-fidelity's defaults: its own command gives the same number


def kernel_distance(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """KID of generated[N, D] and real[M, D] by torch-fidelity: mean and standard deviation of the unbiased estimates on SUBSETS
    random subsets of SUBSET images (or of min(N, M)). The subsets overlap, so the deviation is no standard error; they are
    the same in every run. NaN for features that are not finite. In evals.csv `real` is Guards.real: as many training images as
    are generated, or half of the guards' images if that is less."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric  # imports torchvision

    if not (generated.isfinite().all() and real.isfinite().all()):
        return float("nan"), float("nan")
    metrics = kid_features_to_metric(
        generated,
        real,
        kid_subsets=SUBSETS,
        kid_subset_size=min(SUBSET, len(generated), len(real)),
        rng_seed=SEED,
        verbose=False,
    )
    return metrics[KEY_METRIC_KID_MEAN], metrics[KEY_METRIC_KID_STD]
