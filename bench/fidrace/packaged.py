"""The files that come with fidrace: beside its code in a wheel, at the top of the repository in a checkout.

An editable install and an unpacked sdist are checkouts too.
"""

from pathlib import Path

from fidrace.errors import InputError, nearest

_PACKAGE = Path(__file__).resolve().parent
_TOP = _PACKAGE.parents[1]
_IS_CHECKOUT = _PACKAGE.parent.name == "bench" and (_TOP / "pyproject.toml").is_file()


def packaged_folder(name: str) -> Path:
    """The folder `methods`, `studies` or `results`; raises InputError for a checkout without it."""
    folder = (_TOP if _IS_CHECKOUT else _PACKAGE) / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `git checkout -- {name}` restores it")
    return folder


def checkout_docs() -> Path | None:
    """The folder `docs` of a checkout; None in a wheel."""
    return _TOP / "docs" if _IS_CHECKOUT and (_TOP / "docs").is_dir() else None


def packaged_studies() -> dict[str, Path]:
    """The study files that come with fidrace, by name."""
    return {file.stem: file for file in sorted(packaged_folder("studies").glob("*.toml"))}


def published_tables() -> dict[str, Path]:
    """The folders of published tables that come with fidrace, by name. Commands read them and never write them."""
    return {file.parent.name: file.parent for file in sorted(packaged_folder("results").glob("*/runs.csv"))}


def is_published_name(source: str | Path) -> bool:
    """True if `source` names published tables; a folder of that name that holds runs wins over them."""
    return not holds_runs(source) and is_bare_name(source) and str(source) in published_tables()


def find_tables(source: str | Path) -> Path:
    """The folder at the path `source`, or else the published tables of that name. Raises InputError for a name that is
    neither, and for a file; a path is not checked further."""
    if Path(source).is_file():
        raise InputError(f"{source} is a file: put it into a folder, as evals.csv, and name the folder")
    if is_published_name(source):
        return published_tables()[str(source)]
    if is_bare_name(source) and not Path(source).exists():
        known = nearest(str(source), published_tables())
        raise InputError(f"no folder or published tables {str(source)!r} (write a path or a name){known}")
    return Path(source)


def holds_runs(source: str | Path) -> bool:
    return any(Path(source, name).exists() for name in ("runs.csv", "evals.csv", "study.json"))


def is_bare_name(source: str | Path) -> bool:
    return Path(source).name == str(source) != ""
