"""Worker processes on this machine: each takes one run after another and tells what happens.

A worker that dies takes only its run with it, and one whose run failed is replaced, since nobody knows what it left behind.
Workers are spawned, never forked, and deaf to Ctrl-C and SIGTERM: the parent asks them to stop, and they save their state.
"""

import contextlib
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.locked_run import Ended, Message, Refused, Taken, Waiting, execute_locked
from fidrace.execute.stop import SIGNALS, SPAWN, Flag, handle_interrupts, say_stopping
from fidrace.spec.study import RunSpec
from fidrace.storage.study_folder import StudyFolder

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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


def pin_device(device: str) -> tuple[str, dict[str, str]]:
    """What a worker calls its device, and the environment in which it sees no other GPU."""
    if device == "cpu":
        return device, {}
    index = int(device.partition(":")[2])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "cuda:0", {"CUDA_VISIBLE_DEVICES": visible.split(",")[index] if visible else str(index)}


class Worker:
    """One process and the run that it has in hand."""

    def __init__(self, root: Path, device: str, threads: int, stop: Flag):
        self.spec: RunSpec | None = None
        self.connection, theirs = SPAWN.Pipe()
        name, environment = pin_device(device)
        self.process: SpawnProcess = SPAWN.Process(target=serve_runs, args=(theirs, root, name, stop), daemon=True)
        # Blocked while the child starts, so that it inherits that: these signals reach whole process groups. The tracker
        # first: starting it along with the child would unblock them again.
        resource_tracker.ensure_running()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with set_environment(dict.fromkeys(THREAD_VARIABLES, str(threads)) | environment):
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def begin(self, spec: RunSpec, patience: float) -> None:
        self.spec = spec
        with contextlib.suppress(OSError):  # a dead worker is noticed when it is listened to
            self.connection.send((spec, patience))

    def message(self) -> Message | None:
        """What the worker says next; None where it is dead."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return None

    def cause(self) -> str:
        """Why it is dead."""
        code = self.process.exitcode or 0
        if code >= 0:
            return f"worker ended with exit code {code}"
        return f"worker killed by {signal.Signals(-code).name}" + (" (no memory left?)" if -code == signal.SIGKILL else "")

    def end(self) -> None:
        """Part from it: idle, it goes by itself; what it has in hand it drops."""
        self.connection.close()
        if self.spec is None:
            self.process.join(5)
        self.process.kill()
        self.process.join()


class LocalExecutor:
    """Runs on worker processes of this machine."""

    def __init__(self, root: Path, device: list[str], workers: int, threads: int):
        self.root, self.device, self.workers, self.threads = root, device, workers, threads
        self.stop = Flag()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """Do all runs, telling what happens as it happens; runs in the hands of other processes are waited for, and taken over
        where these die. Raises InputError where none can go on. After Ctrl-C or SIGTERM, or when the generator is closed,
        every worker saves its state first; a second Ctrl-C does not wait for that."""
        waiting = Waiting(specs)
        crew: list[Worker] = []
        with handle_interrupts(self.stop) as asked:
            try:
                for index in range(min(self.workers, len(waiting))):
                    crew.append(self._hire(index))
                    crew[-1].begin(*waiting.next())
                while busy := {worker.connection: index for index, worker in enumerate(crew) if worker.spec}:
                    for ready in wait([*busy, asked.woken]):
                        if ready is asked.woken:
                            asked.woken.recv_bytes()
                            say_stopping()
                            continue
                        index = busy[ready]  # type: ignore[index]
                        message = crew[index].message()
                        if isinstance(message, Event):
                            yield message
                            continue
                        ended = self._conclude_run(crew[index], message, waiting)
                        if message is None or (ended and ended.reason):
                            crew[index].end()
                            crew[index] = self._hire(index)
                        if ended:
                            yield ended
                        if waiting and not self.stop.is_set():
                            crew[index].begin(*waiting.next())
                if self.stop.is_set():
                    raise KeyboardInterrupt
            except (Exception, GeneratorExit):
                if asked.times < 2:
                    self._save_all(crew)
                raise
            finally:
                for worker in crew:
                    worker.end()

    def _conclude_run(self, worker: Worker, message: Message | None, waiting: Waiting) -> Ended | None:
        """What became of the run that `worker` had in hand; one that another process has goes back among the waiting."""
        spec, worker.spec = worker.spec, None
        assert spec is not None
        if isinstance(message, Refused):
            raise InputError(message.message)
        if message is None and StudyFolder(self.root / spec.home).record_death(spec, worker.cause()):
            return Ended(spec, worker.cause())
        if message is None or isinstance(message, Taken):
            waiting.put_back(spec, message)
        return message if isinstance(message, Ended) else None

    def _hire(self, index: int) -> Worker:
        return Worker(self.root, self.device[index % len(self.device)], self.threads, self.stop)

    def _save_all(self, crew: list[Worker]) -> None:
        """Ask all workers to stop, and wait until each has saved its run or died."""
        self.stop.set()
        for worker in crew:
            while worker.spec and isinstance(worker.message(), Event):
                pass
            worker.spec = None


@contextlib.contextmanager
def set_environment(variables: dict[str, str]) -> Iterator[None]:
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


def serve_runs(connection: Connection, root: Path, device: str, stop: Flag) -> None:
    """A worker's life: specs in, messages out, until the parent closes the pipe. Where it dies, all save their runs and go."""
    import torch

    from fidrace.train.process_group import ProcessGroup

    os.dup2(2, 1)  # what a method prints goes to stderr: stdout is the command's
    ranks = ProcessGroup(torch.device(device))
    if ranks.device.type == "cuda":  # what names no device, pinned memory for one, belongs to this one
        torch.cuda.set_device(ranks.device)

    def tell(event: Event) -> None:
        try:
            connection.send(event)
        except OSError:
            stop.set()

    with contextlib.suppress(EOFError, OSError):
        while True:
            spec, patience = connection.recv()
            connection.send(execute_locked(spec, root, ranks, tell, stop, patience))
