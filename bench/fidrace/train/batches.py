"""The batch of each iteration: images, noise, labels and uniforms.

Everything is drawn on the host from streams of (seed, iteration), and noise of (seed, iteration, example): every device sees
the same, whatever the number of ranks. Of noise the host draws bits, from which the device makes normals. If the device is a
GPU or the images are read from disk, a thread draws ahead so that the training loop does not wait.
"""

import math
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
from fidrace.train.noise import to_normals
from fidrace.train.process_group import ProcessGroup

MAX_RESIDENT = 4 * 2**30  # bytes of training images up to which all of them are kept on the device
AHEAD = 3  # batches drawn before they are needed


@dataclass(frozen=True)
class HostBatch:
    """This rank's part of a batch on the host: `images` as stored, [b, C, H, W], or their indices [b] if all images are on the
    device; bits[b, S] of the noise; flips[b], True for images to mirror; labels[b]; uniforms[B] of the whole batch."""

    images: Tensor
    bits: Tensor
    flips: Tensor | None
    labels: Tensor | None
    uniforms: Floats


@dataclass(frozen=True)
class Batch:
    """x0[b, C, H, W] in [-1, 1] of this rank or of the whole batch, eps of its shape and labels[b] (None without classes), on
    the device; uniforms[B] of the whole batch, from which a method draws its timesteps."""

    x0: Tensor
    eps: Tensor
    labels: Tensor | None
    uniforms: Floats


class Batches:
    """The batches of one run; `whole`: each rank makes all of every batch, and not its part alone. `read` counts the images
    that were read besides."""

    def __init__(self, task: Task, data: Data, streams: Streams, ranks: ProcessGroup, whole: bool = False):
        self.task, self.data, self.streams, self.device = task, data, streams, ranks.device
        self.ranks = ProcessGroup(ranks.device) if whole else ranks
        self.read = 0
        asked = task.speed.resident
        resident = data.train.nbytes <= MAX_RESIDENT if asked is None else asked
        self.images = torch.from_numpy(np.array(data.train)).to(self.device) if resident else None
        ahead = self.device.type == "cuda" or not resident
        self.thread = ThreadPoolExecutor(1, "batches") if ahead else None
        self.pending: deque[tuple[int, Future[HostBatch]]] = deque()

    def at(self, n: int) -> Batch:
        """The batch of iteration n."""
        host = self.next_host_batch(n) if self.thread else self.draw_host_batch(n)
        x0 = to_device(host.images, self.device)
        x0 = to_unit_range(x0 if self.images is None else self.images[x0])
        if host.flips is not None:
            x0 = torch.where(to_device(host.flips, self.device)[:, None, None, None], x0.flip(-1), x0)
        labels = None if host.labels is None else to_device(host.labels, self.device)
        return Batch(x0, to_normals(to_device(host.bits, self.device), tuple(x0.shape[1:])), labels, host.uniforms)

    def further_images(self, n: int, count: int) -> Tensor:
        """x0[count, C, H, W] of `count` training images that are not in the batch of iteration n, each once, unflipped. Raises
        ValueError if there are not so many."""
        size = len(self.data.train)
        others = np.setdiff1d(np.arange(size), self.streams.order(n, self.task.optimizer.batch, size))
        if count > len(others):
            raise ValueError(f"{count} further images: the data have {len(others)} besides the batch")
        index = self.streams.at("further images", n).permutation(others)[:count]
        self.read += count
        if self.images is not None:
            return to_unit_range(self.images[to_device(torch.from_numpy(index), self.device)])
        return to_unit_range(to_device(torch.from_numpy(self.data.train[index]), self.device))

    def draw_host_batch(self, n: int) -> HostBatch:
        """Draw the batch of iteration n on the host."""
        batch, mine = self.task.optimizer.batch, self.ranks.slice_of
        index = mine(self.streams.order(n, batch, len(self.data.train)))
        flips = mine(self.streams.uniform("flips", n, batch) < 0.5) if self.task.data.flip else None
        bits = self.streams.bits("noise", n, len(index), math.prod(self.data.train.shape[1:]), self.ranks.rank * len(index))
        return HostBatch(
            torch.from_numpy(index if self.images is not None else self.data.train[index]),
            torch.from_numpy(bits),
            None if flips is None else torch.from_numpy(flips),
            torch.from_numpy(self.data.train_labels[index]) if self.task.network.classes else None,
            self.streams.uniform("timesteps", n, batch),
        )

    def next_host_batch(self, n: int) -> HostBatch:
        """The result of draw_host_batch(n), which the thread has usually drawn already. Iterations are consecutive, except when
        a run resumes."""
        assert self.thread
        if not self.pending or self.pending[0][0] != n:
            self.pending.clear()
        while len(self.pending) < AHEAD:
            step = n + len(self.pending)
            self.pending.append((step, self.thread.submit(self.draw_host_batch, step)))
        return self.pending.popleft()[1].result()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to `device` without waiting for the device."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
