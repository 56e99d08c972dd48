"""The messages of a run to the command that started it: events while it runs, then one message that says how it ended."""

from dataclasses import dataclass
from typing import Any

from fidrace.spec.study import RunSpec


@dataclass(frozen=True)
class Event:
    """Progress of a run. `kind` is step, run_started, evaluation, run_ended or note; `facts` holds the measured values, the
    status and error of the run, or the text of a note."""

    kind: str
    task: str
    method: str
    seed: int
    iteration: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """The run is over. `reason` is empty if its rows are complete (finished or diverged), else it says why the run failed."""

    spec: RunSpec
    reason: str = ""


@dataclass(frozen=True)
class Stopped:
    """The run was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Taken:
    """Another process holds the run's lock; `by` names that process if it is known."""

    by: str = ""


@dataclass(frozen=True)
class Refused:
    """No run can continue, because of the input or the disk; `message` tells the user why."""

    message: str


Message = Event | Ended | Stopped | Taken | Refused
