"""The log of a run in somebody else's loop, as `fidrace import jsonl` reads it."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.torch.race import Race

FILE = "fidrace.jsonl"


def log(out: str | Path, *, step: int, race: "Race | None" = None, **values: Any) -> Path:
    """Append one evaluation to `out`/fidrace.jsonl and return that file: the distance after `step` optimizer steps, as fid=, or
    fd= if its features are not Inception's; the method and seed of `race`; and whatever else is a number or text. A line is
    written whole or not at all. Raises InputError for a value that is neither, and without a distance."""
    if not {"fid", "fd"} & values.keys():
        raise InputError("log: no distance: give fid=, or fd= if its features are not Inception's")
    told = {"method": str(race.method), "seed": race.seed, "carried": race.carried, "horizon": race.horizon} if race else {}
    row = {"step": step} | told | values
    for name, value in row.items():
        row[name] = value = value.item() if hasattr(value, "item") else value
        if not isinstance(value, str | int | float):
            raise InputError(f"log: {name} is {type(value).__name__}, not a number or text")
    if isinstance(row["step"], bool) or not isinstance(row["step"], int) or row["step"] < 0:
        raise InputError(f"log: step={row['step']!r} is not the number of optimizer steps so far")
    file = Path(out) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+") as stream:
        stream.seek(0)
        text = stream.read()
        stream.truncate(text.rfind(b"\n") + 1)  # what a writer left that was killed in the middle of its line
        stream.write((json.dumps(row) + "\n").encode())
        stream.flush()
        os.fsync(stream.fileno())
    return file
