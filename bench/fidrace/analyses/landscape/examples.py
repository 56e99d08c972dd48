"""Fixed training examples: every network gets the same images, noise and timesteps, so that differences are the networks'.

A band is a range of timesteps; x0[N, C, H, W] in [-1, 1], eps of the same shape, t[N], labels[N] or None.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fidrace.analyses.timesteps import space_evenly, split_timesteps
from fidrace.data.base import Data, select_images
from fidrace.spec.random_streams import Streams
from fidrace.train.diffusion import Diffusion, Network
from fidrace.train.noise import draw_normals

ALL_TIMESTEPS = "all"  # the name of the band that holds all of them


@dataclass(frozen=True)
class BandExamples:
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


def training_examples(
    data: Data, labelled: bool, T: int, bands: int, examples: int, device: torch.device
) -> list[BandExamples]:
    """`examples` images with one noise each, in all timesteps, and in each of `bands` ranges of them if there are several.

    The images are the first of a shuffled training set, which is repeated if it has fewer; timesteps are evenly spaced.
    """
    streams = Streams("landscape")
    chosen = streams.order(0, examples, len(data.train))
    x0 = select_images(data.train, chosen).to(device)
    eps = draw_normals(streams, "noise", 0, tuple(x0.shape), device)
    labels = torch.from_numpy(data.train_labels[chosen]).to(device) if labelled else None
    ranges = {ALL_TIMESTEPS: (0, T)}
    if bands > 1:
        ranges |= {str(k): ends for k, ends in enumerate(split_timesteps(T, bands))}
    return [
        BandExamples(name, low, high, x0, eps, torch.from_numpy(space_evenly(low, high, examples)).to(device), labels)
        for name, (low, high) in ranges.items()
    ]
