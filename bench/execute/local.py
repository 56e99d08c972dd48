"""Worker processes on this machine: each takes one run after another and tells what happens.

A worker that dies takes only its run with it. Workers are spawned, never forked, and ignore Ctrl-C: the parent asks
them to stop, and they save their state first.
"""

import contextlib
import errno
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from bench.events import Event
from bench.study import RunSpec
from methods.base import InputError

if TYPE_CHECKING:
    from bench.train.ranks import Ranks

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Ended:
    """A run is over: `reason` is empty where its rows are complete (finished or diverged), else why it failed."""

    spec: RunSpec
    reason: str = ""


@dataclass(frozen=True)
class Stopped:
    """A run was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Refused:
    """No run can go on: the input or the disk is at fault; the message is for the person."""

    message: str


Message = Event | Ended | Stopped | Refused


class Stop(Protocol):
    """Asks runs to save their state and end; an event of threads or of processes."""

    def is_set(self) -> bool: ...
    def set(self) -> None: ...


def devices(wanted: str) -> list[str]:
    """The devices that workers use in turn; raises InputError where `wanted` is unknown or absent."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {wanted!r} (choices: auto, cpu, cuda)")
    if wanted != "cpu":
        import torch

        if torch.cuda.is_available():
            return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if wanted == "cuda":
            raise InputError("--device cuda: this machine has no CUDA device that torch can use; choose cpu or auto")
    return ["cpu"]


def default_workers(device: list[str], threads: int) -> int:
    """One worker per GPU, or as many as the cores carry at the task's number of threads."""
    if device != ["cpu"]:
        return len(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


class Worker:
    """One process and the run that it has in hand."""

    def __init__(self, root: Path, device: str, stop: StopEvent):
        self.spec: RunSpec | None = None
        self.connection, theirs = SPAWN.Pipe()
        self.process: SpawnProcess = SPAWN.Process(target=work, args=(theirs, root, device, stop), daemon=True)
        # Blocked while the child starts, so that it inherits that: Ctrl-C in a terminal reaches the whole process group.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def begin(self, spec: RunSpec) -> None:
        self.spec = spec
        with contextlib.suppress(OSError):  # a dead worker is noticed when it is listened to
            self.connection.send(spec)

    def message(self) -> Message | None:
        """What the worker says next; None where it is dead."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return None


class Local:
    """Runs on worker processes of this machine."""

    def __init__(self, root: Path, device: list[str], workers: int, threads: int):
        self.root, self.device, self.workers, self.threads = root, device, workers, threads
        self.stop: StopEvent = SPAWN.Event()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """Do all runs, telling what happens as it happens. Raises InputError where none can go on. After Ctrl-C, or when
        the generator is closed, every worker saves its state first; a second Ctrl-C does not wait for that."""
        waiting = deque(specs)
        crew: list[Worker] = []
        with interrupts(self.stop) as woken:
            try:
                crew += [self._hire(index) for index in range(min(self.workers, len(waiting)))]
                for worker in crew:
                    worker.begin(waiting.popleft())
                while busy := {worker.connection: worker for worker in crew if worker.spec}:
                    for ready in wait([*busy, woken]):
                        if ready is woken:
                            woken.recv_bytes()
                            continue
                        worker = busy[ready]  # type: ignore[index]
                        message = worker.message()
                        if isinstance(message, Event):
                            yield message
                            continue
                        spec, worker.spec = worker.spec, None
                        assert spec is not None
                        if isinstance(message, Refused):
                            raise InputError(message.message)
                        if message is None:
                            yield Ended(spec, f"worker died (exit code {worker.process.exitcode})")
                            crew[crew.index(worker)] = worker = self._hire(crew.index(worker))
                        elif isinstance(message, Ended):
                            yield message
                        if waiting and not self.stop.is_set():
                            worker.begin(waiting.popleft())
                if self.stop.is_set():
                    raise KeyboardInterrupt
            except (Exception, GeneratorExit):
                self._save_all(crew)
                raise
            finally:
                for worker in crew:
                    worker.process.terminate()
                    worker.process.join()

    def _hire(self, index: int) -> Worker:
        with environment(dict.fromkeys(THREAD_VARIABLES, str(self.threads))):
            return Worker(self.root, self.device[index % len(self.device)], self.stop)

    def _save_all(self, crew: list[Worker]) -> None:
        """Ask all workers to stop, and wait until each has saved its run or died."""
        self.stop.set()
        for worker in crew:
            while worker.spec and isinstance(worker.message(), Event):
                pass


@contextlib.contextmanager
def interrupts(stop: Stop) -> Iterator[Connection]:
    """Turn the first Ctrl-C into `stop` being set and a message on the connection given, so that it never cuts a
    conversation with a worker in two; the next one raises KeyboardInterrupt. Does nothing outside the main thread."""
    woken, waker = SPAWN.Pipe(duplex=False)

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        waker.send_bytes(b"")

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, handle) if main else None
    try:
        yield woken
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """The process's environment with `variables`, for children started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def attempt(spec: RunSpec, root: Path, ranks: "Ranks", report: Callable[[Event], None], stop: Stop) -> Message:
    """Do one run to its end, and say which end it was."""
    from bench.run import Interrupted, Run

    try:
        Run(spec, root, ranks, report).execute(stop.is_set)
    except Interrupted:
        return Stopped()
    except InputError as error:
        return Refused(str(error))
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a method's file may raise anything
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Refused(f"no space left for {root}; free some, and the same command goes on")
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        return Ended(spec, f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})")
    return Ended(spec)


def work(connection: Connection, root: Path, device: str, stop: StopEvent) -> None:
    """A worker's life: specs in, messages out, until the parent closes the pipe."""
    import torch

    from bench.train.ranks import Ranks

    ranks = Ranks(torch.device(device))
    if ranks.device.type == "cuda":  # what names no device, pinned memory for one, belongs to this one
        torch.cuda.set_device(ranks.device)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(attempt(connection.recv(), root, ranks, connection.send, stop))
