"""Interpolation: the held-out loss on the straight line through two networks, a little beyond them at both ends.

theta(alpha) = (1 - alpha) A + alpha B, after Goodfellow et al. (arXiv 1412.6544). The barrier is by how much the loss between
A and B rises above the line through its values at them (arXiv 1912.05671's instability, which takes the mean of the two).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from fidrace.analyses.trained import TrainedRun
from fidrace.method.base import Floats

ALPHAS = np.arange(-5, 26) / 20
Loss = Callable[[nn.Module], tuple[float, list[float]]]  # of a network: over all timesteps, and by band


@dataclass(frozen=True)
class KeptNetwork:
    """A network that a run kept at an iteration."""

    run: TrainedRun
    iteration: int

    @property
    def name(self) -> str:
        return f"{self.run.name} at {self.iteration}"


@dataclass(frozen=True)
class NetworkPair:
    """The two ends of a line; `kind` says what they share."""

    kind: str
    a: KeptNetwork
    b: KeptNetwork


def choose_pairs(starts: list[TrainedRun], orders: list[TrainedRun]) -> list[NetworkPair]:
    """The pairs to interpolate. `starts` are runs of several seeds; `orders` are runs with the first one's initial weights and
    the data order of another seed.

    seeds: neighbours among `starts`, which share nothing. order: the first and each of `orders`, which share their start.
    start, early: each run's first network, or that of its first evaluation in training, and its last.
    """
    first, last = starts[0], starts[0].iterations[-1]
    seeds = [NetworkPair("seeds", KeptNetwork(a, last), KeptNetwork(b, last)) for a, b in pairwise(starts)]
    order = [NetworkPair("order", KeptNetwork(first, last), KeptNetwork(b, last)) for b in orders]
    along = [
        NetworkPair(kind, KeptNetwork(run, run.iterations[place]), KeptNetwork(run, last))
        for place, kind in enumerate(("start", "early"))
        for run in starts
        if run.iterations[place] < last
    ]
    return [*seeds, *order, *along]


def interpolate(a: nn.Module, b: nn.Module, alpha: float) -> nn.Module:
    """A network with the weights (1 - alpha) a + alpha b."""
    mixed = deepcopy(a)
    with torch.no_grad():
        for weight, other in zip(mixed.parameters(), b.parameters(), strict=True):
            weight.copy_((1 - alpha) * weight + alpha * other)
    return mixed


def losses_on_line(a: nn.Module, b: nn.Module, loss: Loss) -> tuple[Floats, Floats]:
    """The loss at each of ALPHAS [A], and by band [A, bands]."""
    measured = [loss(interpolate(a, b, float(alpha))) for alpha in ALPHAS]
    return np.array([whole for whole, _ in measured]), np.array([by_band for _, by_band in measured])


def barrier(alphas: Floats, loss: Floats) -> tuple[float, float]:
    """How far loss[A] rises above the line through its values at alpha 0 and 1, and at which alpha between them; 0 if it does
    not."""
    ends = np.interp([0.0, 1.0], alphas, loss)
    inside = (alphas >= 0) & (alphas <= 1)
    above = np.where(inside, loss - ((1 - alphas) * ends[0] + alphas * ends[1]), -np.inf)
    highest = int(above.argmax())
    return max(0.0, float(above[highest])), float(alphas[highest])


def weight_distance(a: nn.Module, b: nn.Module) -> float:
    """The Euclidean norm of the difference between the weights."""
    pairs = zip(weights(a), weights(b), strict=True)
    return float(sum((one - other).double().square().sum() for one, other in pairs) ** 0.5)


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in network.parameters()]
