"""Where what was downloaded or computed once is kept: weights, data sets, images brought to size, reference statistics.

And how a file that others made is opened: its SHA-256 first.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from fidrace.errors import InputError


class Missing(InputError):
    """A file that is not here and can be had; the message ends with how."""


def cache_path(*parts: str) -> Path:
    """A path below the cache: $FIDRACE_CACHE, else fidrace in $XDG_CACHE_HOME, else ~/.cache/fidrace. Nothing is made."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FIDRACE_CACHE") or Path(home, "fidrace")).expanduser().absolute().joinpath(*parts)


@contextmanager
def open_verified(path: Path, sha256: str | None, remedy: str = "") -> Iterator[BufferedReader]:
    """The file at `path`, open at its beginning, when its content has this SHA-256 (None: whatever it has).

    Raises Missing, with the remedy, where there is no file, and InputError where it is another or cannot be read. What is
    then read is what was hashed, though another file may take the path meanwhile."""
    with open_binary(path, remedy) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and found != sha256:
            raise InputError(f"{path}: SHA-256 {found}, the task names {sha256}")
        file.seek(0)
        yield file


def sha256_of(path: Path) -> str:
    """Raises Missing where there is no file, InputError where it cannot be read."""
    with open_binary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_binary(path: Path, remedy: str = "") -> BufferedReader:
    """The file, for its bytes. Raises as `verified` does."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise Missing(f"{path}: no such file" + (f"; {remedy}" if remedy else "")) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
