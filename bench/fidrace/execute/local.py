"""Worker processes on this machine: each executes one run after another and reports its progress.

If a worker dies, only its run fails. A worker whose run failed is replaced, because the failure may have left its process in
a bad state. Workers are spawned, never forked, and ignore Ctrl-C and SIGTERM: the parent asks them to stop, and they save
their runs.
"""

import contextlib
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from fidrace.console import make_printable
from fidrace.errors import InputError
from fidrace.execute.events import Ended, Event, Message, Taken
from fidrace.execute.locked_run import RunQueue, execute_locked
from fidrace.execute.stop import SIGNALS, SPAWN, Flag, handle_interrupts, say_stopping
from fidrace.spec.study import RunSpec
from fidrace.storage.study_folder import StudyFolder

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def devices(wanted: str) -> list[str]:
    """The devices that workers use in turn; raises InputError if `wanted` is unknown or this machine lacks it."""
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
    """One worker per GPU; without GPUs, one per `threads` cores."""
    if device != ["cpu"]:
        return len(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


def pin_device(device: str) -> tuple[str, dict[str, str]]:
    """The worker's own name for its device, and the environment variables that hide all other GPUs from it."""
    if device == "cpu":
        return device, {}
    index = int(device.partition(":")[2])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "cuda:0", {"CUDA_VISIBLE_DEVICES": visible.split(",")[index] if visible else str(index)}


class Worker:
    """A worker process, and the run that it executes (None if it is idle)."""

    def __init__(self, root: Path, device: str, threads: int, stop: Flag):
        self.spec: RunSpec | None = None
        self.connection, theirs = SPAWN.Pipe()
        name, environment = pin_device(device)
        self.process: SpawnProcess = SPAWN.Process(target=serve_runs, args=(theirs, root, name, stop), daemon=True)
        # The signals reach whole process groups; the child inherits that they are blocked. The tracker starts first, because
        # starting it together with the child would unblock them.
        resource_tracker.ensure_running()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with set_environment(dict.fromkeys(THREAD_VARIABLES, str(threads)) | environment):
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()

    def assign(self, spec: RunSpec, patience: float) -> None:
        """Send the worker its next run."""
        self.spec = spec
        with contextlib.suppress(OSError):  # `receive` notices a dead worker
            self.connection.send((spec, patience))

    def receive(self) -> Message | None:
        """The worker's next message; None if it is dead."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return None

    def cause_of_death(self) -> str:
        """The exit code or signal that ended the process, for the user."""
        code = self.process.exitcode or 0
        if code >= 0:
            return f"worker ended with exit code {code}"
        return f"worker killed by {signal.Signals(-code).name}" + (" (no memory left?)" if -code == signal.SIGKILL else "")

    def close(self) -> None:
        """End the process: an idle worker exits by itself, a busy one is killed."""
        self.connection.close()
        if self.spec is None:
            self.process.join(5)
        self.process.kill()
        self.process.join()


class LocalExecutor:
    """Executes runs in worker processes on this machine."""

    def __init__(self, root: Path, devices: list[str], workers: int, threads: int):
        self.root, self.devices, self.worker_count, self.threads = root, devices, workers, threads
        self.stop = Flag()
        self.workers: list[Worker] = []

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """Execute all runs and yield their events. Waits for runs that other processes hold, and takes them over if those
        die. Raises InputError if no run can continue. On Ctrl-C or SIGTERM, or if the generator is closed, every worker saves
        its run first; a second Ctrl-C does not wait for that."""
        queue = RunQueue(specs)
        with handle_interrupts(self.stop) as interrupts:
            try:
                for index in range(min(self.worker_count, len(queue))):
                    self.workers.append(self._start_worker(index))
                    self.workers[-1].assign(*queue.take())
                while busy := {worker.connection: index for index, worker in enumerate(self.workers) if worker.spec}:
                    for ready in wait([*busy, interrupts.woken]):
                        if ready is interrupts.woken:
                            interrupts.woken.recv_bytes()
                            say_stopping()
                        else:
                            yield from self._handle_message(busy[ready], queue)  # type: ignore[index]
                if self.stop.is_set():
                    raise KeyboardInterrupt
            except (Exception, GeneratorExit):
                if interrupts.ctrl_c_count < 2:
                    self._save_runs()
                raise
            finally:
                for worker in self.workers:
                    worker.close()

    def _handle_message(self, index: int, queue: RunQueue) -> Generator[Event | Ended]:
        """Receive a message of worker `index`. If its run is over, replace a worker that died or failed, and assign the next
        run."""
        worker = self.workers[index]
        assert worker.spec is not None
        received = worker.receive()
        if isinstance(received, Event):
            yield received
            return
        spec, worker.spec = worker.spec, None
        message = queue.accept(spec, self._record_death(worker, spec) if received is None else received)
        if received is None or (isinstance(message, Ended) and message.reason):
            worker.close()
            self.workers[index] = self._start_worker(index)
        if message:
            yield message
        if queue and not self.stop.is_set():
            self.workers[index].assign(*queue.take())

    def _record_death(self, worker: Worker, spec: RunSpec) -> Message:
        """Record the failure of the run whose worker died, unless another process has already taken the run over."""
        reason = worker.cause_of_death()
        return Ended(spec, reason) if StudyFolder(self.root / spec.home).record_death(spec, reason) else Taken()

    def _start_worker(self, index: int) -> Worker:
        return Worker(self.root, self.devices[index % len(self.devices)], self.threads, self.stop)

    def _save_runs(self) -> None:
        """Ask all workers to stop, and wait until each has saved its run or died."""
        self.stop.set()
        for worker in self.workers:
            while worker.spec and isinstance(worker.receive(), Event):
                pass
            worker.spec = None


@contextlib.contextmanager
def set_environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the child processes that are started inside the context."""
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
    """The worker process: receives specs and sends messages until the parent closes the pipe. If the parent dies, the worker
    saves its run and exits."""
    import torch

    from fidrace.train.process_group import ProcessGroup

    make_printable()
    os.dup2(2, 1)  # a method may print; stdout belongs to the command
    ranks = ProcessGroup(torch.device(device))
    if ranks.device.type == "cuda":  # some calls name no device, such as those for pinned memory
        torch.cuda.set_device(ranks.device)

    def report(event: Event) -> None:
        try:
            connection.send(event)
        except OSError:
            stop.set()

    with contextlib.suppress(EOFError, OSError):
        while True:
            spec, patience = connection.recv()
            connection.send(execute_locked(spec, root, ranks, report, stop, patience))
