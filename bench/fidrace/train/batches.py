"""Batches: what chance gives each iteration, on the device in time.

Everything is drawn on the host from streams of (seed, iteration), so that any device sees the same. Where the device is a
GPU, or the images are read from disk, a thread draws ahead and the training loop does not wait.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fidrace.data.base import Data, to_unit_range
from fidrace.method.base import Floats
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import Task
from fidrace.train.process_group import ProcessGroup

RESIDENT = 4 * 2**30  # bytes of training images that go to the device whole
AHEAD = 3  # batches drawn before they are needed


@dataclass(frozen=True)
class HostBatch:
    """This rank's part of a batch on the host: images[b, C, H, W] as they are stored, or where they are on the device their
    places[b]; eps[b, C, H, W]; which of them to flip[b]; labels[b]; uniforms[B] of the whole batch."""

    images: Tensor
    eps: Tensor
    flips: Tensor | None
    labels: Tensor | None
    uniforms: Floats


@dataclass(frozen=True)
class Batch:
    """This rank's x0[b, C, H, W] in [-1, 1], eps the same and labels[b] where the network takes them, on the device;
    uniforms[B] of the whole batch, from which a method draws its timesteps."""

    x0: Tensor
    eps: Tensor
    labels: Tensor | None
    uniforms: Floats


class Batches:
    """The batches of one run."""

    def __init__(self, task: Task, data: Data, streams: Streams, ranks: ProcessGroup):
        self.task, self.data, self.streams, self.ranks, self.device = task, data, streams, ranks, ranks.device
        wanted = task.speed.resident
        resident = data.train.nbytes <= RESIDENT if wanted is None else wanted
        self.images = torch.from_numpy(np.array(data.train)).to(self.device) if resident else None
        ahead = self.device.type == "cuda" or not resident
        self.thread = ThreadPoolExecutor(1, "batches") if ahead else None
        self.pending: deque[tuple[int, Future[HostBatch]]] = deque()

    def at(self, n: int) -> Batch:
        """The batch of iteration n."""
        drawn = self.take_ahead(n) if self.thread else self.draw(n)
        x0 = to_device(drawn.images, self.device)
        x0 = to_unit_range(x0 if self.images is None else self.images[x0])
        if drawn.flips is not None:
            x0 = torch.where(to_device(drawn.flips, self.device)[:, None, None, None], x0.flip(-1), x0)
        labels = None if drawn.labels is None else to_device(drawn.labels, self.device)
        return Batch(x0, to_device(drawn.eps, self.device), labels, drawn.uniforms)

    def draw(self, n: int) -> HostBatch:
        """What iteration n needs of the host."""
        batch, mine = self.task.optimizer.batch, self.ranks.slice_of
        places = mine(self.streams.order(n, batch, len(self.data.train)))
        flips = mine(self.streams.uniform("flips", n, batch) < 0.5) if self.task.data.flip else None
        return HostBatch(
            torch.from_numpy(places if self.images is not None else self.data.train[places]),
            torch.from_numpy(mine(self.streams.normal("noise", n, (batch, *self.data.train.shape[1:])))),
            None if flips is None else torch.from_numpy(flips),
            torch.from_numpy(self.data.train_labels[places]) if self.task.network.classes else None,
            self.streams.uniform("timesteps", n, batch),
        )

    def take_ahead(self, n: int) -> HostBatch:
        """`draw(n)`, most often done already; iterations come one after another, but where a run is taken up."""
        assert self.thread
        if not self.pending or self.pending[0][0] != n:
            self.pending.clear()
        while len(self.pending) < AHEAD:
            step = n + len(self.pending)
            self.pending.append((step, self.thread.submit(self.draw, step)))
        return self.pending.popleft()[1].result()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A host tensor on `device`, without waiting for the device."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
