"""The examples of one step as a method makes them from the batch: paired images and noise, and what the network is to learn.

A method pairs and changes the global batch, so every rank makes all of it, and keeps its slice: any number of ranks trains on
the same examples.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from fidrace.errors import InputError
from fidrace.method.base import Floats, Method
from fidrace.method.composition import Composition
from fidrace.spec.task import Task
from fidrace.train.batches import Batch, Batches
from fidrace.train.diffusion import Diffusion, Examples
from fidrace.train.noise import draw_normals
from fidrace.train.process_group import ProcessGroup


def check_fit(task: Task, method: Composition) -> None:
    """Raise InputError for a method whose hooks do not fit how the task trains."""
    if method.auxiliary.taps and task.microbatch_size() < task.optimizer.batch:
        raise InputError(f"{method.auxiliary}: it looks at the whole batch, and speed.microbatch passes parts of it")
    if "target" in method.claims and task.diffusion.learned_sigma:
        raise InputError(f"{method.target}: it changes the target, and a learned variance is trained beside the usual one")


class Draws:
    """What the hook of one aspect draws in step n besides the batch, independently of others (fidrace.method.base.Draw)."""

    def __init__(self, batches: Batches, n: int, batch: Batch, aspect: str):
        self._batches, self._n, self._shape, self.labels = batches, n, tuple(batch.x0.shape), batch.labels
        self._aspect = aspect

    def normals(self, k: int = 1) -> Tensor:
        return draw_normals(
            self._batches.streams, f"further noise {k} of the {self._aspect}", self._n, self._shape, self._batches.device
        )

    def uniforms(self, k: int = 1) -> Floats:
        return self._batches.streams.uniform(f"further uniforms {k} of the {self._aspect}", self._n, self._shape[0])

    def images(self, count: int) -> Tensor:
        return self._batches.further_images(self._n, count)


def make_examples(
    batch: Batch, t: Tensor, n: int, method: Composition, diffusion: Diffusion, batches: Batches, ranks: ProcessGroup
) -> Examples:
    """The examples of this rank for step n, from its part of the batch or, if the method changes that, from the whole of it;
    t[B] of the whole batch. Raises ValueError if a hook returns what cannot be used."""
    if not method.changes_batch:
        return Examples(batch.x0, batch.eps, ranks.slice_of(t), batch.labels)
    with torch.no_grad():
        with refuse_writes(method.noise, batch.x0, batch.eps):
            order, eps = method.noise.couple(batch.x0, batch.eps, Draws(batches, n, batch, "noise"))
        check(f"{method.noise}: noise", eps, batch.eps)
        x0, labels = batch.x0, batch.labels
        if order is not None:
            places = np.asarray(order)
            if places.dtype.kind not in "iu" or places.shape != t.shape:
                found = f"{places.dtype}{list(places.shape)}"
                raise ValueError(f"{method.noise}: the images' places are {found}, not {len(t)} whole numbers")
            if outside := [int(place) for place in places if not 0 <= place < len(t)]:
                raise ValueError(f"{method.noise}: an image's place is {outside[0]}, not one of 0 to {len(t) - 1}")
            place = torch.from_numpy(places.astype(np.int64)).to(x0.device)
            x0, labels = x0[place], None if labels is None else labels[place]
        whole = Examples(x0, eps, t, labels)
        if "target" in method.claims:
            signal, noise = diffusion.signal[t], diffusion.noise[t]
            with refuse_writes(method.target, x0, eps, signal, noise):
                shown, *wanted = method.target.target(x0, eps, signal, noise, Draws(batches, n, batch, "target"))
            for what, value in zip(("noise of x_t", "target's x0", "target's eps"), (shown, *wanted), strict=True):
                check(f"{method.target}: {what}", value, eps)
            whole = Examples(x0, eps, t, labels, shown, (wanted[0], wanted[1]))
    share = len(t) // ranks.count
    return whole[ranks.rank * share : (ranks.rank + 1) * share]


@contextmanager
def refuse_writes(part: Method, *tensors: Tensor) -> Iterator[None]:
    """Raise ValueError if `part` writes into one of `tensors`, which others read after it. A tensor's version counts writes."""
    before = [tensor._version for tensor in tensors]
    yield
    if before != [tensor._version for tensor in tensors]:
        raise ValueError(f"{part}: it writes into a tensor that it was given; return another one")


def check(what: str, value: object, like: Tensor) -> None:
    """Raise ValueError unless `value` is a finite tensor as `like` is."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} is {type(value).__name__}, not a tensor")
    for name in ("shape", "dtype", "device"):
        if getattr(value, name) != getattr(like, name):
            raise ValueError(f"{what} has {name} {getattr(value, name)}, not {getattr(like, name)}")
    if value.device.type == "cpu" and not value.isfinite().all():  # elsewhere the loss shows it, without waiting here
        raise ValueError(f"{what} is not finite")
