"""Accept the tables of a folder as what later ones are compared with.

A folder is replaced as a whole: the new one is made beside it, then the two change places by renaming. So no reader meets
tables of two studies in one folder, which replacing file by file could leave behind; a command that is killed between the two
renames leaves the old folder beside its place, and the next one puts it back.
"""

import re
import shutil
import tempfile
from pathlib import Path

from fidrace.errors import InputError
from fidrace.packaged import holds_runs, is_published_name
from fidrace.score.provenance import PROVENANCE
from fidrace.score.reading import read_curves
from fidrace.score.rules import DECLARATION
from fidrace.storage.atomic import TEMPORARY, WriteError, flush_to_disk, write_atomic
from fidrace.storage.imports import IMPORTED
from fidrace.storage.locks import lock_if_shared
from fidrace.storage.study_folder import DERIVED

TABLES = ("study.json", DECLARATION, IMPORTED, "runs.csv", "evals.csv", PROVENANCE)
MARK = ".fidrace-accept-"  # in the name of the temporary folder, between the folder's own and what mkdtemp adds
NEW, OLD = "new", "old"  # folders within the temporary one


def prepare_to_accept(folder: Path, into: Path) -> None:
    """Undo an acceptance that was killed half-way. Raises InputError if tables cannot be accepted `into` this folder."""
    if is_published_name(into):
        raise InputError(f"--accept: {into} names tables that come with fidrace, which are never written; write a path")
    if Path.cwd().is_relative_to(into.resolve()):
        raise InputError(f"--accept: {into} holds the current folder and is replaced as a whole; write a folder below this one")
    put_back(into.resolve())
    if into.exists() and not into.is_dir():
        raise InputError(f"--accept: {into} is not a folder")
    if folder.resolve() == into.resolve():
        raise InputError(f"--accept: {folder} and {into} are the same folder")
    if (into / "runs").exists():
        raise InputError(f"--accept: {into} is a study with runs of its own; name a folder that holds tables alone")


def accept_tables(folder: Path, into: Path) -> list[str]:
    """Put the tables of `folder` in the place of those in `into`, all of them or none; returns the names of the files. What
    else lies in `into` stays, but for files that were made from its old tables."""
    place = into.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}{MARK}", suffix=TEMPORARY)) / NEW
        copy_other_files(place, new)
        with lock_if_shared(folder):
            names = [name for name in TABLES if (folder / name).exists()]
            for name in names:
                write_atomic(new / name, (folder / name).read_bytes())
        if place.exists():
            place.rename(new.parent / OLD)
        new.rename(place)
        flush_to_disk(place.parent)
    except OSError as error:  # naming the folder, not the temporary one
        raise WriteError(error.errno, error.strerror, str(into)) from error
    finally:
        put_back(place)
    return names


def copy_other_files(place: Path, new: Path) -> None:
    """Make the folder `new` with what lies in `place`, if anything, but for tables and what is made from them. In a folder
    without tables nothing was made from them, whatever its name."""
    old = {*TABLES, *DERIVED} if holds_runs(place) else set()

    def left_out(folder: str, names: list[str]) -> set[str]:
        return old if folder == str(place) else set()

    if place.exists():
        shutil.copytree(place, new, symlinks=True, ignore=left_out)
    else:
        new.mkdir()


def put_back(place: Path) -> None:
    """Remove what an acceptance left beside its folder, after putting the old folder back if none has taken its place."""
    for work in [path for path in place.parent.glob(".*") if is_leftover(path, place)]:
        if (work / OLD).exists() and not place.exists():
            (work / OLD).rename(place)
        shutil.rmtree(work)


def is_leftover(path: Path, place: Path) -> bool:
    """True for a temporary folder that an acceptance into `place` made: by its whole name, and by what it holds."""
    made = re.fullmatch(rf"{re.escape(f'.{place.name}{MARK}')}[a-z0-9_]{{8}}{re.escape(TEMPORARY)}", path.name)
    return bool(made) and path.is_dir() and not path.is_symlink() and {inner.name for inner in path.iterdir()} <= {NEW, OLD}


def lost_methods(folder: Path, into: Path) -> list[str]:
    """The methods that `into` holds and `folder` does not."""
    kept, known = ({curve.method for curve in read_curves(place)} for place in (folder, into))
    return sorted(known - kept)
