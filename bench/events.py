"""What a running study tells while it runs."""

import sys
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


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """One line that steers no terminal, whatever was in it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
