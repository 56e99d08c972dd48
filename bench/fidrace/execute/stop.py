"""How a study is asked to stop: by Ctrl-C or SIGTERM, and once more by who cannot wait."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Protocol

from fidrace.console import say

SPAWN = multiprocessing.get_context("spawn")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(Protocol):
    """Asks runs to save their state and end."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class Flag:
    """A Stop that all processes of this machine share, without a lock that a killed one could take along."""

    def __init__(self) -> None:
        self.raised = SPAWN.RawValue("b", 0)

    def is_set(self) -> bool:
        return bool(self.raised.value)

    def set(self) -> None:
        self.raised.value = 1


@dataclass
class Asked:
    """What has been asked so far: a message on `woken` for the first signal; `times` that Ctrl-C was."""

    woken: Connection
    times: int = 0


@contextmanager
def handle_interrupts(stop: Stop) -> Iterator[Asked]:
    """Turn the first Ctrl-C, and any SIGTERM, into `stop` being set and a message on a connection, so that it never cuts a
    conversation with a worker in two; the next Ctrl-C raises KeyboardInterrupt. Does nothing outside the main thread."""
    woken, waker = SPAWN.Pipe(duplex=False)
    asked = Asked(woken)

    def handle(number: int, frame: FrameType | None) -> None:
        asked.times += number == signal.SIGINT
        if number == signal.SIGINT and asked.times > 1:
            raise KeyboardInterrupt
        if not stop.is_set():
            stop.set()
            waker.send_bytes(b"")

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in SIGNALS} if main else {}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_stopping() -> None:
    say("stopping: every run saves its state first; Ctrl-C again leaves at once")
