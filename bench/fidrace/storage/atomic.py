"""Atomic writes: a file appears complete or not at all. And JSON records."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fidrace.errors import InputError

Row = dict[str, Any]


class WriteError(OSError):
    """A file could not be written: no space, no permission, no folder."""


TEMPORARY = ".tmp"  # suffix of files that are not complete yet


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a new file to fill, which replaces `path` and is flushed to disk when the block ends; if the block fails it is
    removed. Raises WriteError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            flush_to_disk(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        with suppress(OSError):  # the new name too, if the file system can flush a folder
            flush_to_disk(path.parent)
    except OSError as error:  # naming `path`, not the temporary file
        raise WriteError(error.errno, error.strerror, str(path)) from error


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, names: str = "*") -> None:
    """Remove the incomplete files of these names that a killed process left; no process may be writing them."""
    for leftover in folder.glob(f".{names}.*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` to `path`, all of it or nothing. Raises WriteError."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_all(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Write `files`, by name, into `folder`, which is made if it is absent; none if a folder has one of their names. Raises
    WriteError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        if (folder / name).is_dir():
            raise WriteError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / name))
    for name, content in files.items():
        write_atomic(folder / name, content)


def write_output(path: Path, content: bytes | str) -> None:
    """Write `content` to a file that a user named: to what a link leads to, and into a device or a pipe, which no file may
    replace. A regular file is written all of it or nothing. Raises WriteError."""
    if path.is_file() or not path.exists():
        write_atomic(Path(os.path.realpath(path)), content)
        return
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:  # naming `path`, also if only writing failed
        raise WriteError(error.errno, error.strerror, str(path)) from error


def write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def read_record(path: Path, remedy: str) -> Row:
    """The JSON object at `path`; raises InputError, with the remedy, if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged; {remedy}")
    return content
