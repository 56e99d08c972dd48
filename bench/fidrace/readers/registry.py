"""The readers by name: fidrace's own, and those of installed packages (entry points in the group `fidrace.readers`)."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from fidrace.errors import InputError, nearest
from fidrace.readers.log import Reader

ENTRY_POINTS = "fidrace.readers"
MODULES = {
    "csv": "csv_file",
    "jsonl": "jsonl",
    "k-diffusion": "k_diffusion",
    "flow-matching": "flow_matching",
    "openai": "openai",
    "edm": "edm",
    "dit": "dit",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}


def reader_names() -> list[str]:
    """All readers: fidrace's own, then those of installed packages."""
    return [*MODULES, *sorted({point.name for point in installed()} - {*MODULES})]


def installed() -> list[EntryPoint]:
    return [*entry_points(group=ENTRY_POINTS)]


def load_reader(name: str) -> Reader:
    """The reader of that name: a function of paths and what is wanted of them, which gives a Reading. Raises InputError for an
    unknown name, and for an entry point that cannot be loaded or takes a name that is taken."""
    points = [point for point in installed() if point.name == name]
    if len(points) + (name in MODULES) > 1:
        others = ", ".join(point.value for point in points)
        raise InputError(f"the reader {name!r} is defined twice: {others}{' and by fidrace' if name in MODULES else ''}")
    if name in MODULES:
        reader: Reader = import_module(f"fidrace.readers.{MODULES[name]}").read
        return reader
    if not points:
        raise InputError(f"unknown reader {name!r}{nearest(name, reader_names())}")
    try:
        reader = points[0].load()
    except Exception as error:
        raise InputError(f"reader {name!r} ({points[0].value}): {type(error).__name__}: {error}") from error
    if not callable(reader):
        raise InputError(f"reader {name!r} ({points[0].value}) is no function of paths and what is wanted")
    return reader
