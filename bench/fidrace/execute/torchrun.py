"""All processes that torchrun started execute each run together, each on its slice of every batch; rank 0 reports."""

import os
import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue

import torch
import torch.distributed as dist

from fidrace.errors import InputError
from fidrace.execute.events import Ended, Event, Message, Stopped
from fidrace.execute.locked_run import RunQueue, execute_locked
from fidrace.execute.stop import handle_interrupts
from fidrace.spec.study import RunSpec, Study
from fidrace.train.process_group import ProcessGroup


class TorchrunExecutor:
    """Executes runs one after another, each by the whole group: rank 0 calls `execute`, the other ranks `follow`."""

    def __init__(self, root: Path, ranks: ProcessGroup):
        self.root, self.ranks, self.stop = root, ranks, threading.Event()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """As `LocalExecutor.execute`, but returns after a run that failed, because the ranks are then out of step."""
        queue = RunQueue(specs)
        with handle_interrupts(self.stop):
            while queue:
                spec, patience = queue.take()
                passed = None
                with closing(self.execute_in_thread(spec, patience)) as messages:
                    for message in messages:
                        if passed := queue.accept(spec, message):
                            yield passed
                if isinstance(passed, Ended) and passed.reason:
                    return
                if self.stop.is_set():
                    raise KeyboardInterrupt
        leave_group()

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
            while isinstance(message := received.get(), Event):
                yield message
        except GeneratorExit:
            self.stop.set()
            thread.join()
            raise
        if isinstance(message, BaseException):
            raise message
        thread.join()
        yield message

    def follow(self, specs: Iterable[RunSpec]) -> None:
        """Take part in `specs` and report nothing. Raises InputError as rank 0 does."""
        queue = RunQueue(specs)
        with handle_interrupts(self.stop):
            while queue:
                spec, patience = queue.take()
                message = execute_locked(spec, self.root, self.ranks, lambda event: None, self.stop, patience)
                passed = queue.accept(spec, message)
                if isinstance(passed, Ended) and passed.reason:
                    raise RuntimeError(f"{spec.directory}: {passed.reason}")
                if isinstance(message, Stopped):
                    raise KeyboardInterrupt
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
    # a long timeout: the other ranks wait while rank 0 computes the features of a whole data set
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    return ProcessGroup(device, rank, count)
