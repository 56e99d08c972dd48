"""What a running study tells while it runs."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """`kind` is step, run_started, evaluation, run_ended or note; `facts` are the measured values, how the run ended, or a
    text for people."""

    kind: str
    task: str
    method: str
    seed: int
    iteration: int
    facts: dict[str, Any]
