"""Where files that come with fidrace lie: beside its code in a wheel, at the top of the repository in a checkout.

An editable install and an unpacked sdist are checkouts too.
"""

from pathlib import Path

from fidrace.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_TOP = _PACKAGE.parents[1]
_IS_CHECKOUT = _PACKAGE.parent.name == "bench" and (_TOP / "pyproject.toml").is_file()


def packaged_folder(name: str) -> Path:
    """The folder `methods`, `studies` or `results`; raises InputError for a checkout that has lost it."""
    folder = (_TOP if _IS_CHECKOUT else _PACKAGE) / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `git checkout -- {name}` restores it")
    return folder


def packaged_studies() -> dict[str, Path]:
    """The study files that come with fidrace, by name."""
    return {file.stem: file for file in sorted(packaged_folder("studies").glob("*.toml"))}


def published_tables() -> dict[str, Path]:
    """The folders of published tables that come with fidrace, by name. They are read, never written."""
    return {file.parent.name: file.parent for file in sorted(packaged_folder("results").glob("*/runs.csv"))}


def find_tables(source: str | Path) -> Path:
    """The folder at the path `source`, or else the published tables of that name."""
    return Path(source) if Path(source).exists() else published_tables().get(str(source), Path(source))
