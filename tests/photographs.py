"""Any number of real images: crops of the two photographs that come with scikit-learn."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from fidrace.data.images import Bytes, Unreadable, read_images

SCALES = (2, 4, 8, 12)  # photograph pixels per crop pixel; at scale 1 a small crop is only a smooth patch


def read_image(path: Path, size: int) -> Bytes:
    """The image at `path`, [3, size, size]; raises Unreadable."""
    (image,) = read_images([path], size)
    if isinstance(image, Unreadable):
        raise image
    return image


def crops(folder: Path, count: int, size: int, seed: int) -> None:
    """Write `count` PNG files of `size` x `size` pixels, alternately into one folder per photograph (china, flower). Equal
    arguments write equal pixels."""
    sample, rng = load_sample_images(), np.random.default_rng(seed)
    names = [Path(name).stem for name in sample.filenames]
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        which = number % len(names)
        photograph = Image.fromarray(sample.images[which])
        side = size * rng.choice([scale for scale in SCALES if scale * size <= min(photograph.size)] or [1])
        left, top = (int(rng.integers(length - side + 1)) for length in photograph.size)
        crop = photograph.resize((size, size), Image.Resampling.BOX, (left, top, left + side, top + side))
        crop.save(folder / names[which] / f"{number:05}.png")
