"""A run as a Ray task on a node of the cluster, and the mailbox between it and the command."""

import platform
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from fidrace.execute.events import Event, Message, Refused, Stopped
from fidrace.execute.locked_run import execute_locked
from fidrace.spec.study import RunSpec

ASK_SECONDS = 1.0  # how often a run asks whether it is to stop
TASK_STARTED = "task_started"  # the kind of a task's first event, which only the executor sees


@dataclass(frozen=True)
class Order:
    """What a task is to execute, and the package versions that its node must have."""

    spec: RunSpec
    patience: float
    root: Path
    device: str
    packages: dict[str, str]


class Mailbox:
    """The Ray actor between runs and command: events one way, the request to stop the other."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.stopping = False

    def start_task(self, event: Event) -> bool:
        """Whether a task may start; `event` announces it to the command."""
        if not self.stopping:
            self.events.append(event)
        return not self.stopping

    def add_event(self, event: Event) -> None:
        self.events.append(event)

    def take_events(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def stop(self) -> None:
        self.stopping = True

    def is_stopping(self) -> bool:
        return self.stopping


class PolledStop:
    """A Stop that calls `ask` at most once in ASK_SECONDS."""

    def __init__(self, ask: Callable[[], bool]):
        self.ask, self.asked_at, self.answer = ask, -ASK_SECONDS, False

    def is_set(self) -> bool:
        if not self.answer and monotonic() - self.asked_at >= ASK_SECONDS:
            self.answer, self.asked_at = self.ask(), monotonic()
        return self.answer

    def set(self) -> None:
        self.answer = True


def execute_order(order: Order, mailbox: Any) -> Message:
    """The Ray task: executes one run in a process of its own. If the command is gone, the run saves its state and ends."""
    import ray

    def ask(call: Callable[[], Any], otherwise: bool) -> bool:
        try:
            return ray.get(call())
        except (ray.exceptions.RayError, SystemExit):  # the command is gone
            return otherwise

    spec = order.spec
    stop = PolledStop(lambda: ask(mailbox.is_stopping.remote, True))
    # Ray ends the tasks of a lost command by SIGTERM, and its handler would raise SystemExit in the middle of a run.
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    announcement = Event(TASK_STARTED, spec.task.name, spec.method, spec.seed, 0, {})
    if not ask(lambda: mailbox.start_task.remote(announcement), False):
        return Stopped()
    if reason := find_mismatch(order):
        return Refused(reason)
    import torch

    from fidrace.train.process_group import ProcessGroup

    last_sent: list[Any] = []

    def report(event: Event) -> None:
        try:
            last_sent[:] = [mailbox.add_event.remote(event)]
        except (ray.exceptions.RayError, SystemExit):
            stop.set()

    message = execute_locked(spec, order.root, ProcessGroup(torch.device(order.device)), report, stop, order.patience)
    if last_sent:  # one sender's calls arrive in order: once the last event has arrived, all have
        ask(lambda: last_sent[0], True)
    return message


def find_mismatch(order: Order) -> str:
    """Why this node's storage or packages differ from the command's, for the user; empty if they do not."""
    from fidrace.execute.provenance import packages

    node = platform.node()
    root = order.root / order.spec.home
    if not (root / "study.json").exists():
        return f"{root} does not exist on {node}: --out must lie on storage that all nodes share"
    for name, version in packages().items():
        if version != order.packages[name]:
            return f"{node} has {name} {version}, this command {order.packages[name]}: install the same on every node"
    return ""
