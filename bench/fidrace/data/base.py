"""A data set as arrays: real images in a fixed split into training and held-out, identified by the SHA-256 of its content."""

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
CHUNK = 2**24  # elements hashed at a time


@dataclass(frozen=True)
class Data:
    """Training and held-out images [N, C, H, W], float32 in [-1, 1] or bytes, and their labels [N].

    `levels`: number of values a stored pixel can take. `sha256`: of the content. `folder`: a place to cache what is computed
    from the data.
    """

    train: Images
    train_labels: Ints
    heldout: Images
    heldout_labels: Ints
    levels: int
    sha256: str
    folder: Path | None = None


def content_sha256(*arrays: NDArray[np.generic]) -> str:
    """SHA-256 of the arrays' shapes, types and bytes in C order, read in chunks: a memory map need not fit in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        flat = array.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            digest.update(flat[start : start + CHUNK].tobytes())
    return digest.hexdigest()


def to_unit_range(images: Tensor) -> Tensor:
    """Convert bytes to float32 in [-1, 1]; leave floats as they are."""
    return images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images


def select_images(images: Images, index: Ints) -> Tensor:
    """images[index], [len(index), C, H, W], in [-1, 1]. An index array makes numpy copy, so that torch never shares memory
    with a read-only memory map (a slice would, and torch warns of it)."""
    return to_unit_range(torch.from_numpy(images[index]))


def quantise(images: Images, levels: int) -> Images:
    """Clip images to [-1, 1] and round them to the data's levels, as writing them to image files would."""
    steps = (levels - 1) / 2
    middle = steps % 1  # an even number of levels has none at 0: bytes are at odd multiples of 1/255
    return (np.round(np.clip(images, -1, 1) * steps - middle) + middle).astype(np.float32) / np.float32(steps)
