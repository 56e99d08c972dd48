"""Locks of the operating system: each goes with the process that holds it, however that ends."""

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
    """Hold the lock at `path`. Raises Busy where another process still has it after so many seconds, InputError where files
    cannot be locked, OSError where there can be none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, seconds, fallback_to_soft=False)  # a soft lock would outlive its process
    try:
        lock.acquire(poll_interval=0.1)
    except filelock.Timeout:
        raise Busy from None
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise InputError(f"{path.parent}: this file system locks no files (flock); choose another --out") from error
        raise
    try:
        yield
    finally:
        lock.release()
