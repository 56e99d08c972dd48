"""Guards against what the Frechet distance does not see: precision, recall, samples that repeat training images, and the
held-out loss, which weighted training losses cannot replace because they do not compare between methods.

f[N, D] features, in the task's feature network. Precision and recall (k-nearest-neighbour balls, arXiv 1904.06991) are those
of torch-fidelity, whose import would take longer than a short run; they use as many generated images as real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fidrace.data.base import Images
from fidrace.spec.random_streams import Streams
from fidrace.storage.tables import REAL_MEMORISED
from fidrace.train.noise import draw_normals
from fidrace.train.process_group import ProcessGroup

EpsMse = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x0, eps, t, index of x0 -> eps-MSE [B]
NEIGHBOURS = 3
CHUNK = 10_000


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """The share of generated[N, D] inside the balls of real[N, D], and of real inside the balls of generated."""
    apart = distances(real, generated)
    recall = (ball_radii(generated) >= apart).any(1)
    precision = (ball_radii(real) >= apart.T).any(1)
    return float(precision.double().mean()), float(recall.double().mean())


def ball_radii(centres: Tensor) -> Tensor:
    """The distance [N] of each of centres[N, D] to its NEIGHBOURS-th nearest neighbour among the others."""
    return distances(centres, centres).kthvalue(NEIGHBOURS + 1).values


def distances(features: Tensor, others: Tensor) -> Tensor:
    """The L2 distances [N, M] of features[N, D] to others[M, D], on the CPU; bit for bit torch-fidelity's, with its chunks."""
    parts = [torch.cat([torch.cdist(part, other).cpu() for other in others.split(CHUNK)], 1) for part in features.split(CHUNK)]
    return torch.cat(parts)


def nearest_distance(features: Tensor, others: Tensor) -> Tensor:
    """The L2 distance [N] of each of features[N, D] to the nearest of others[M, D]."""
    return torch.cat([torch.cdist(part, others).amin(1) for part in features.split(CHUNK)])


@dataclass(frozen=True)
class Guards:
    """What generated features are compared with: real[N, D], a sample of the training images, the same for every run;
    `ceiling`, precision and recall of N other training images; all of train[M, D]; `bound`, the distance from train below
    which a sample counts as memorised."""

    real: Tensor
    ceiling: tuple[float, float]
    train: Tensor
    bound: float

    @classmethod
    def of(cls, train: Tensor, heldout: Tensor, samples: int) -> "Guards":
        """N is `samples`, or half the training set if that is less, so that the ceiling has N images of its own."""
        count = min(samples, len(train) // 2)
        order = torch.from_numpy(Streams("guards").at("order").permutation(len(train)))
        real, others = train[order[:count]], train[order[count : 2 * count]]
        bound = torch.quantile(nearest_distance(heldout, train), REAL_MEMORISED)
        return cls(real, precision_recall(others, real), train, float(bound))

    def precision_recall(self, features: Tensor) -> tuple[float, float]:
        """Precision and recall of the first N features; NaN if any feature is not finite."""
        if not features.isfinite().all():
            return float("nan"), float("nan")
        return precision_recall(features[: len(self.real)], self.real)

    def memorised(self, features: Tensor) -> float:
        """The share of features that counts as memorised; NaN if any feature is not finite."""
        if not features.isfinite().all():
            return float("nan")
        return float((nearest_distance(features, self.train) < self.bound).double().mean())


@dataclass(frozen=True)
class HeldoutSet:
    """One set of x0[M, C, H, W] as stored, t[M] ascending and evenly spread, and index[M] of x0 in the held-out images, with
    noise of M examples: the same for every method and seed."""

    x0: Tensor
    t: Tensor
    index: Tensor
    streams: Streams

    @classmethod
    def of(cls, images: Images, T: int, repeats: int) -> "HeldoutSet":
        """Every held-out image `repeats` times, in shuffled order, with t at the midpoints of M equal cells of [0, T)."""
        streams = Streams("heldout")
        index = np.concatenate([streams.at("order", k).permutation(len(images)) for k in range(repeats)])
        t = ((np.arange(len(index)) + 0.5) / len(index) * T).astype(np.int64)
        return cls(torch.from_numpy(images[index]), torch.from_numpy(t), torch.from_numpy(index), streams)

    @torch.no_grad()
    def loss(self, eps_mse: EpsMse, bins: int, ranks: ProcessGroup, batch: int) -> tuple[float, list[float]]:
        """The mean eps-MSE, and its mean in `bins` equal ranges of t. The ranks share the work, and each draws the noise of its
        part."""
        mine = torch.arange(len(self.t)).tensor_split(ranks.count)[ranks.rank]
        losses = [eps_mse(self.x0[rows], self.noise(rows), self.t[rows], self.index[rows]) for rows in mine.split(batch)]
        loss = ranks.gather(torch.cat(losses)).double().cpu()
        return float(loss.mean()), [float(part.mean()) for part in loss.tensor_split(bins)]

    def noise(self, rows: Tensor) -> Tensor:
        """The noise of successive `rows`."""
        return draw_normals(self.streams, "noise", 0, (len(rows), *self.x0.shape[1:]), first=int(rows[0]) if len(rows) else 0)
