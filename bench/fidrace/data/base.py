"""A data set as arrays: real images, a fixed split into training and held-out, named by their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidrace.method.base import Ints

Images = NDArray[Any]  # [N, C, H, W], float32 in [-1, 1] or bytes
CHUNK = 2**24  # elements that are hashed at a time


@dataclass(frozen=True)
class Data:
    """Training and held-out images [N, C, H, W], float32 in [-1, 1] or bytes, and their labels [N]; `levels` is how many
    values a stored pixel can take, `sha256` names the content. `folder`: where what is computed of it can be kept."""

    train: Images
    train_labels: Ints
    heldout: Images
    heldout_labels: Ints
    levels: int
    sha256: str
    folder: Path | None = None


def content_sha256(*arrays: NDArray[np.generic]) -> str:
    """Of the arrays' shapes, types and bytes in C order; of a memory map only a part is in memory at a time."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        flat = array.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            digest.update(flat[start : start + CHUNK].tobytes())
    return digest.hexdigest()


def to_unit_range(images: Tensor) -> Tensor:
    """Bytes as float32 in [-1, 1]; floats as they are."""
    return images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images


def quantise(images: Images, levels: int) -> Images:
    """Images clipped to [-1, 1] and rounded to the levels that the data is stored in, as image files would round them."""
    steps = (levels - 1) / 2
    return np.round(np.clip(images, -1, 1) * steps).astype(np.float32) / np.float32(steps)
