"""Evaluate a run's averaged network: its samples' distance from the training images, the guards, and the held-out loss.

Samples are drawn and turned into features in chunks of the sampler's batch; the ranks of a run share the chunks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fidrace.data.base import Data, quantise, to_unit_range
from fidrace.evaluate.extrapolation import extrapolated_with_error
from fidrace.evaluate.features import load_features
from fidrace.evaluate.frechet import frechet_with_error
from fidrace.evaluate.guards import HeldoutSet
from fidrace.evaluate.kid import kernel_distance
from fidrace.evaluate.reference import load_reference
from fidrace.spec.task import Task
from fidrace.storage.atomic import Row
from fidrace.storage.tables import BINS
from fidrace.train.loop import Training
from fidrace.train.noise import draw_normals
from fidrace.train.sampler import sample

Measure = Callable[[Tensor], Sequence[float]]
DISTANCE = ("fd", "fd_se", "fd_plain")  # the last is that of the samples, if the first is extrapolated
HELDOUT_BATCH = 1000  # held-out images at a time


class Evaluator:
    """The evaluator of one run. All ranks draw samples, and each takes some of the measures."""

    def __init__(self, task: Task, data: Data, training: Training):
        self.task, self.data, self.training = task, data, training
        self.ranks, self.config = training.ranks, task.quality
        self.features = load_features(self.config, training.device)
        self.columns = [
            DISTANCE if self.config.extrapolate else DISTANCE[:2],
            ("precision", "recall"),
            ("memorised",),
            *([("kid", "kid_sd")] if self.config.kid else []),
        ]
        self.measures = self.build_measures(data) if self.ranks.rank < len(self.columns) else []
        self.heldout = HeldoutSet.of(data.heldout, task.diffusion.timesteps, self.config.heldout_repeats)
        self.heldout_labels = torch.from_numpy(data.heldout_labels)

    def build_measures(self, data: Data) -> list[Measure]:
        """For each of `columns` their values from features[N, D]."""
        reference, guards = load_reference(self.config, data, self.features)
        self.distance = partial(extrapolated_with_error if self.config.extrapolate else frechet_with_error, reference)
        self.ceiling = guards.ceiling
        return [
            self.distance,
            guards.precision_recall,
            lambda features: [guards.memorised(features)],
            partial(kernel_distance, real=guards.real),
        ]

    def ceilings(self) -> Row:
        """The precision and recall of real images, columns of runs.csv; {} on other ranks than 0."""
        return dict(zip(("precision_ceiling", "recall_ceiling"), self.ceiling, strict=True)) if self.ranks.is_first else {}

    def measure(self, pause: Callable[[], None]) -> tuple[Row, Tensor]:
        """The measured columns of evals.csv, and the first chunk of the images they were measured on. `pause` is called on all
        ranks before each chunk is drawn, and may raise to stop the evaluation."""
        features, images = self.draw_features(self.config.samples, pause)
        # with microbatches no more images at a time than in training: these activations must fit too
        loss, bins = self.heldout.loss(self.eps_mse, BINS, self.ranks, self.task.speed.microbatch or HELDOUT_BATCH)
        losses = {"val_loss": loss} | {f"val_loss_bin{k}": value for k, value in enumerate(bins)}
        return self.share_measures(features) | losses, images

    def share_measures(self, features: Tensor) -> Row:
        """The columns of all measures, each taken by one rank."""
        turns = [range(rank, len(self.columns), self.ranks.count) for rank in range(self.ranks.count)]
        mine = [value for place in turns[self.ranks.rank] for value in self.measures[place](features)]
        names = [name for turn in turns for place in turn for name in self.columns[place]]
        return dict(zip(names, self.ranks.gather_values(mine), strict=True))

    def measure_final(self, pause: Callable[[], None]) -> Row:
        """The final distance, of `final_samples` samples, too many for every point of the curve; {} if the task asks for none.
        `pause` as for `measure`."""
        if self.config.final_samples is None:
            return {}
        features, _ = self.draw_features(self.config.final_samples, pause)
        if not self.ranks.is_first:
            return {}
        columns = (f"final_{name}" for name in DISTANCE)
        return {"final_samples": self.config.final_samples, **dict(zip(columns, self.distance(features), strict=False))}

    def draw_features(self, count: int, pause: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Features [count, D] of samples of the averaged network, and this rank's first chunk of images, quantised."""
        features, first = [], torch.empty(0)
        for chunk in self.chunks(count):
            pause()
            if chunk is None:
                continue
            images = torch.from_numpy(quantise(self.samples(*chunk).cpu().numpy(), self.data.levels))
            features.append(self.features(images))
            first = first if len(first) else images
        mine = torch.cat(features) if features else torch.empty(0, self.features.dimension, device=self.training.device)
        return self.ranks.gather(mine), first

    def chunks(self, count: int) -> Iterator[tuple[int, int] | None]:
        """Number and size of this rank's chunks of `count` samples. Ends with None if other ranks have one chunk more, so that
        all ranks yield equally often."""
        batch = self.task.sampler.batch
        shares = np.array_split(np.arange(-(-count // batch)), self.ranks.count)
        mine = shares[self.ranks.rank]
        for k in mine:
            yield int(k), min(batch, count - int(k) * batch)
        yield from [None] * (len(shares[0]) - len(mine))

    def samples(self, k: int, size: int) -> Tensor:
        """Draw chunk k, [size, C, H, W]: the same latents, labels and noise for every method of a seed, on any rank."""
        streams, device, classes = self.training.streams, self.training.device, self.task.network.classes
        latents = draw_normals(streams, "latents", k, (size, *self.data.train.shape[1:]), device)
        labels = torch.from_numpy(streams.at("labels", k).integers(classes, size=size)).to(device) if classes else None
        return sample(self.task.sampler, self.training.predict, self.training.diffusion, latents, streams, labels, k)

    def eps_mse(self, x0: Tensor, eps: Tensor, t: Tensor, index: Tensor) -> Tensor:
        device = self.training.device
        labels = self.heldout_labels[index].to(device) if self.task.network.classes else None
        x0, eps, t = (tensor.to(device) for tensor in (x0, eps, t))
        return self.training.diffusion.eps_mse(self.training.predict, to_unit_range(x0), eps, t, labels)
