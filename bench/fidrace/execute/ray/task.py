"""A run as a task on a node of a Ray cluster, and the mailbox by which it speaks with the command."""

import platform
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from fidrace.execute.events import Event
from fidrace.execute.locked_run import Message, Refused, Stopped, execute_locked
from fidrace.spec.study import RunSpec

ASK_SECONDS = 1.0  # how often a run asks whether it is to stop


@dataclass(frozen=True)
class Order:
    """What a task is to do, and what it must find where it does it."""

    spec: RunSpec
    patience: float
    root: Path
    device: str
    packages: dict[str, str]


class Mailbox:
    """The actor between runs and command. Once it is to stop, no run begins."""

    def __init__(self) -> None:
        self.letters: list[Event] = []
        self.stopping = False

    def begin(self, letter: Event) -> bool:
        if not self.stopping:
            self.letters.append(letter)
        return not self.stopping

    def tell(self, letter: Event) -> None:
        self.letters.append(letter)

    def take(self) -> list[Event]:
        letters, self.letters = self.letters, []
        return letters

    def stop(self) -> None:
        self.stopping = True

    def is_stopping(self) -> bool:
        return self.stopping


class Asking:
    """A Stop that asks, now and then."""

    def __init__(self, ask: Callable[[], bool]):
        self.ask, self.asked, self.answer = ask, -ASK_SECONDS, False

    def is_set(self) -> bool:
        if not self.answer and monotonic() - self.asked >= ASK_SECONDS:
            self.answer, self.asked = self.ask(), monotonic()
        return self.answer

    def set(self) -> None:
        self.answer = True


def execute_order(order: Order, mailbox: Any) -> Message:
    """A run, in a process of the cluster. Where its command is gone, it saves its state and ends."""
    import ray

    def asked(call: Callable[[], Any], otherwise: bool) -> bool:
        try:
            return ray.get(call())
        except (ray.exceptions.RayError, SystemExit):  # there is nobody to answer
            return otherwise

    spec = order.spec
    stop = Asking(lambda: asked(mailbox.is_stopping.remote, True))
    # Ray ends the tasks of a command that is gone by SIGTERM, and would raise SystemExit in the middle of a run
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    if not asked(lambda: mailbox.begin.remote(Event("begun", spec.task.name, spec.method, spec.seed, 0, {})), False):
        return Stopped()
    if reason := why_unfit(order):
        return Refused(reason)
    import torch

    from fidrace.train.process_group import ProcessGroup

    last: list[Any] = []

    def report(event: Event) -> None:
        try:
            last[:] = [mailbox.tell.remote(event)]
        except (ray.exceptions.RayError, SystemExit):
            stop.set()

    message = execute_locked(spec, order.root, ProcessGroup(torch.device(order.device)), report, stop, order.patience)
    if last:  # letters of one sender come in order: with the last all are there
        asked(lambda: last[0], True)
    return message


def why_unfit(order: Order) -> str:
    """Why this node cannot do the run as others would; empty where it can."""
    from fidrace.execute.run import packages

    here = platform.node()
    root = order.root / order.spec.home
    if not (root / "study.json").exists():
        return f"{root} is not there on {here}: --out must lie on storage that all nodes share"
    for name, version in packages().items():
        if version != order.packages[name]:
            return f"{here} has {name} {version}, this command {order.packages[name]}: install the same on every node"
    return ""
