"""Files that appear whole or not at all, and the JSON records among them."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fidrace.errors import InputError

Row = dict[str, Any]


class WriteError(OSError):
    """A file of ours could not be written: no space, no permission, no folder."""


TEMPORARY = ".tmp"  # how files end that are not whole yet


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """A new file to fill. When the block ends it is `path`, whole and on the disk; where the block fails it is gone."""
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
        with suppress(OSError):  # the new name too, where the file system can promise that
            flush_to_disk(path.parent)
    except OSError as error:  # by the name that a person knows
        raise WriteError(error.errno, error.strerror, str(path)) from error


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, names: str = "*") -> None:
    """Remove what a killed process left half-written of the files of these names; nobody may be writing them."""
    for left in folder.glob(f".{names}.*{TEMPORARY}"):
        left.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """`content` at `path`, whole or not at all."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def read_record(path: Path, remedy: str) -> Row:
    """The JSON object at `path`; raises InputError, with the remedy, where it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged; {remedy}")
    return content
