"""One run, by this process: taken in hand, brought to its end, and which end that was."""

import errno
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fidrace.console import say
from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.stop import Stop
from fidrace.spec.study import RunSpec
from fidrace.storage.atomic import WriteError
from fidrace.storage.locks import Busy
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import ENDED

if TYPE_CHECKING:
    from fidrace.train.process_group import ProcessGroup

PATIENCE = 1.0  # seconds that an attempt waits for another process, where nothing else is to be done


@dataclass(frozen=True)
class Ended:
    """A run is over: `reason` is empty where its rows are complete (finished or diverged), else why it failed."""

    spec: RunSpec
    reason: str = ""


@dataclass(frozen=True)
class Stopped:
    """A run was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Taken:
    """A run is in another process's hands; `by` says whose."""

    by: str = ""


@dataclass(frozen=True)
class Refused:
    """No run can go on: the input or the disk is at fault; the message is for the person."""

    message: str


Message = Event | Ended | Stopped | Taken | Refused


class Waiting:
    """Runs to be given out: first those that nobody has in hand, then, again and again, those that other processes have."""

    def __init__(self, specs: Iterable[RunSpec]):
        self.free, self.elsewhere = deque(specs), deque[RunSpec]()
        self.said: set[Path] = set()

    def __len__(self) -> int:
        return len(self.free) + len(self.elsewhere)

    def next(self) -> tuple[RunSpec, float]:
        """A run, and how many seconds to wait for it."""
        return (self.free.popleft(), 0.0) if self.free else (self.elsewhere.popleft(), PATIENCE)

    def put_back(self, spec: RunSpec, taken: Taken | None) -> None:
        """A run that another process has; said once, when there is nothing else to do."""
        self.elsewhere.append(spec)
        if taken and taken.by and not self.free and spec.directory not in self.said:
            self.said.add(spec.directory)
            say(f"waiting for {spec.method} seed {spec.seed}: {taken.by} has it in hand")


def execute_locked(
    spec: RunSpec, root: Path, ranks: "ProcessGroup", report: Callable[[Event], None], stop: Stop, patience: float = 0.0
) -> Message:
    """Do one run of a study that lies at its home below `root` to its end, unless another process has it in hand for longer
    than `patience` seconds or has done it. All ranks of a group take part; the first one holds the run's lock."""
    folder = StudyFolder(root / spec.home)
    if spec.home != Path():  # its name is not the run's alone

        def report(event: Event, tell: Callable[[Event], None] = report) -> None:
            tell(replace(event, method=f"{spec.home}/{event.method}"))

    with ExitStack() as hold:
        try:
            found = claim(spec, folder, report, patience, hold) if ranks.is_first else None
            ours, elsewhere = ranks.broadcast([found is None, isinstance(found, Taken)])
            if not ours:
                return found or (Taken() if elsewhere else Ended(spec))
            return execute_claimed(spec, folder, ranks, report, stop)
        except InputError as error:
            return Refused(str(error))
        except OSError as error:
            if is_full(error):
                return Refused(f"no space left for {root}; free some, and the same command goes on")
            return Refused(f"{error.filename or root}: {error.strerror}; where that is mended, the same command goes on")


def claim(
    spec: RunSpec, folder: StudyFolder, report: Callable[[Event], None], patience: float, hold: ExitStack
) -> Message | None:
    """Hold the run's lock; None where the run is then to be done."""
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
    where = iterations if isinstance(iterations, int) else 0
    report(Event("run_ended", spec.task.name, spec.method, spec.seed, where, facts))
    return Ended(spec)


def execute_claimed(
    spec: RunSpec, folder: StudyFolder, ranks: "ProcessGroup", report: Callable[[Event], None], stop: Stop
) -> Message:
    """Do a run that is in hand; what it fails of is noted while it still is."""
    from fidrace.execute.run import Interrupted, Run

    try:
        Run(spec, folder.path, ranks, report).execute(stop.is_set)
    except Interrupted:
        return Stopped()
    except (InputError, WriteError):
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a method's file may raise anything
        if is_full(error):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})"
        if ranks.is_first:
            folder.record_failure(spec, reason)
        return Ended(spec, reason)
    return Ended(spec)


def is_full(error: BaseException) -> bool:
    """Whether a disk has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
