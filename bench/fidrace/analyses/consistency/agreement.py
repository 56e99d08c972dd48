"""Agreement: how alike are the images that two generators make of the same latents?

x_a[N, D], x_b[N, D] are what generators a and b make of the same N latents, as pixels or as features; distance[N, N] lies
between image i of a and image j of b. The score is ours: arXiv 2404.07946 shows pictures and publishes no formula.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fidrace.errors import InputError
from fidrace.method.base import Floats, Ints

RESAMPLES = 1000
FEWEST_LATENTS = 16  # with fewer an interval over them means little


def check_latents(latents: int) -> int:
    """`latents`; raises InputError if they are too few for an interval over them."""
    if latents < FEWEST_LATENTS:
        raise InputError(f"--latents {latents}: the interval over latents needs at least {FEWEST_LATENTS}")
    return latents


@dataclass(frozen=True)
class Agreement:
    """`shared`, `different`: mean distance between images of the same latent, and of different ones; `matched`: the share of
    images whose nearest neighbour among the other generator's has the same latent (by chance 1 / N); `resampled[R]`: the score
    on each bootstrap resample of the latents."""

    shared: float
    different: float
    matched: float
    resampled: Floats

    @property
    def score(self) -> float:
        """0: the same function; 1: a shared latent carries no information; NaN if all images are the same."""
        return self.shared / self.different if self.different else float("nan")


def pairwise_distances(a: Tensor, b: Tensor) -> Floats:
    """[N, N], Euclidean, in float64 and from differences, so that equal images are exactly 0 apart."""
    rows, columns = (images.flatten(1).double() for images in (a, b))
    return torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()


def draw_resamples(latents: int, generator: np.random.Generator, count: int = RESAMPLES) -> Floats:
    """How often each of `latents` is drawn, [count, latents]. All pairs of generators share one draw, so that differences
    between scores have intervals too."""
    return generator.multinomial(latents, np.full(latents, 1 / latents), size=count).astype(np.float64)


def measure_agreement(distance: Floats, resamples: Floats) -> Agreement:
    """From distance[N, N] and `resamples` [R, N] of the N latents."""
    same, count = np.diag(distance), len(distance)
    nearest = [(distance.argmin(axis) == np.arange(count)).mean() for axis in (0, 1)]
    # a latent drawn twice is not a pair of different ones: its products with itself leave both sums
    products = (resamples @ distance * resamples).sum(1) - resamples**2 @ same
    with np.errstate(invalid="ignore", divide="ignore"):
        different = products / (count**2 - (resamples**2).sum(1))
        resampled = (resamples @ same) / count / different
    mean_different = (distance.sum() - same.sum()) / (count * (count - 1))
    return Agreement(float(same.mean()), float(mean_different), float(np.mean(nearest)), resampled)


def percentile_interval(resampled: Floats) -> tuple[float, float]:
    """The 95 % interval: percentiles 2.5 and 97.5 of resampled[R]."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


def derangement(count: int, generator: np.random.Generator) -> Ints:
    """A permutation of `count` without a fixed point: one cycle through all of them in random order."""
    order = generator.permutation(count)
    moved = np.empty_like(order)
    moved[order] = np.roll(order, 1)
    return moved
