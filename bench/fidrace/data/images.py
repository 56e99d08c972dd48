"""Image files as square byte arrays, by the rule of guided-diffusion's code (arXiv 2105.05233): convert to RGB, halve while
the shorter side stays at least `size`, scale the shorter side to `size`, crop the centre.

A file is either converted or refused with a reason, never guessed at or repaired.
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
# Only these readers: others of PIL's start programs (Ghostscript for EPS), whatever the file's name.
FORMATS = "JPEG PNG BMP DIB WEBP GIF TIFF PPM".split()
BLOCK = 256  # images decoded before the first of them is yielded


class Unreadable(Exception):
    """A file is no image that can be used; the message gives the reason in a few words."""


def image_files(root: Path) -> list[str]:
    """POSIX paths relative to `root`, sorted, of all files with an image's extension, at any depth.

    Links to folders are followed, except to a folder that contains the link. Hidden names and the output of fidrace (folders
    with a study.json) are skipped.
    """
    return sorted(_walk(root, "", frozenset()))


def _walk(folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[str]:
    """`above`: resolved folders on the way to `folder` and all their ancestors, which links must not lead back to."""
    here = folder.resolve()
    if here in above or (prefix and (folder / "study.json").exists()):
        return
    above |= {here, *here.parents}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", above)
            elif entry.name.lower().endswith(EXTENSIONS):
                yield prefix + entry.name


def read_images(paths: Sequence[Path], size: int) -> Iterator[Bytes | Unreadable]:
    """For each path, in order, its image [3, size, size] or the reason there is none. Decodes in one thread per core, since
    PIL releases Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), BLOCK):
            # Warning filters belong to the process, not to a thread: set them around all threads, and never across a yield.
            with warnings.catch_warnings(action="ignore"):
                block = list(pool.map(partial(_decode_or_reason, size=size), paths[start : start + BLOCK]))
            yield from block


def _decode_or_reason(path: Path, size: int) -> Bytes | Unreadable:
    try:
        return decode(path, size)
    except Unreadable as error:
        return error


def decode(path: Path, size: int) -> Bytes:
    """The image at `path`, [3, size, size]; raises Unreadable. PIL's warnings are the caller's to silence. Animations give
    their first frame; EXIF's orientation is ignored, as in guided-diffusion (PIL itself applies TIFF's)."""
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
    except Exception as error:  # PIL's readers raise many types on damaged files: SyntaxError, struct.error, EOFError, ...
        raise Unreadable(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Unreadable("a link to nowhere" if path.is_symlink() else "no such file") from None
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise Unreadable("not a regular file")
    if not status.st_size:
        raise Unreadable("empty")


def as_rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB. Alpha is dropped, so that hidden pixels show, as in guided-diffusion. Raises Unreadable for pixel types
    without a defined white."""
    if image.mode == "F":
        raise Unreadable("floating-point pixels")
    if image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, 65535 as 255; PIL's own conversion of mode I clips at 255."""
    # Mode I has 32 bits, but PNG and PPM files hold at most 16.
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise Unreadable("32-bit integer pixels")
    return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))


def crop_square(image: Image.Image, size: int) -> Bytes:
    """The centre of an RGB image, [3, size, size]; smaller images are enlarged by the same rule."""
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    if width * height > (Image.MAX_IMAGE_PIXELS or inf):
        raise Unreadable(f"too long and narrow: {width} x {height} pixels once its shorter side is {size}")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(pixels[top : top + size, left : left + size].transpose(2, 0, 1))
