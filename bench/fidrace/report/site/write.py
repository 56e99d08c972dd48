"""A site on disk: whole, or not at all."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fidrace.errors import InputError
from fidrace.storage.atomic import WriteError

MARK = '<meta name="generator" content="fidrace site">'  # in its index.html


def check_replaceable(out: Path) -> None:
    """Raise InputError for a folder that holds something else than a site."""
    index = out / "index.html"
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    if (
        out.is_dir()
        and any(out.iterdir())
        and not (index.is_file() and MARK in index.read_text(encoding="utf-8", errors="replace"))
    ):
        raise InputError(f"--out {out} holds something else than a site of fidrace; name another folder")


def write_site(out: Path, files: Iterable[tuple[str, str]]) -> int:
    """Write `files`, by their places, into a new folder that then takes the place of `out`; returns how many. Raises
    WriteError."""
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
        try:
            count = 0
            for place, text in files:
                path = scratch / "new" / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                count += 1
            if out.exists():
                out.rename(scratch / "old")
            (scratch / "new").rename(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise WriteError(f"{out}: {error.strerror or error}") from error
    return count
