"""JSON for programs: a study's events, one object per line, and other content."""

import json
import math
import sys
from typing import Any, TextIO

from fidrace.execute.events import Event
from fidrace.report.progress import Reporter


class JsonLines(Reporter):
    """One JSON object per line on what stdout is at the start, even if it is redirected later."""

    def __init__(self) -> None:
        self.out = sys.stdout

    def hear(self, event: Event) -> None:
        if event.kind != "step":
            place = {"task": event.task, "method": event.method, "seed": event.seed, "iteration": event.iteration}
            emit(event.kind, self.out, **place, **event.facts)


def emit(kind: str, out: TextIO, **facts: Any) -> None:
    """Print one JSON object."""
    print(to_json({"event": kind, **facts}), file=out, flush=True)


def to_json(content: Any, indent: int | None = None) -> str:
    """`content` as JSON; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(replace_infinite(content), indent=indent, allow_nan=False)


def replace_infinite(content: Any) -> Any:
    """`content` with None for the floats that are not finite, in nested lists and dicts too."""
    if isinstance(content, dict):
        return {name: replace_infinite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [replace_infinite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
