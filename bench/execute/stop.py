"""How a study is asked to stop: by Ctrl-C or SIGTERM, and once more by who cannot wait."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import FrameType
from typing import Protocol

from bench.events import say

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


@contextmanager
def interrupts(stop: Stop) -> Iterator[Connection]:
    """Turn the first Ctrl-C, and any SIGTERM, into `stop` being set and a message on the connection given, so that it never
    cuts a conversation with a worker in two; the next Ctrl-C raises KeyboardInterrupt. Does nothing outside the main thread."""
    woken, waker = SPAWN.Pipe(duplex=False)
    interrupted = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if number == signal.SIGINT and interrupted:
            raise KeyboardInterrupt
        interrupted = interrupted or number == signal.SIGINT
        if not stop.is_set():
            stop.set()
            waker.send_bytes(b"")

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in SIGNALS} if main else {}
    try:
        yield woken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_stopping() -> None:
    say("stopping: every run saves its state first; Ctrl-C again leaves at once")
