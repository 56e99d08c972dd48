"""What generated images are compared with: the moments of the training images' features, and the guards' features.

Both need one pass over the training images. If the data have a folder, the result is cached there as safetensors, together
with facts that state what it was computed from; a damaged file, or one with other facts, is computed again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch

from fidrace.data.base import Data
from fidrace.evaluate.features import Features
from fidrace.evaluate.frechet import Moments, Reference
from fidrace.evaluate.guards import NEIGHBOURS, Guards
from fidrace.evaluate.reference_file import read_reference_file
from fidrace.method.base import Ints
from fidrace.spec.measurement import QualityConfig
from fidrace.spec.random_streams import Streams
from fidrace.storage import checked_tensors as sealed
from fidrace.storage.checked_tensors import Tensors
from fidrace.storage.tables import REAL_MEMORISED

Facts = dict[str, Any]
FORMAT = 1  # of the cached file; a new number invalidates all cached files


def load_reference(config: QualityConfig, data: Data, features: Features) -> tuple[Reference, Guards]:
    """The reference moments, from the task's published file if it names one, and the guards, always from the data.

    Raises InputError if the published file cannot be used."""
    published = config.reference and read_reference_file(config.reference, config.reference_sha256 or None, features.dimension)
    tensors = load_or_compute(config, data, features)
    guards = Guards(
        tensors["real"].to(features.device),
        (float(tensors["ceiling"][0]), float(tensors["ceiling"][1])),
        tensors["train"].to(features.device),
        float(tensors["bound"]),
    )
    if published:
        return Reference.from_moments(*published), guards
    return Reference(tensors["mean"], tensors["covariance"], tensors["factor"]), guards


def load_or_compute(config: QualityConfig, data: Data, features: Features) -> Tensors:
    """compute_tensors, cached in the data's folder if there is one; concurrent runs compute it once."""
    if data.folder is None:
        return compute_tensors(config, data, features)
    facts = facts_of(config, data, features)
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    path = data.folder / f"reference-{name[:32]}.safetensors"
    data.folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")):
        tensors = read_cached(path, facts)
        if tensors is None:
            tensors = compute_tensors(config, data, features)
            sealed.write(path, tensors, facts)
    return tensors


def facts_of(config: QualityConfig, data: Data, features: Features) -> Facts:
    """Everything that the tensors depend on."""
    return {
        "format": FORMAT,
        "features": features.identity,
        "data": data.sha256,
        "moments": config.reference is None,
        "guard_images": config.guard_images,
        "samples": config.samples,
        "neighbours": NEIGHBOURS,
        "memorised": REAL_MEMORISED,
    }


def read_cached(path: Path, facts: Facts) -> Tensors | None:
    """The tensors cached at `path`; None if they are absent, damaged, or computed from other `facts`."""
    try:
        tensors, stored = sealed.read(path)
    except (OSError, sealed.Damaged):
        return None
    return tensors if stored == facts else None


def compute_tensors(config: QualityConfig, data: Data, features: Features) -> Tensors:
    """real, train, ceiling and bound of the guards. Also mean, covariance and factor, unless the moments come from a file: then
    only the guards' images are read."""
    guarded = guard_index(len(data.train), config.guard_images)
    moments, kept = Moments.empty(features.dimension), []
    for index, rows in features.stream(data.train, guarded if config.reference else None):
        if config.reference is None:
            moments.add(rows)
        kept.append(rows[torch.from_numpy(np.isin(index, guarded)).to(rows.device)])
    heldout = torch.cat([rows for _, rows in features.stream(data.heldout)])
    guards = Guards.of(torch.cat(kept), heldout, config.samples)
    tensors = {
        "real": guards.real,
        "train": guards.train,
        "ceiling": torch.tensor(guards.ceiling, dtype=torch.float64),
        "bound": torch.tensor(guards.bound, dtype=torch.float64),
    }
    if config.reference is None:
        reference = Reference.from_moments(moments.mean, moments.covariance)
        tensors |= {"mean": reference.mean, "covariance": reference.covariance, "factor": reference.factor}
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def guard_index(images: int, guard_images: int | None) -> Ints:
    """Indices, ascending, of the training images that the guards use: all, or a sample that is the same for every run."""
    if guard_images is None or guard_images >= images:
        return np.arange(images)
    return np.sort(Streams("guards").at("subset").choice(images, size=guard_images, replace=False))
