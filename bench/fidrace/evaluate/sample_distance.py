"""The distance of given samples from a reference, as `fidrace fid` and studies of other trainers measure it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fidrace.data.base import quantise
from fidrace.data.images import Bytes
from fidrace.data.loading import load_data
from fidrace.errors import InputError, nearest
from fidrace.evaluate.features import Features, load_features
from fidrace.evaluate.frechet import Moments, Reference, frechet_with_error
from fidrace.evaluate.guards import NEIGHBOURS, Guards, precision_recall
from fidrace.evaluate.image_sets import read_image_set
from fidrace.evaluate.kid import kernel_distance
from fidrace.evaluate.reference import load_reference
from fidrace.evaluate.reference_file import read_reference_file
from fidrace.spec.measurement import INCEPTION_METRICS, QualityConfig
from fidrace.spec.task import load_task, task_names
from fidrace.storage.atomic import Row

WEIGHTS_OF = {"digits": "digits", "mnist": "mnist"}  # the task that names a classifier's weights


@dataclass(frozen=True)
class SampleDistance:
    """What samples are compared with: `features`, the reference's moments, and its images' features, if it has images."""

    metric: str
    features: Features
    reference: Reference
    levels: int = 256
    real: torch.Tensor | None = None
    guards: Guards | None = None

    def measure(self, images: Bytes) -> Row:
        """Columns of evals.csv for bytes [N, C, H, W]: fd, fd_se; with reference images also precision, recall, kid and kid_sd;
        with a task's also memorised. Raises InputError for images that the features cannot take."""
        if len(images) < 2:
            raise InputError("one sample has no covariance: give two or more")
        values = images.astype(np.float32) / 127.5 - 1
        try:
            features = self.features(torch.from_numpy(quantise(values, self.levels)))
        except RuntimeError:
            shape = "x".join(map(str, images.shape[1:]))
            raise InputError(f"the features {self.features.identity.split()[0]!r} take no images of {shape}") from None
        row: Row = dict(zip(("fd", "fd_se"), frechet_with_error(self.reference, features), strict=True))
        if self.guards:
            row |= dict(zip(("precision", "recall"), self.guards.precision_recall(features), strict=True))
            row["memorised"] = self.guards.memorised(features)
        elif self.real is not None and min(len(features), len(self.real)) > NEIGHBOURS:
            count = min(len(features), len(self.real))
            row |= dict(zip(("precision", "recall"), precision_recall(features[:count], self.real[:count]), strict=True))
        if self.real is not None:
            row |= dict(zip(("kid", "kid_sd"), kernel_distance(features, self.real), strict=True))
        return row


def reference_of(ref: str, features: str | None, device: torch.device) -> SampleDistance:
    """The reference that `ref` names: a packaged task (its training images and features), an .npz of mu and sigma, or images.
    Raises InputError, and Missing if data or weights are absent."""
    if ref in task_names():  # ./digits is a folder of that name
        if features:
            raise InputError(f"--features {features}: the task {ref} has its own; omit it")
        return of_task(ref, device)
    path, config = Path(ref), config_of(features or "inception")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder, and no task{nearest(ref, task_names())}")
    loaded = load_features(config, device)
    if path.suffix == ".npz" and "mu" in names_in(path):
        return SampleDistance(config.metric, loaded, Reference.from_moments(*read_reference_file(path, None, loaded.dimension)))
    images = read_image_set(path)
    if len(images) < 2:
        raise InputError(f"{path}: one image has no covariance: a reference has two or more")
    try:
        real = torch.cat([rows for _, rows in loaded.stream(images)])
    except RuntimeError:
        shape = "x".join(map(str, images.shape[1:]))
        raise InputError(f"{path}: the features {config.features!r} take no images of {shape}") from None
    moments = Moments.of(real)
    return SampleDistance(config.metric, loaded, Reference.from_moments(moments.mean, moments.covariance), real=real)


def of_task(name: str, device: torch.device) -> SampleDistance:
    task = load_task(name)
    data, loaded = load_data(task.data), load_features(task.quality, device)
    reference, guards = load_reference(task.quality, data, loaded)
    metric = task.quality.metric.removesuffix("_inf")  # which is not extrapolated here
    return SampleDistance(metric, loaded, reference, data.levels, guards.real, guards)


def config_of(features: str) -> QualityConfig:
    """The measurement by `features` alone."""
    changes: dict[str, Any] = {"metric": INCEPTION_METRICS["tf1"] if features == "inception" else f"fd_{features}"}
    if features in WEIGHTS_OF:
        changes["features_sha256"] = load_task(WEIGHTS_OF[features]).quality.features_sha256
    return QualityConfig(features=features, samples=2, heldout_repeats=1, **changes)  # type: ignore[arg-type]


def names_in(path: Path) -> list[str]:
    """The names of an .npz's arrays; none if it cannot be read, which reading it will say."""
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            return list(file.files)
    except Exception:
        return []
