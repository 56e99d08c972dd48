"""Image files as squares of bytes, by the rule of guided-diffusion's code (arXiv 2105.05233): convert to RGB, halve while
that leaves the shorter side no less than asked, scale the shorter side to what is asked, crop the centre.

A file is converted or refused with a reason; none is guessed at, none repaired.
"""

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Bytes = NDArray[np.uint8]

EXTENSIONS = tuple(".jpg .jpeg .png .bmp .webp .gif .tif .tiff .ppm".split())
# Only readers of these: PIL has others that start programs (Ghostscript for EPS), whatever the file is called.
FORMATS = "JPEG PNG BMP DIB WEBP GIF TIFF PPM".split()
BLOCK = 256  # images that are decoded before the first of them is handed on


class Unreadable(Exception):
    """Why a file gives no image, in a few words."""


def image_files(root: Path) -> list[str]:
    """POSIX paths relative to `root`, sorted, of all that is called an image at any depth. Hidden names are passed over;
    links to folders are followed, but never back up."""
    return sorted(_below(root, "", frozenset()))


def _below(folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[str]:
    here = folder.resolve()
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _below(folder / entry.name, f"{prefix}{entry.name}/", above | {here})
            elif entry.name.lower().endswith(EXTENSIONS):
                yield prefix + entry.name


def read_images(paths: Sequence[Path], size: int) -> Iterator[Bytes | Unreadable]:
    """For each path, in order, its image [3, size, size] or why there is none; decoded in as many threads as there are
    cores, since PIL works outside of Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), BLOCK):
            # Warning filters are the process's, not a thread's: set once around all threads, and never across a yield.
            with warnings.catch_warnings(action="ignore"):
                block = list(pool.map(partial(_attempt, size=size), paths[start : start + BLOCK]))
            yield from block


def _attempt(path: Path, size: int) -> Bytes | Unreadable:
    try:
        return decode(path, size)
    except Unreadable as error:
        return error


def decode(path: Path, size: int) -> Bytes:
    """The image at `path`, [3, size, size]; raises Unreadable. PIL's warnings are left to the caller. Animations give their
    first frame; EXIF's orientation is not applied, as guided-diffusion does not (TIFF's is, by PIL itself)."""
    try:
        _check_file(path)
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            return crop_square(as_rgb(image), size)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, a decompression bomb") from None
    except Exception as error:  # PIL's readers raise what they stumble over: SyntaxError, struct.error, EOFError, ...
        raise Unreadable(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Unreadable("a link to nowhere" if path.is_symlink() else "no such file") from None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
        raise Unreadable("not a regular file")
    if not status.st_size:
        raise Unreadable("empty")


def as_rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB. Alpha is dropped: what it hides shows, as in guided-diffusion. Raises Unreadable for pixels without
    a known white."""
    if image.mode == "F":
        raise Unreadable("floating-point pixels")
    if image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, 65535 as 255; PIL's own conversion of mode I clips at 255."""
    # Mode I has 32 bits, but what PNG and PPM hold has at most 16.
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise Unreadable("32-bit integer pixels")
    return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))


def crop_square(image: Image.Image, size: int) -> Bytes:
    """The centre of an RGB image, [3, size, size]; images smaller than that are enlarged by the same rule."""
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    if width * height > (Image.MAX_IMAGE_PIXELS or inf):
        raise Unreadable(f"too long and narrow: {width} x {height} pixels once its shorter side is {size}")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(pixels[top : top + size, left : left + size].transpose(2, 0, 1))
