"""Locks of the operating system, which are released when the process that holds them ends, however it ends."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from fidrace.errors import InputError


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
