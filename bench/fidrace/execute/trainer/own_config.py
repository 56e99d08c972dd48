"""The configuration that a trainer records itself: what all runs of a study must share, minus what may vary."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fidrace.errors import InputError
from fidrace.storage.atomic import read_record, write_json
from fidrace.storage.locks import lock_folder
from fidrace.storage.manifest import differences

SHARED = "trainer-config.json"  # in the study's folder: the configuration of the first run, and which that was


def read_config(out: Path, pattern: str, varies: Sequence[str]) -> dict[str, Any]:
    """The configuration below `out`, without the dotted fields in `varies`. Raises InputError if no file or several match, if
    it is neither JSON nor TOML, and for a field in `varies` that it does not have."""
    found = sorted(out.glob(pattern))
    if len(found) != 1:
        several = " and ".join(str(path.relative_to(out)) for path in found[:2])
        raise InputError(f"trainer.config {pattern!r} matches {several or 'no file'} below {{out}}: it must match one")
    text = found[0].read_text(encoding="utf-8-sig")
    try:
        content = tomllib.loads(text) if found[0].suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{found[0].relative_to(out)}: neither a JSON object nor TOML")
    for name in varies:
        remove(content, name)
    return content


def remove(content: dict[str, Any], name: str) -> None:
    """Remove the dotted field `name`, if it is there: not every method need have it."""
    head, _, rest = name.partition(".")
    if not rest:
        content.pop(name, None)
    elif isinstance(content.get(head), dict):
        remove(content[head], rest)


def share_config(study: Path, run: str, content: dict[str, Any]) -> None:
    """Record the configuration of the study's first run, or compare with it. Raises InputError naming the first field that
    differs."""
    path = study / SHARED
    with lock_folder(study):
        if not path.exists():
            write_json(path, {"run": run, "config": content})
            return
        first = read_record(path, "remove it, and the next run records its own")
    for field, before, now in differences(first["config"], content):
        raise InputError(
            f"its configuration has {field} = {json.dumps(now)}, and {first['run']} has {json.dumps(before)}: they are not one "
            "experiment; list the field in trainer.varies if it may differ"
        )
