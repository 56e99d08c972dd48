"""All processes that torchrun started execute each run together, each on its slice of every batch; rank 0 reports."""

import os
import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

from fidrace.errors import GroupFailed, InputError
from fidrace.execute.events import Ended, Event, Message, Refused, Stopped
from fidrace.execute.locked_run import REFUSED, RunQueue, execute_locked, is_out_of_memory
from fidrace.execute.stop import handle_interrupts
from fidrace.spec.study import RunSpec, Study
from fidrace.storage.study_folder import StudyFolder
from fidrace.train.process_group import ProcessGroup

POLL_SECONDS = 0.5  # how often rank 0 looks whether another rank has failed
LEAVE_SECONDS = 600  # after which a rank that failed leaves even if rank 0 has not


class TorchrunExecutor:
    """Executes runs one after another, each by the whole group: rank 0 calls `execute`, the other ranks `follow`."""

    def __init__(self, root: Path, ranks: ProcessGroup):
        self.root, self.ranks, self.stop = root, ranks, threading.Event()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """As `LocalExecutor.execute`, but returns after a run that failed, because the ranks are then out of step. Raises
        GroupFailed if a rank lacked memory."""
        queue = RunQueue(specs)
        with handle_interrupts(self.stop):
            while queue:
                spec, patience = queue.take()
                passed = None
                with closing(self.execute_in_thread(spec, patience)) as messages:
                    for message in messages:
                        if passed := queue.accept(spec, message):
                            self.refuse_lost(passed)
                            yield passed
                if isinstance(passed, Ended) and passed.reason:
                    return
                if self.stop.is_set():
                    raise KeyboardInterrupt
        leave_group()

    def refuse_lost(self, message: Event | Ended) -> None:
        """Raise GroupFailed if a run ended because a rank lacked memory."""
        if isinstance(message, Ended) and is_out_of_memory(message.reason, self.ranks):
            run = f"{message.spec.method} seed {message.spec.seed}"
            raise GroupFailed(f"{run}: {message.reason}; the same command resumes")

    def execute_in_thread(self, spec: RunSpec, patience: float) -> Generator[Message]:
        """Execute the run in a thread, so that its events are yielded as they happen. If closed early, the run saves its
        state."""
        received: SimpleQueue[Message | BaseException] = SimpleQueue()

        def execute() -> None:
            if self.ranks.device.type == "cuda":
                torch.cuda.set_device(self.ranks.device)
            try:
                received.put(execute_locked(spec, self.root, self.ranks, received.put, self.stop, patience))
            except BaseException as error:
                received.put(error)

        thread = threading.Thread(target=execute, name=str(spec.directory), daemon=True)
        thread.start()
        try:
            while isinstance(message := self.receive(received, spec), Event):
                yield message
        except GeneratorExit:
            self.stop.set()
            self.wait_for(thread)
            raise
        if isinstance(message, BaseException):
            raise message
        self.wait_for(thread)
        yield message

    def wait_for(self, thread: threading.Thread) -> None:
        """Wait for the end of the run's thread, unless it may itself wait for a rank that is gone."""
        while thread.is_alive() and not self.ranks.failure():
            thread.join(POLL_SECONDS)

    def receive(self, received: "SimpleQueue[Message | BaseException]", spec: RunSpec) -> Message | BaseException:
        """The run's next message; or that it failed or was refused, as soon as another rank says so: this one's thread may wait
        for that in vain."""
        while True:
            try:
                return received.get(timeout=POLL_SECONDS)
            except Empty:
                if reason := self.ranks.failure():
                    if REFUSED in reason:
                        return Refused(reason.replace(REFUSED, "", 1))
                    if not is_out_of_memory(reason, self.ranks):
                        StudyFolder(self.root / spec.home).record_failure(spec, reason)
                    return Ended(spec, reason)

    def follow(self, specs: Iterable[RunSpec]) -> None:
        """Take part in `specs` and report nothing. Raises GroupFailed after a run that failed or was refused, when rank 0 has
        said why and torchrun ends this process; to leave first would let torchrun end rank 0."""
        queue = RunQueue(specs)
        with handle_interrupts(self.stop):
            while queue:
                spec, patience = queue.take()
                message = execute_locked(spec, self.root, self.ranks, lambda event: None, self.stop, patience)
                if isinstance(message, Refused) or (isinstance(message, Ended) and message.reason):
                    self.stop.wait(LEAVE_SECONDS)
                    raise GroupFailed
                if isinstance(message, Stopped):
                    raise KeyboardInterrupt
                queue.accept(spec, message)
        leave_group()


def broadcast_specs(study: Study, specs: Iterable[RunSpec], ranks: ProcessGroup) -> list[RunSpec]:
    """Rank 0's `specs`, on every rank; they are runs of `study`."""
    all_specs = list(study.specs())
    wanted = {spec.directory for spec in specs}
    flags = ranks.broadcast([spec.directory in wanted for spec in all_specs])
    return [spec for spec, is_wanted in zip(all_specs, flags, strict=True) if is_wanted]


def leave_group() -> None:
    """Destroy the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def join_group(devices: list[str]) -> ProcessGroup:
    """Join the other processes of torchrun, each on its own device. Raises InputError if there are too few devices."""
    rank, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if devices != ["cpu"] and local >= len(devices):
        raise InputError(f"torchrun: process {local} of this machine has no GPU of its own ({len(devices)} available)")
    device = torch.device("cpu" if devices == ["cpu"] else devices[local])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # a long timeout: ranks wait in a collective while the one that holds the cache's lock computes a whole data set's features
    timeout = timedelta(hours=6)
    store, rank, count = next(rendezvous("env://", rank, count, timeout=timeout))
    attempt = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)  # torchrun keeps the store when it restarts
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=PrefixStore("group", attempt), rank=rank, world_size=count, timeout=timeout)
    return ProcessGroup(device, rank, count, PrefixStore("told", attempt.clone()))
