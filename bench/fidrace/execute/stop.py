"""Stopping a study by Ctrl-C or SIGTERM, and at once by a second Ctrl-C."""

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
    """A flag that asks runs to save their state and end."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


class Flag:
    """A Stop shared by all processes on this machine. It has no lock, which a killed process might never release."""

    def __init__(self) -> None:
        self.raised = SPAWN.RawValue("b", 0)

    def is_set(self) -> bool:
        return bool(self.raised.value)

    def set(self) -> None:
        self.raised.value = 1


@dataclass
class Interrupts:
    """The signals so far: `woken` receives a message at the first one; `ctrl_c_count` counts Ctrl-C."""

    woken: Connection
    ctrl_c_count: int = 0


@contextmanager
def handle_interrupts(stop: Stop) -> Iterator[Interrupts]:
    """At the first Ctrl-C or SIGTERM, set `stop` and send a message on a connection, so that the signal never interrupts an
    exchange with a worker; a second Ctrl-C raises KeyboardInterrupt. Does nothing outside the main thread."""
    woken, waker = SPAWN.Pipe(duplex=False)
    interrupts = Interrupts(woken)

    def handle(number: int, frame: FrameType | None) -> None:
        interrupts.ctrl_c_count += number == signal.SIGINT
        if number == signal.SIGINT and interrupts.ctrl_c_count > 1:
            raise KeyboardInterrupt
        if not stop.is_set():
            stop.set()
            waker.send_bytes(b"")

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in SIGNALS} if main else {}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_stopping() -> None:
    say("stopping after every run has saved its state; press Ctrl-C again to leave at once")
