"""A site on disk: whole, or not at all."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from fidrace.errors import InputError
from fidrace.storage.atomic import WriteError

MARK = b'<meta name="generator" content="fidrace">'  # in all pages
HEAD = 4096  # bytes of a page in which the mark stands


def check_replaceable(out: Path) -> None:
    """Raise InputError for a folder with a file that no site of fidrace has: it would be lost."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; name a folder")
    for path in sorted(out.rglob("*")):
        if not path.is_dir() or path.is_symlink():
            with path.open("rb") as file:
                if MARK not in file.read(HEAD):
                    raise InputError(
                        f"--out {out} holds {path.relative_to(out)}, which is no page of a site; name another folder"
                    )


def write_site(out: Path, files: Iterable[tuple[str, str]]) -> int:
    """Write `files`, by their places, into a new folder that then takes the place of `out`, which stays if that fails; returns
    how many. Raises WriteError."""
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            written = [write_page(new / place, text) for place, text in files]
            if out.exists():
                out.rename(old)
            try:
                new.rename(out)
            except OSError:
                if old.exists():
                    old.rename(out)
                raise
    except OSError as error:
        raise WriteError(f"{out}: {error.strerror or error}") from error
    return len(written)


def write_page(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
