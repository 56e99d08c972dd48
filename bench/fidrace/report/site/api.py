"""The interface in Python as one page of Markdown, from its docstrings."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

SOURCE = "api.md"
PARTS = {
    "fidrace": ("fidrace", ""),
    "fidrace.torch": ("fidrace.torch", "torch"),
    "A method": ("fidrace.method.base", ""),
    "In pytest": ("pytest_fidrace", "pytest"),
}
LONG = 90  # letters of a signature on one line
METHOD = ("Method", "TrainingState", "NoiseSchedule")


def api_markdown() -> str:
    """Every public name with its signature and what it says of itself. Parts whose library is not installed are named."""
    return "\n\n".join(
        ["# In Python", *(text for part, (module, needs) in PARTS.items() for text in describe(part, module, needs))]
    )


def describe(part: str, module_name: str, needs: str) -> Iterator[str]:
    yield f"## {part}"
    if needs and find_spec(needs) is None:
        yield f"This part needs {needs}, which was not installed where the page was made."
        return
    module = import_module(module_name)
    yield inspect.getdoc(module) or ""
    for name in public_names(module):
        thing = getattr(module, name)
        yield f"### `{name}`"
        yield from described(name, thing)


def public_names(module: Any) -> list[str]:
    names = getattr(module, "__all__", None) or [name for name in METHOD if hasattr(module, name)]
    return [name for name in names if not name.startswith("__") and callable(getattr(module, name))]


def described(name: str, thing: Any) -> Iterator[str]:
    """Signature and docstring, of a class also those of its public methods."""
    yield f"```\n{name}{signature(thing)}\n```"
    yield inspect.getdoc(thing) or ""
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        for key, value in vars(thing).items():
            if not key.startswith("_") and callable(value) and value.__doc__:
                yield f"`.{key}{signature(value)}`"
                yield inspect.getdoc(value) or ""


def signature(thing: Any) -> str:
    """What it takes, a line each if they are many, without the modules of their types."""
    try:
        text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", str(inspect.signature(thing)))
    except (TypeError, ValueError):
        return ""
    return text if len(text) < LONG else re.sub(r", (?=\*|\w+:|\w+=)", ",\n    ", text)
