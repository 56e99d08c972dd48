"""Every run by all processes that torchrun started: each trains on its slice of every batch, and the first one speaks."""

import threading
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import torch

from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.locked_run import Ended, Message, Refused, Stopped, Taken, Waiting, execute_locked
from fidrace.execute.stop import handle_interrupts
from fidrace.spec.study import RunSpec
from fidrace.train.process_group import ProcessGroup, leave_group


class TorchrunExecutor:
    """Runs by the whole group, one after another; on the first rank. `others` is for the rest."""

    def __init__(self, root: Path, ranks: ProcessGroup):
        self.root, self.ranks, self.stop = root, ranks, threading.Event()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """As `Local.execute`; after a run that failed the others do not follow, since the group is out of step."""
        waiting = Waiting(specs)
        with handle_interrupts(self.stop):
            while waiting:
                spec, patience = waiting.next()
                with closing(self.execute_one(spec, patience)) as messages:
                    for message in messages:
                        if isinstance(message, Refused):
                            raise InputError(message.message)
                        if isinstance(message, Event | Ended):
                            yield message
                if isinstance(message, Taken):
                    waiting.put_back(spec, message)
                if isinstance(message, Ended) and message.reason:
                    return
                if self.stop.is_set():
                    raise KeyboardInterrupt
        leave_group()

    def execute_one(self, spec: RunSpec, patience: float) -> Generator[Message]:
        """The run in a thread, so that what it tells is passed on as it happens. Closed early, it saves its state."""
        told: SimpleQueue[Message | BaseException] = SimpleQueue()

        def do() -> None:
            if self.ranks.device.type == "cuda":
                torch.cuda.set_device(self.ranks.device)
            try:
                told.put(execute_locked(spec, self.root, self.ranks, told.put, self.stop, patience))
            except BaseException as error:
                told.put(error)

        thread = threading.Thread(target=do, name=str(spec.directory), daemon=True)
        thread.start()
        try:
            while isinstance(message := told.get(), Event):
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
        """Take part in `specs` without a word. Raises InputError for what the first rank is told, too."""
        waiting = Waiting(specs)
        with handle_interrupts(self.stop):
            while waiting:
                spec, patience = waiting.next()
                ended = execute_locked(spec, self.root, self.ranks, lambda event: None, self.stop, patience)
                if isinstance(ended, Taken):
                    waiting.put_back(spec, None)
                if isinstance(ended, Refused):
                    raise InputError(ended.message)
                if isinstance(ended, Ended) and ended.reason:
                    raise RuntimeError(f"{spec.directory}: {ended.reason}")
                if isinstance(ended, Stopped):
                    raise KeyboardInterrupt
        leave_group()
