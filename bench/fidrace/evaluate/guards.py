"""What the Frechet distance does not see: precision, recall, and samples that repeat training images.

f[N, D] features, in the task's feature network. Precision and recall are torch-fidelity's (k-nearest-neighbour balls,
arXiv 1904.06991), with as many generated images as real ones.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fidrace.spec.random_streams import Streams
from fidrace.storage.tables import REAL_MEMORISED

NEIGHBOURS = 3
CHUNK = 10_000


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Of f[N, D] and f[N, D]: the share of generated images inside the real ones' balls, and of real inside theirs."""
    from torch_fidelity.metric_prc import prc_features_to_metric  # brings torchvision along: late, and once a process

    options = {"prc_neighborhood": NEIGHBOURS, "prc_batch_size": CHUNK, "save_cpu_ram": False, "verbose": False}
    found = prc_features_to_metric(generated, real, **options)
    precision, recall = (round(found[name] * len(real)) / len(real) for name in ("precision", "recall"))  # from float32
    return precision, recall


def nearest_distance(features: Tensor, others: Tensor) -> Tensor:
    """The distance[N] (L2) of each of features[N, D] from the nearest of others[M, D]."""
    return torch.cat([torch.cdist(part, others).amin(1) for part in features.split(CHUNK)])


@dataclass(frozen=True)
class Guards:
    """What generated features are held against: `real[N, D]`, N images drawn from the training set, the same for every
    run; `ceiling`, the precision and recall of N others of them; all of train[M, D]; `bound`, the distance from train
    within which a sample counts as memorised."""

    real: Tensor
    ceiling: tuple[float, float]
    train: Tensor
    bound: float

    @classmethod
    def of(cls, train: Tensor, heldout: Tensor, samples: int) -> "Guards":
        """N is `samples`, or half the training set where that is less, so that the ceiling's images are others."""
        count = min(samples, len(train) // 2)
        order = torch.from_numpy(Streams("guards").at("order").permutation(len(train)))
        real, others = train[order[:count]], train[order[count : 2 * count]]
        bound = torch.quantile(nearest_distance(heldout, train), REAL_MEMORISED)
        return cls(real, precision_recall(others, real), train, float(bound))

    def measure(self, features: Tensor) -> dict[str, float]:
        """precision and recall of the first N of features, and the share memorised of all; NaN where any is not finite."""
        if not features.isfinite().all():
            return dict.fromkeys(("precision", "recall", "memorised"), float("nan"))
        precision, recall = precision_recall(features[: len(self.real)], self.real)
        memorised = (nearest_distance(features, self.train) < self.bound).double().mean()
        return {"precision": precision, "recall": recall, "memorised": float(memorised)}
