"""Fixed examples: the same images, noise and timesteps for every network that is looked at, so that networks differ and chance
does not.

A band is a range of timesteps; x0[N, C, H, W] in [-1, 1], eps the same shape, t[N], labels[N] or None.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from fidrace.data.base import Data, to_unit_range
from fidrace.errors import InputError
from fidrace.spec.random_streams import Streams
from fidrace.train.diffusion import Diffusion, Network

ALL_TIMESTEPS = "all"  # the band of all timesteps


@dataclass(frozen=True)
class Band:
    """Training examples with timesteps in [low, high)."""

    name: str
    low: int
    high: int
    x0: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor | None

    def loss(self, diffusion: Diffusion, network: Network) -> Tensor:
        """The mean eps-MSE; differentiable."""
        return diffusion.eps_mse(network, self.x0, self.eps, self.t, self.labels).mean()


def edges(T: int, count: int) -> list[tuple[int, int]]:
    """`count` ranges [low, high) of T timesteps, as equal as whole numbers allow; raises InputError where there are fewer
    timesteps."""
    if not 1 <= count <= T:
        raise InputError(f"--bands {count}: there are {T} timesteps")
    ends = np.linspace(0, T, count + 1).round().astype(int)
    return [(int(low), int(high)) for low, high in pairwise(ends)]


def training_bands(data: Data, labelled: bool, T: int, count: int, examples: int, device: torch.device) -> list[Band]:
    """All timesteps, and each of `count` ranges of them, by the same `examples` images and the same noise.

    The images are the first of a shuffled training set, again and again where there are fewer; timesteps are the midpoints of
    equal cells of the range.
    """
    streams = Streams("landscape")
    chosen = streams.order(0, examples, len(data.train))
    x0 = to_unit_range(torch.from_numpy(data.train[chosen])).to(device)
    eps = torch.from_numpy(streams.normal("noise", 0, tuple(x0.shape))).to(device)
    labels = torch.from_numpy(data.train_labels[chosen]).to(device) if labelled else None
    ranges = {ALL_TIMESTEPS: (0, T)} | ({str(k): ends for k, ends in enumerate(edges(T, count))} if count > 1 else {})
    return [
        Band(name, low, high, x0, eps, spread(low, high, examples).to(device), labels) for name, (low, high) in ranges.items()
    ]


def spread(low: int, high: int, count: int) -> Tensor:
    """t[count], at the midpoints of `count` equal cells of [low, high)."""
    return torch.from_numpy((low + (np.arange(count) + 0.5) / count * (high - low)).astype(np.int64))
