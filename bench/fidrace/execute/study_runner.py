"""Run what a study still lacks: runs that are done are kept, the others are executed, the tables are rebuilt from both."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fidrace.console import say
from fidrace.errors import InputError
from fidrace.execute.events import Ended, Event
from fidrace.spec.study import RunSpec, Study
from fidrace.storage.locks import lock_folder
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import ENDED


class Executor(Protocol):
    """Executes runs somewhere and yields their events as they happen."""

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]: ...


@dataclass
class StudyRunner:
    """A study in its folder: `plan` lists the runs still to do, `execute` executes them."""

    study: Study
    directory: StudyFolder
    retry_failed: bool = False

    def asked(self) -> list[RunSpec]:
        """The runs that this command is to bring to their end."""
        return list(self.study.specs())

    def plan(self) -> list[RunSpec]:
        """The runs still to do."""
        return self.to_do(self.asked())

    def to_do(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Those that are neither finished, nor diverged, nor failed (unless those are to be retried)."""
        to_do, known = [], self.directory.run_statuses()
        for spec in specs:
            status = known.get(spec.directory)
            if status in ENDED or (status == "failed" and not self.retry_failed):
                continue
            to_do.append(spec)
        return to_do

    def left_at_most(self) -> list[RunSpec]:
        """The runs still to do, if every one of them turns out to be needed."""
        return self.plan()

    def catch_up(self) -> Sequence[object]:
        """What the runs so far have decided already; nothing if all runs are raced anyway."""
        return ()

    def describe_size(self, left: int) -> tuple[str, str]:
        """How many runs this is, and how much of it is done if `left` runs are left, in words."""
        methods, seeds = len(self.study.methods), len(self.study.seeds)
        total = methods * seeds
        done = f"; {total - left} of {total} runs are done already" if left < total else ""
        return f"{methods} methods x {seeds} seeds", done

    def failures(self) -> list[str]:
        """`method seed s: reason` for each failed run of this study."""
        rows = [row for spec in self.asked() if (row := self.directory.row(spec))]
        return [f"{row['method']} seed {row['seed']}: {row['error']}" for row in rows if row["status"] == "failed"]

    def declare(self) -> None:
        """Prepare the folder for runs: write study.json, adopt published rows, reopen failed runs if they are to be retried.
        The caller holds the folder's lock."""
        self.directory.declare(self.study)
        self.directory.adopt()
        if self.retry_failed:
            self.reopen()

    def reopen(self) -> None:
        """Mark this study's failed runs as running, so that they resume from their last checkpoints."""
        for spec in self.study.specs():
            self.directory.reopen(spec)
        self.directory.collect()

    def execute(self, executor: Executor, specs: list[RunSpec]) -> Generator[Event]:
        """Execute `specs` and yield their events. Rebuilds the folder's tables as runs end, and once more at the end, whatever
        ends it."""
        try:
            with closing(relay_events(executor.execute(specs), lambda spec: self)) as events:
                for event in events:
                    self.refuse_target_at_start(event)
                    yield event
        finally:
            self.tabulate()

    def tabulate(self) -> None:
        """Rebuild runs.csv and evals.csv from the runs so far."""
        self.directory.refuse_gone()
        with lock_folder(self.directory.path):
            self.directory.collect()

    def refuse_target_at_start(self, event: Event) -> None:
        """Raise InputError if a run is at the target before it trains, so that there would be nothing to race for; or inside a
        window that was asked for, which then leaves the curve."""
        if event.kind != "evaluation" or event.iteration > 0 or self.study.target == "baseline-final":
            return
        start, target, window = event.facts["fd"], self.study.target, self.study.window
        where = f"{event.method} seed {event.seed}"
        distance = f"{self.study.task.quality.metric} {start:.4g}"
        if start <= target:
            raise InputError(f"{where} is at the target {target:g} at iteration 0 ({distance}): choose a lower one")
        if self.study.window_given and start <= target * window:
            reach = f"from {target / window:.3g} to {target * window:.3g}"
            raise InputError(f"{where} starts inside the window {window:g}, {reach} ({distance}): choose a smaller one")


def relay_events(messages: Generator[Event | Ended], runner_of: Callable[[RunSpec], StudyRunner]) -> Generator[Event]:
    """Yield the events of all runs, an event for each failure among them; rebuild a study's tables whenever one of its runs
    ends."""
    with closing(messages):
        for message in messages:
            if isinstance(message, Ended):
                if message.reason:
                    yield failure_event(message)
                runner_of(message.spec).tabulate()
            elif message.kind == "note":
                say(f"{message.method} seed {message.seed}: {message.facts['text']}")
            else:
                yield message


def failure_event(ended: Ended) -> Event:
    """The event `run_ended` of a run that failed."""
    facts = {"status": "failed", "error": ended.reason}
    return Event("run_ended", ended.spec.task.name, ended.spec.method, ended.spec.seed, 0, facts)


def default_out(study: Study) -> Path:
    return Path("results", "local", study.name)
