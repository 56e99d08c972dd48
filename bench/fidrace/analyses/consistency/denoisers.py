"""What trained networks are compared with: untrained networks, and denoisers that are known in closed form.

x[B, C, H, W] is x_t, t[B] scaled to 0..1000 as networks take it; the output is what the process has its networks predict.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from fidrace.data.base import Data, select_images
from fidrace.evaluate.frechet import Moments
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import Task
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion, Network

COVARIANCE_LIMIT = 4096  # numbers in an image, above which no covariance is taken
TRAINING_SET_LIMIT = 10_000_000  # numbers in all training images, above which samples are not compared with each of them
ROWS = 2000  # images at a time
Layer = nn.Conv1d | nn.Conv2d | nn.Linear


def redraw_zero_layers(network: nn.Module, seed: int) -> nn.Module:
    """`network` with every layer whose weights and bias are all zero reset to torch's own random initialisation.

    Our networks begin with zeros at the end of each branch and at the output, so untrained ones are all the same function.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed).integer("outputs"))
        for layer in network.modules():
            if isinstance(layer, Layer) and not any(bool(parameter.any()) for parameter in layer.parameters()):
                layer.reset_parameters()
    return network


def untrained_network(task: Task, data: Data, seed: int, device: torch.device) -> nn.Module:
    """The network that a run of `seed` starts from, with its zero layers redrawn."""
    network = build_network(task.network, data.train.shape[1:], seed, task.diffusion.learned_sigma)
    return redraw_zero_layers(network, seed).to(device).eval()


def network_from_x0(diffusion: Diffusion, x0_of: Callable[[Tensor, int], Tensor]) -> Network:
    """A network of the process whose prediction corresponds to x0 = `x0_of(x, t)`; all of a batch must have one t."""

    def predict(x: Tensor, scaled: Tensor, labels: Tensor | None = None) -> Tensor:
        t = round(float(scaled[0]) * len(diffusion.abar) / 1000)
        signal, noise = float(np.sqrt(diffusion.abar[t])), float(np.sqrt(1 - diffusion.abar[t]))
        x0 = x0_of(x, t)
        eps = (x - signal * x0) / noise
        prediction = {"eps": eps, "x0": x0, "v": signal * eps - noise * x0}[diffusion.prediction]
        return torch.cat([prediction, torch.zeros_like(x)], 1) if diffusion.learned_sigma else prediction

    return predict


def gaussian_denoiser(task: Task, data: Data, diffusion: Diffusion, device: torch.device) -> Network | None:
    """The exact denoiser of normally distributed images with the training images' mean mu and covariance C; None if images
    are too large for a covariance.

    E[x0 | x_t] = mu + a C (a^2 C + s^2 I)^-1 (x_t - a mu), a = sqrt(abar), s^2 = 1 - abar: linear in x_t. Labels are ignored.
    """
    if np.prod(data.train.shape[1:]) > COVARIANCE_LIMIT:
        return None
    moments = training_moments(task, data)
    # over N, not N - 1: the training images are the population here, not a sample of one
    values, basis = torch.linalg.eigh(moments.scatter / moments.count)
    mu, spread, basis = (one.to(device) for one in (moments.mean, values.clamp(min=0), basis))

    def x0_of(x: Tensor, t: int) -> Tensor:
        abar = float(diffusion.abar[t])
        gain = abar**0.5 * spread / (abar * spread + 1 - abar)
        centred = x.flatten(1).double() - abar**0.5 * mu
        return (mu + centred @ basis * gain @ basis.T).float().reshape(x.shape)

    return network_from_x0(diffusion, x0_of)


def exact_denoiser(task: Task, data: Data, diffusion: Diffusion, device: torch.device) -> Network | None:
    """The exact denoiser of the training images themselves, the minimiser of the training loss, whose samples are those
    images; None if they are too many.

    E[x0 | x_t] is their mean, weighted by the softmax of -|x_t - a x0|^2 / (2 s^2). Labels are ignored.
    """
    if data.train.size * (1 + task.data.flip) > TRAINING_SET_LIMIT:
        return None
    images = flatten_images(task, data, np.arange(len(data.train))).to(device)

    def x0_of(x: Tensor, t: int) -> Tensor:
        abar = float(diffusion.abar[t])
        squared = torch.cdist(x.flatten(1).double(), abar**0.5 * images).square()
        weights = torch.softmax(-squared / (2 * (1 - abar)), dim=1)
        return (weights @ images).float().reshape(x.shape)

    return network_from_x0(diffusion, x0_of)


def flatten_images(task: Task, data: Data, rows: np.typing.NDArray[np.intp]) -> Tensor:
    """Training images [len(rows), D] in float64, followed by their mirror images if the task trains on those."""
    images = select_images(data.train, rows).double()
    return torch.cat([images, images.flip(-1)]).flatten(1) if task.data.flip else images.flatten(1)


def training_moments(task: Task, data: Data) -> Moments:
    """Count, mean [D] and scatter [D, D] of the flattened training images."""
    moments = Moments.empty(int(np.prod(data.train.shape[1:])))
    for rows in np.array_split(np.arange(len(data.train)), -(-len(data.train) // ROWS)):
        moments.add(flatten_images(task, data, rows))
    return moments
