"""Difficulty: what is hard to learn at which timestep, over training (open question 1 of arXiv 2404.07946).

The timesteps are cut into C cells of equal length. Of every averaged network that the baseline kept: its held-out eps-MSE in
each cell, on the same images, eps and timesteps for all networks, and the gradient of the eps-MSE in each cell on training
images, as the norm of its expectation and the noise of a batch. In float32, without dropout.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fidrace.analyses.difficulty.plots import difficulty_png
from fidrace.analyses.difficulty.tables import cell_table, findings, network_table
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.trained import finished_runs
from fidrace.console import say
from fidrace.data.base import Data, to_unit_range
from fidrace.data.loading import load_data
from fidrace.errors import InputError, NothingToConclude
from fidrace.evaluate.features import full_precision
from fidrace.execute.local import devices
from fidrace.execute.study_series import StudySeries
from fidrace.method.base import Floats, Ints
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import Task
from fidrace.storage.atomic import Row
from fidrace.train.diffusion import Diffusion

EXAMPLES = 512  # held-out ones in a cell, at least
BATCHES = 8  # independent ones, for a gradient
BATCH = 64  # examples in each of these
AT_A_TIME = 1000  # examples


def check_bands(task: Task, cells: int) -> int:
    """`cells`; raises InputError where they are not at least two of whole timesteps."""
    T = task.diffusion.timesteps
    if not 2 <= cells <= T:
        raise InputError(f"--cells {cells}: the {T} timesteps are cut into at least 2 and at most {T}")
    return cells


def edges(T: int, cells: int) -> Ints:
    """[C + 1]: cell k holds the timesteps from edges[k] up to, and without, edges[k + 1]."""
    return np.round(np.linspace(0, T, cells + 1)).astype(np.int64)


@dataclass(frozen=True)
class Examples:
    """x0[N, C, H, W] in [-1, 1] with their eps, timesteps and labels; N = repeats x images: the same images again and again,
    each time with other eps and timesteps."""

    x0: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor | None
    images: int

    @classmethod
    def heldout(cls, task: Task, data: Data, low: int, high: int, cell: int) -> "Examples":
        """At least EXAMPLES of the cell low..high - 1, its timesteps evenly spread: for a mean with a small error."""
        streams, images = Streams("difficulty"), min(EXAMPLES, len(data.heldout))
        index = np.tile(streams.at("images", cell).permutation(len(data.heldout))[:images], -(-EXAMPLES // images))
        even = low + ((np.arange(len(index)) + 0.5) / len(index) * (high - low)).astype(np.int64)
        t = streams.at("timesteps", cell).permutation(even)
        eps = streams.normal("noise", cell, (len(index), *data.heldout.shape[1:]))
        x0, labels = to_unit_range(torch.from_numpy(data.heldout[index])), data.heldout_labels[index]
        return cls(
            x0, torch.from_numpy(eps), torch.from_numpy(t), torch.from_numpy(labels) if task.network.classes else None, images
        )

    @classmethod
    def training(cls, task: Task, data: Data, low: int, high: int, cell: int, seed: int, count: int) -> "Examples":
        """`count` of them, each drawn independently of all others, with replacement, as the estimates of a gradient need it; by
        streams of the seed, so that the spread over seeds holds the chance in these examples too."""
        streams = Streams(f"difficulty/{seed}")
        index = streams.at("images", cell).integers(len(data.train), size=count)
        x0, labels = to_unit_range(torch.from_numpy(data.train[index])), data.train_labels[index]
        if task.data.flip:
            flips = torch.from_numpy(streams.uniform("flips", cell, count) < 0.5)
            x0 = torch.where(flips[:, None, None, None], x0.flip(-1), x0)
        eps = streams.normal("noise", cell, tuple(x0.shape))
        t = streams.at("timesteps", cell).integers(low, high, size=count)
        return cls(
            x0, torch.from_numpy(eps), torch.from_numpy(t), torch.from_numpy(labels) if task.network.classes else None, count
        )

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
    """The mean eps-MSE and its standard error, which takes images for independent, not their repetitions."""
    parts = examples.split(size, device)
    losses = torch.cat([diffusion.eps_mse(network, *part) for part in parts]).double().cpu()
    per_image = losses.reshape(-1, examples.images).mean(0)
    return float(per_image.mean()), float(per_image.std() / examples.images**0.5)


@dataclass(frozen=True)
class Gradient:
    """`squared`: an unbiased estimate of the squared norm of the expected gradient, which may be negative where that is
    small; `variance`: of the gradient of one example, the trace of its covariance."""

    squared: float
    variance: float

    @property
    def norm(self) -> float:
        """Of the expected gradient; below 0 where the estimate of its square is, so that squares can be averaged."""
        return float(np.copysign(abs(self.squared) ** 0.5, self.squared))

    def noise(self, batch: int) -> float:
        """How far the gradient of a batch lies from its expectation: the root of the mean square."""
        return max(self.variance / batch, 0.0) ** 0.5


def gradient_of(network: nn.Module, diffusion: Diffusion, examples: Examples, device: torch.device, size: int) -> Gradient:
    """From the gradients g_k of K independent batches of `size`: the mean of g_j g_k over all j != k is |E g|^2 without bias,
    as no product is of a batch with itself; the mean of |g_k|^2 less that is the noise of such a batch."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    parts, own = examples.split(size, device), 0.0
    for part in parts:
        loss = diffusion.eps_mse(network, *part).mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        own += float(sum(one.double().square().sum() for one in found))
        total = [sums + one for sums, one in zip(total, found, strict=True)]
    count = len(parts)
    together = float(sum(sums.double().square().sum() for sums in total))
    squared = (together - own) / (count * (count - 1))
    return Gradient(squared, (own / count - squared) * size)


def analyze_difficulty(series: StudySeries, cells: int, device: str) -> Outcome:
    """Look at every kept network of a series; raises InputError, and NothingToConclude where no run finished."""
    task, runs, where = series.task, finished_runs(series), torch.device(devices(device)[0])
    if not runs:
        raise NothingToConclude("no run finished")
    torch.set_num_threads(task.budget.threads)
    data, ends = load_data(task.data), edges(task.diffusion.timesteps, check_bands(task, cells))
    diffusion = runs[0].diffusion(data, where)
    ranges = [(int(low), int(high)) for low, high in zip(ends[:-1], ends[1:], strict=True)]  # noqa: RUF007
    heldout = [Examples.heldout(task, data, *one, cell) for cell, one in enumerate(ranges)]
    say(f"looking at {len(runs)} runs at {len(runs[0].iterations)} evaluations, in {cells} cells")
    rows: list[Row] = []
    for run in runs:
        seed, count = run.spec.seed, BATCHES * BATCH
        batches = [Examples.training(task, data, *one, cell, seed, count) for cell, one in enumerate(ranges)]
        for iteration in run.iterations:
            network = run.network(iteration, data, where)
            with full_precision():
                for cell, (low, high) in enumerate(ranges):
                    loss, error = loss_of(network, diffusion, heldout[cell], where, task.speed.microbatch or AT_A_TIME)
                    gradient = gradient_of(network, diffusion, batches[cell], where, BATCH)
                    rows.append(
                        {
                            "task": task.name,
                            "seed": run.spec.seed,
                            "iteration": iteration,
                            "t": (low + high - 1) / 2,
                            "abar": band_middle(diffusion.abar, low, high),
                            "loss": loss,
                            "loss_se": error,
                            "grad_norm": gradient.norm,
                            "grad_noise": gradient.noise(task.optimizer.batch),
                        }
                    )
    networks = network_table(rows)
    summary = cell_table(networks)
    return Outcome(
        {"difficulty": networks, "difficulty-cells": summary},
        difficulty_png(networks, summary),
        findings(networks, summary),
    )


def band_middle(abar: Floats, low: int, high: int) -> float:
    """abar at the middle of a cell, between two timesteps where it lies there."""
    return float(np.interp((low + high - 1) / 2, np.arange(len(abar)), abar))
