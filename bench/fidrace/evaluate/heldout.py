"""The held-out loss: unweighted eps-MSE on one fixed set of (x, t, eps), the same for every method and seed.

Unlike weighted training losses, it can be compared between methods.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fidrace.data.base import Images
from fidrace.spec.random_streams import Streams
from fidrace.train.process_group import ProcessGroup

EpsMse = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x0, eps, t, index of x0 -> eps-MSE [B]


@dataclass(frozen=True)
class HeldoutSet:
    """x0[M, C, H, W] as stored, eps of its shape, t[M] ascending and evenly spread, index[M] of x0 in the held-out images."""

    x0: Tensor
    eps: Tensor
    t: Tensor
    index: Tensor

    @classmethod
    def of(cls, images: Images, T: int, repeats: int) -> "HeldoutSet":
        """Every held-out image `repeats` times, in shuffled order, with t at the midpoints of M equal cells of [0, T)."""
        streams = Streams("heldout")
        index = np.concatenate([streams.at("order", k).permutation(len(images)) for k in range(repeats)])
        eps = streams.normal("noise", 0, (len(index), *images.shape[1:]))
        t = ((np.arange(len(index)) + 0.5) / len(index) * T).astype(np.int64)
        return cls(*(torch.from_numpy(array) for array in (images[index], eps, t, index)))

    @torch.no_grad()
    def loss(self, eps_mse: EpsMse, bins: int, ranks: ProcessGroup, batch: int) -> tuple[float, list[float]]:
        """The mean eps-MSE, and its mean in `bins` equal ranges of t. The ranks share the work."""
        mine = (tensor.tensor_split(ranks.count)[ranks.rank] for tensor in (self.x0, self.eps, self.t, self.index))
        parts = zip(*(tensor.split(batch) for tensor in mine), strict=True)
        loss = ranks.gather(torch.cat([eps_mse(*part) for part in parts])).double().cpu()
        return float(loss.mean()), [float(part.mean()) for part in loss.tensor_split(bins)]
