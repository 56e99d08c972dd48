"""A study's events as JSON, one object per line, for programs."""

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
    """Print one JSON object; NaN and infinity, which JSON lacks, become null."""
    finite = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in facts.items()}
    print(json.dumps({"event": kind, **finite}), file=out, flush=True)
