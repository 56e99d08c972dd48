"""Execute one run under its lock and report how it ended; and the queue from which executors take runs."""

import errno
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fidrace.console import say
from fidrace.errors import InputError
from fidrace.execute.events import Ended, Event, Message, Refused, Stopped, Taken
from fidrace.execute.stop import Stop
from fidrace.spec.study import RunSpec
from fidrace.spec.trainer import TrainerTask
from fidrace.storage.atomic import WriteError
from fidrace.storage.locks import Busy
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import ENDED

if TYPE_CHECKING:
    from fidrace.train.process_group import ProcessGroup

PATIENCE = 1.0  # seconds to wait for the lock of a run that another process holds, when no other run is left


REFUSED = "refused: "  # before a reason that another rank tells, if it is no failure of the run
NO_MEMORY = ("OutOfMemoryError", "out of memory", "MemoryError", "ALLOC_FAILED", "Cannot allocate memory")


class RunQueue:
    """The runs still to execute: first those that are free, then, in turn, those that other processes hold."""

    def __init__(self, specs: Iterable[RunSpec]):
        self.free, self.held_elsewhere = deque(specs), deque[RunSpec]()
        self.announced: set[Path] = set()

    def __len__(self) -> int:
        return len(self.free) + len(self.held_elsewhere)

    def take(self) -> tuple[RunSpec, float]:
        """The next run, and how many seconds to wait for its lock."""
        return (self.free.popleft(), 0.0) if self.free else (self.held_elsewhere.popleft(), PATIENCE)

    def accept(self, spec: RunSpec, message: Message) -> Event | Ended | None:
        """Act on a message of the run `spec`: return what the executor is to yield, and put the run back if another process
        holds it. Raises InputError if no run can continue."""
        match message:
            case Event() | Ended():
                return message
            case Taken():
                self.put_back(spec, message.by)
            case Refused():
                raise InputError(message.message)
        return None

    def put_back(self, spec: RunSpec, holder: str) -> None:
        """Queue a run again that the process `holder` holds, and say so once, when only such runs are left."""
        self.held_elsewhere.append(spec)
        if holder and not self.free and spec.directory not in self.announced:
            self.announced.add(spec.directory)
            say(f"waiting for {spec.method} seed {spec.seed}: {holder} is running it")


def execute_locked(
    spec: RunSpec, root: Path, ranks: "ProcessGroup", report: Callable[[Event], None], stop: Stop, patience: float = 0.0
) -> Message:
    """Execute one run of the study at `spec.home` below `root`, unless it is done or another process holds its lock for more
    than `patience` seconds. All ranks of a group call this; rank 0 holds the lock."""
    folder = StudyFolder(root / spec.home)
    if spec.home != Path():  # studies of a series have methods of the same names

        def report(event: Event, report: Callable[[Event], None] = report) -> None:
            report(replace(event, method=f"{spec.home}/{event.method}"))

    with ExitStack() as hold:
        try:
            obstacle = claim_run(spec, folder, report, patience, hold) if ranks.is_first else None
            is_ours, is_taken = ranks.broadcast([obstacle is None, isinstance(obstacle, Taken)])
            if not is_ours:
                return obstacle or (Taken() if is_taken else Ended(spec))
            return execute_claimed(spec, folder, ranks, report, stop)
        except (InputError, OSError) as error:
            refused = Refused(why_refused(error, root))
            if not ranks.is_first:
                ranks.tell_failure(REFUSED + refused.message)
            return refused


def why_refused(error: InputError | OSError, root: Path) -> str:
    if isinstance(error, InputError):
        return str(error)
    if is_disk_full(error):
        return f"no space left for {root}; free some, then repeat the same command to resume"
    return f"{error.filename or root}: {error.strerror}; fix that, then repeat the same command to resume"


def claim_run(
    spec: RunSpec, folder: StudyFolder, report: Callable[[Event], None], patience: float, hold: ExitStack
) -> Message | None:
    """Take the run's lock until `hold` closes. None if the run is then to be executed, else the message that says why not."""
    folder.refuse_gone()
    try:
        hold.enter_context(folder.claim_run(spec, patience))
    except Busy:
        return Taken(folder.worker(spec))
    row = folder.row(spec)
    if row is None or row["status"] not in (*ENDED, "failed"):
        return None
    iterations = row.get("iterations")
    facts = {"status": row["status"], "error": row["error"]}
    iteration = iterations if isinstance(iterations, int) else 0
    report(Event("run_ended", spec.task.name, spec.method, spec.seed, iteration, facts))
    return Ended(spec)


def execute_claimed(
    spec: RunSpec, folder: StudyFolder, ranks: "ProcessGroup", report: Callable[[Event], None], stop: Stop
) -> Message:
    """Execute a run whose lock is held; a failure is recorded before the lock is released."""
    from fidrace.execute.run import Interrupted, Run
    from fidrace.execute.trainer.process import CommandFailed, CommandStopped
    from fidrace.execute.trainer.trainer_run import TrainerRun

    foreign = isinstance(spec.task, TrainerTask)
    try:
        (TrainerRun if foreign else Run)(spec, folder.path, ranks, report).execute(stop.is_set)
    except (Interrupted, CommandStopped):
        return Stopped()
    except CommandFailed as error:
        folder.record_failure(spec, str(error))
        return Ended(spec, str(error))
    except (InputError, WriteError) as error:
        if foreign and isinstance(error, InputError):  # of what this run's command has left; the others go on
            folder.record_failure(spec, str(error))
            return Ended(spec, str(error))
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a method's file may raise anything
        if is_disk_full(error):
            raise
        origin = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        reason = ranks.tell_failure(f"{type(error).__name__}: {text} ({Path(origin.filename).name}:{origin.lineno})")
        if ranks.is_first and not is_out_of_memory(reason, ranks):
            folder.record_failure(spec, reason)
        return Ended(spec, reason)
    return Ended(spec)


def is_out_of_memory(reason: str, ranks: "ProcessGroup") -> bool:
    """True if a run of a group ended because a rank lacked memory, which may be there the next time: its run is not marked as
    failed, and the same command resumes it."""
    return ranks.count > 1 and any(words in reason for words in NO_MEMORY)


def is_disk_full(error: BaseException) -> bool:
    """True for an OSError that means that no space or no quota is left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
