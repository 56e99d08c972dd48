"""The cache for what is downloaded or computed once: weights, data sets, resized images, reference statistics.

Files from elsewhere are opened only after their SHA-256 is verified.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from fidrace.errors import InputError


class Missing(InputError):
    """A file that is not here but can be obtained; the message ends with how."""


def cache_path(*parts: str) -> Path:
    """A path below the cache: $FIDRACE_CACHE, else fidrace in $XDG_CACHE_HOME, else ~/.cache/fidrace. Creates no folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FIDRACE_CACHE") or Path(home, "fidrace")).expanduser().absolute().joinpath(*parts)


@contextmanager
def open_verified(path: Path, sha256: str | None, remedy: str = "") -> Iterator[BufferedReader]:
    """Yield the file at `path`, open at its start, once its content has this SHA-256 (None: any content).

    Raises Missing, with the remedy, if there is no file, InputError if its content differs or cannot be read. The content read
    is the content hashed, even if another file takes the path meanwhile."""
    with open_binary(path, remedy) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and digest != sha256:
            raise InputError(f"{path}: SHA-256 {digest}, the task names {sha256}")
        file.seek(0)
        yield file


def sha256_of(path: Path) -> str:
    """Raises Missing if there is no file, InputError if it cannot be read."""
    with open_binary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_binary(path: Path, remedy: str = "") -> BufferedReader:
    """The file, opened for reading bytes. Raises Missing, with the remedy, or InputError."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise Missing(f"{path}: no such file" + (f"; {remedy}" if remedy else "")) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
