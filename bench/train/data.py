"""Data sets: real images in memory, a fixed split into training and held-out, named by their content.

Images are float32 [N, C, H, W] in [-1, 1].
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from methods.base import InputError, Ints

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """Training and held-out images with their labels [N]; `levels` is how many values a stored pixel can take."""

    train: Images
    train_labels: Ints
    heldout: Images
    heldout_labels: Ints
    levels: int

    def sha256(self) -> str:
        """Of the four arrays' shapes and bytes: the split is part of the data's identity."""
        digest = hashlib.sha256()
        for array in (self.train, self.train_labels, self.heldout, self.heldout_labels):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, 8x8 with 17 grey levels: 1,500 to train, 297 held out, stratified."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
    split = train_test_split(images, labels.astype(np.int64), test_size=297, stratify=labels, random_state=0)
    train, heldout, train_labels, heldout_labels = split
    return Data(train, train_labels, heldout, heldout_labels, levels=17)


LOADERS = {"digits": digits}


def load(kind: str, sha256: str) -> Data:
    """The data set `kind`; raises InputError where its content is not what the task was made for."""
    data = LOADERS[kind]()
    if data.sha256() != sha256:
        raise InputError(f"data set {kind!r} has SHA-256 {data.sha256()}, the task was made for {sha256}")
    return data


def quantised(images: NDArray[np.float32], levels: int) -> Images:
    """Images clipped to [-1, 1] and rounded to the levels that the data is stored in, as image files would round them."""
    steps = (levels - 1) / 2
    return np.round(np.clip(images, -1, 1) * steps).astype(np.float32) / np.float32(steps)
