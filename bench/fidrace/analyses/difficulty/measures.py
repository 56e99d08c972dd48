"""What is measured of a network in one band of timesteps: its held-out loss, and the gradient of its loss.

Examples are x0[N, C, H, W] in [-1, 1], eps of the same shape, t[N] in [low, high), labels[N] or None.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fidrace.analyses.timesteps import space_evenly
from fidrace.data.base import Data, select_images
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import Task
from fidrace.train.diffusion import Diffusion
from fidrace.train.noise import draw_normals

HELDOUT_EXAMPLES = 512  # in a band, at least


@dataclass(frozen=True)
class Examples:
    """N = repeats x images: every repeat has the same images, with other eps and timesteps."""

    x0: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor | None
    images: int

    @classmethod
    def heldout(cls, task: Task, data: Data, low: int, high: int, band: int) -> "Examples":
        """At least HELDOUT_EXAMPLES with evenly spaced timesteps, so that their mean has a small error."""
        streams, images = Streams("difficulty"), min(HELDOUT_EXAMPLES, len(data.heldout))
        index = np.tile(streams.at("images", band).permutation(len(data.heldout))[:images], -(-HELDOUT_EXAMPLES // images))
        t = streams.at("timesteps", band).permutation(space_evenly(low, high, len(index)))
        eps = draw_normals(streams, "noise", band, (len(index), *data.heldout.shape[1:]))
        x0, labels = select_images(data.heldout, index), data.heldout_labels[index]
        return cls(x0, eps, torch.from_numpy(t), torch.from_numpy(labels) if task.network.classes else None, images)

    @classmethod
    def training(cls, task: Task, data: Data, low: int, high: int, band: int, seed: int, count: int) -> "Examples":
        """`count` examples, drawn independently and with replacement, as the estimates of a gradient need them. Each seed has
        its own, so that the spread over seeds includes the chance in these examples."""
        streams = Streams(f"difficulty/{seed}")
        index = streams.at("images", band).integers(len(data.train), size=count)
        x0, labels = select_images(data.train, index), data.train_labels[index]
        if task.data.flip:
            flips = torch.from_numpy(streams.uniform("flips", band, count) < 0.5)
            x0 = torch.where(flips[:, None, None, None], x0.flip(-1), x0)
        eps = draw_normals(streams, "noise", band, tuple(x0.shape))
        t = streams.at("timesteps", band).integers(low, high, size=count)
        return cls(x0, eps, torch.from_numpy(t), torch.from_numpy(labels) if task.network.classes else None, count)

    def split(self, size: int, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        """Parts of at most `size` examples, on the device."""
        places = torch.arange(len(self.t)).split(size)
        tensors = (self.x0, self.eps, self.t)
        return [
            (*(one[part].to(device) for one in tensors), None if self.labels is None else self.labels[part].to(device))  # type: ignore[misc]
            for part in places
        ]


@torch.no_grad()
def loss_of(
    network: nn.Module, diffusion: Diffusion, examples: Examples, device: torch.device, size: int
) -> tuple[float, float]:
    """The mean eps-MSE and its standard error, which treats images, not their repeats, as independent."""
    parts = examples.split(size, device)
    losses = torch.cat([diffusion.eps_mse(network, *part) for part in parts]).double().cpu()
    per_image = losses.reshape(-1, examples.images).mean(0)
    return float(per_image.mean()), float(per_image.std() / examples.images**0.5)


@dataclass(frozen=True)
class Gradient:
    """`squared`: an unbiased estimate of the squared norm of the expected gradient, so negative at times if that norm is
    small; `variance`: the trace of the covariance of one example's gradient."""

    squared: float
    variance: float

    @property
    def norm(self) -> float:
        """Of the expected gradient; negative if the estimate of its square is, so that squares can be averaged."""
        return float(np.copysign(abs(self.squared) ** 0.5, self.squared))

    def noise(self, batch: int) -> float:
        """The root mean square distance of a batch's gradient from its expectation."""
        return max(self.variance / batch, 0.0) ** 0.5


def gradient_of(network: nn.Module, diffusion: Diffusion, examples: Examples, device: torch.device, size: int) -> Gradient:
    """From the gradients g_k of K independent batches of `size`: the mean of g_j g_k over all j != k is |E g|^2 without bias,
    as no product is of a batch with itself; the mean of |g_k|^2 less that is the noise of such a batch."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    parts, own = examples.split(size, device), 0.0
    for part in parts:
        loss = diffusion.eps_mse(network, *part).mean()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        own += float(sum(one.double().square().sum() for one in gradients))
        total = [sums + one for sums, one in zip(total, gradients, strict=True)]
    count = len(parts)
    together = float(sum(sums.double().square().sum() for sums in total))
    squared = (together - own) / (count * (count - 1))
    return Gradient(squared, (own / count - squared) * size)
