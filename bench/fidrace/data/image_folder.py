"""A folder of images, decoded once before training and cached as arrays.

root/lion/1.jpg, root/zebra/2.jpg, root/3.jpg: an image's label is the rank of its top-level folder among those that hold
images, in sorted order; images directly in root have label 0. The cached folder holds the arrays and images.json; it appears
whole, by one rename, or not at all.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TypeVar

import filelock
import numpy as np

from fidrace.console import say
from fidrace.data.base import Data, content_sha256
from fidrace.data.images import EXTENSIONS, Bytes, Unreadable, image_files, read_images
from fidrace.errors import InputError
from fidrace.method.base import Ints
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import DataConfig
from fidrace.storage.atomic import read_record, write_atomic, write_json
from fidrace.storage.cache import Missing, cache_path

T = TypeVar("T")

DATA_REMEDY = {
    "imagenet": "get ILSVRC 2012's training images from https://image-net.org/download.php and name their folder: "
    "--set data.root=DIR",
    "folder": "name the folder of your images: --set data.root=DIR",
}
NAMES_SHOWN = 3  # unreadable files that a message names
MAX_REHASH = 2**30  # bytes of training images; larger sets are not hashed again when opened, which would take minutes
PATIENCE = 3.0  # seconds between two lines of progress


def load_image_folder(config: DataConfig) -> Data:
    """Load the images under the task's root from the cache, decoding them first if needed. Raises Missing if there are none,
    and InputError for an impossible size, count or split, for unreadable files, and for too little disk space."""
    root, names = list_images(config)
    size = check_config(config, root, len(names))
    key = cache_key(config, root, names)
    folder = cache_path("images", key[:16])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            if not folder.exists():  # another process may have been first
                _write_folder(folder, root, names, size, config.heldout)
    return open_arrays(folder)


def list_images(config: DataConfig) -> tuple[Path, list[str]]:
    """The data set's folder and the relative paths of its images; raises Missing if it is absent or has none."""
    root = config.root or cache_path(config.kind)
    if not root.is_dir():
        raise Missing(f"no folder {root}; {DATA_REMEDY[config.kind]}")
    names = image_files(root)
    if not names:
        raise Missing(f"{root}: no images ({' '.join(EXTENSIONS)}); {DATA_REMEDY[config.kind]}")
    return root, names


def labels_of(names: Sequence[str]) -> Ints:
    """The labels [N] of relative paths."""
    tops = [top if rest else None for top, _, rest in (name.partition("/") for name in names)]
    rank = {top: index for index, top in enumerate(sorted({top for top in tops if top is not None}))}
    return np.array([0 if top is None else rank[top] for top in tops], dtype=np.int64)


def cache_key(config: DataConfig, root: Path, names: Sequence[str]) -> str:
    """SHA-256 of all that determines the arrays: the files' root, names, sizes and modification times, and the settings.

    The root counts because two sets unpacked with the same times can have the same names and sizes.
    """
    digest = hashlib.sha256(ascii((config.kind, config.size, config.heldout, str(root))).encode())
    for name in names:
        digest.update(ascii((name, *_size_and_time(root / name))).encode())
    return digest.hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # decoding the file will report the reason
        return -1, -1
    return status.st_size, status.st_mtime_ns


def check_config(config: DataConfig, root: Path, found: int) -> int:
    """The size that images are resized to; raises InputError if their number is not the task's or leaves no split."""
    _, size, _ = config.shape
    if config.images not in (None, found):
        raise InputError(f"{root}: {found} images (before any are held out), the task says data.images = {config.images}")
    if not 0 < config.heldout < found:
        raise InputError(
            f"data.heldout = {config.heldout} of the {found} images in {root}: hold out at least 1 and train on at least 1"
        )
    return size


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the lock under which `folder` is prepared; print a line if another process holds it."""
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=PATIENCE)
    except filelock.Timeout:
        say("waiting for another process that is preparing these images")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write_folder(folder: Path, root: Path, names: Sequence[str], size: int, heldout: int) -> None:
    """Write `folder` under a temporary name, then rename it; an error leaves nothing behind."""
    order = Streams("heldout-split").at("order").permutation(len(names))
    parts = {"train": np.sort(order[heldout:]), "heldout": np.sort(order[:heldout])}
    _check_space(folder.parent, len(names), size)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    try:
        partial.mkdir()
        _write_images(partial, root, [[names[index] for index in part] for part in parts.values()], size)
        for part, index in parts.items():
            np.save(partial / f"{part}_labels.npy", labels_of(names)[index])
        facts = {"sha256": content_sha256(*_arrays(partial)), "images": len(names), "heldout": heldout, "size": size}
        write_json(partial / "images.json", {**facts, "source": str(root)})
        for path in partial.iterdir():  # flush before the rename: a power cut must not leave holes in a folder that looks whole
            with path.open("rb") as file:
                os.fsync(file.fileno())
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _check_space(place: Path, count: int, size: int) -> None:
    needed, free = count * 3 * size**2, shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{place}: {count} images of {size} x {size} need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "make room or set FIDRACE_CACHE to a folder elsewhere"
        )


def _write_images(partial: Path, root: Path, parts: Sequence[Sequence[str]], size: int) -> None:
    """Write train.npy and heldout.npy, bytes [N, 3, size, size], from the files named in the two parts.

    Written as a stream, since a memory map would kill the process without a message if the disk fills up. Raises InputError
    for unreadable files.
    """
    train, heldout = parts
    paths, unreadable = [root / name for name in (*train, *heldout)], dict[Path, Unreadable]()
    with (partial / "train.npy").open("wb") as train_file, (partial / "heldout.npy").open("wb") as heldout_file:
        for file, part in ((train_file, train), (heldout_file, heldout)):
            shape = (len(part), 3, size, size)
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for index, image in enumerate(_report_progress(read_images(paths, size), len(paths), root)):
            if isinstance(image, Unreadable):
                unreadable[paths[index]] = image
            else:
                (train_file if index < len(train) else heldout_file).write(image.tobytes())
    if unreadable:
        raise _unreadable_error(root, unreadable, len(paths))


def _report_progress(items: Iterable[T], total: int, root: Path) -> Iterator[T]:
    """Yield `items`, printing a line of progress every PATIENCE seconds."""
    last = monotonic()
    for done, item in enumerate(items):
        if monotonic() - last > PATIENCE:
            say(f"{root}: {done} of {total} images prepared")
            last = monotonic()
        yield item


def _unreadable_error(root: Path, unreadable: dict[Path, Unreadable], total: int) -> InputError:
    """The error that names files which cannot be read; if they are many, it also leaves a list of all in the cache."""
    bad = sorted(unreadable)
    first = ", ".join(f"{path.relative_to(root).as_posix()!r} ({unreadable[path]})" for path in bad[:NAMES_SHOWN])
    if len(bad) > NAMES_SHOWN:
        complete = cache_path("images", "unreadable.txt")
        write_atomic(complete, b"".join(os.fsencode(path) + b"\n" for path in bad))
        first += f", and others, all listed in {complete}"
    return InputError(f"{root}: {len(bad)} of {total} images cannot be read: {first}; remove them and try again")


def _arrays(folder: Path) -> tuple[Bytes, Ints, Bytes, Ints]:
    """train, train_labels, heldout, heldout_labels; images as memory maps."""
    train, heldout = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("train", "heldout"))
    return train, np.load(folder / "train_labels.npy"), heldout, np.load(folder / "heldout_labels.npy")


def open_arrays(folder: Path) -> Data:
    """Open the arrays cached in `folder`; raises InputError if they are damaged."""
    remedy = f"remove {folder} and run the same command again to rebuild it"
    facts = read_record(folder / "images.json", remedy)
    try:
        arrays = _arrays(folder)
        data = Data(*arrays, levels=256, sha256=facts["sha256"], folder=folder)
    except (OSError, ValueError, KeyError):
        raise InputError(f"{folder}: damaged; {remedy}") from None
    if data.train.nbytes <= MAX_REHASH and content_sha256(*arrays) != data.sha256:
        raise InputError(f"{folder}: damaged; {remedy}")
    return data
