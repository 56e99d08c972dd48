"""Sets of images as trainers leave them: a folder, a zip, or an .npz of bytes. Read as they are: nothing is cropped or resized.

ADM's samplers write `arr_0` [N, H, W, C] (guided-diffusion's image_sample.py); EDM's generate.py writes folders of .png.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fidrace.data.images import EXTENSIONS, FORMATS, Bytes, Unreadable, as_rgb, image_files
from fidrace.errors import InputError

ARRAY = "arr_0"


def read_image_set(path: Path) -> Bytes:
    """The images at `path` as bytes [N, C, H, W], grey ones with one channel. Raises InputError, naming the first file, for
    what cannot be read, and for images of different sizes."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix == ".npz":
        return read_array(path)
    if path.is_dir() or zipfile.is_zipfile(path):
        return stack(path, read_pictures(path))
    raise InputError(f"{path}: samples are a folder of images, a .zip of images, or an .npz with {ARRAY}")


def read_array(path: Path) -> Bytes:
    """`arr_0` of an .npz, [N, H, W, C] or [N, H, W] bytes. Nothing is unpickled."""
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            images = file[ARRAY]
    except KeyError:
        raise InputError(f"{path}: no array {ARRAY!r} in it") from None
    # numpy and zipfile raise these for files that are truncated, no archive, encrypted, or hold Python objects
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{path}: damaged, or no .npz file of plain numbers") from None
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise InputError(f"{path}: {ARRAY} is {images.dtype}{list(images.shape)}, not bytes [N, H, W, 1 or 3]")
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def read_pictures(path: Path) -> Iterator[tuple[str, Bytes]]:
    """The name and pixels of each image file in a folder or zip, in the order of their names."""
    if path.is_dir():
        for name in image_files(path):
            yield name, decode(f"{path}/{name}", path / name)
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith(EXTENSIONS):
                try:
                    content = archive.read(name)
                except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
                    raise InputError(f"{path}: {name} is damaged or encrypted") from None
                yield name, decode(f"{path}: {name}", io.BytesIO(content))


def decode(where: str, source: Any) -> Bytes:
    """The pixels [H, W, C] of an image, C = 1 for grey."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            image.load()
            pixels = np.asarray(image if image.mode == "L" else as_rgb(image))
    except Unreadable as error:
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # PIL's readers raise many types on damaged files
        raise InputError(f"{where}: not an image that can be read ({type(error).__name__})") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def stack(path: Path, pictures: Iterator[tuple[str, Bytes]]) -> Bytes:
    """All pictures as one array; grey ones among coloured ones become colour."""
    names, arrays = [], []
    for name, pixels in pictures:
        names.append(name)
        arrays.append(pixels.transpose(2, 0, 1))
        if arrays[0].shape[1:] != arrays[-1].shape[1:]:
            (h, w), (height, width) = arrays[0].shape[1:], arrays[-1].shape[1:]
            raise InputError(f"{path}: {name} is {width}x{height}, and {names[0]} is {w}x{h}")
    if not arrays:
        raise InputError(f"{path}: no images ({' '.join(EXTENSIONS)})")
    channels = max(len(one) for one in arrays)
    return np.stack([np.repeat(one, channels, 0) if len(one) < channels else one for one in arrays])
