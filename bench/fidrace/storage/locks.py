"""Locks of the operating system, which are released when the process that holds them ends, however it ends."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import filelock

from fidrace.errors import InputError
from fidrace.storage.atomic import sweep

FOLDER_SECONDS = 60  # that a command waits for another one which writes the tables


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def hold_lock(path: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock at `path`. Raises Busy if another process still holds it after `seconds`, InputError if the file system has
    no locks, OSError if the lock file cannot be created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, seconds, fallback_to_soft=False)  # a soft lock would outlive its process
    try:
        lock.acquire(poll_interval=0.1)
    except filelock.Timeout:
        raise Busy from None
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise InputError(
                f"{path.parent}: this file system does not support file locks (flock); choose another --out"
            ) from error
        raise
    try:
        yield
    finally:
        lock.release()


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a study's folder while study.json and the tables are written. Raises InputError if another process
    keeps it, or the file system has no locks."""
    try:
        with hold_lock(folder / ".lock", FOLDER_SECONDS):
            sweep(folder)
            yield
    except Busy:
        raise InputError(f"{folder} has been locked by another fidrace for {FOLDER_SECONDS} seconds") from None


@contextmanager
def lock_if_shared(folder: Path) -> Iterator[None]:
    """`lock_folder`, but only in a folder that has a lock file: nobody runs in a folder of copied tables."""
    with lock_folder(folder) if (folder / ".lock").exists() else nullcontext():
        yield
