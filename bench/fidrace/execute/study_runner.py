"""A whole study, or several: what is already there stays, the rest is run, the tables are made from both."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fidrace.console import say
from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.locked_run import Ended
from fidrace.spec.study import RunSpec, Study
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import ENDED


class Executor(Protocol):
    """Does runs somewhere, telling what happens as it happens."""

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]: ...


@dataclass
class StudyRunner:
    """A study in its folder. `plan` looks at what there is; `execute` does the rest."""

    study: Study
    directory: StudyFolder
    retry_failed: bool = False

    def plan(self) -> list[RunSpec]:
        """The runs still to do: neither finished, nor diverged, nor failed (unless those are to be retried)."""
        to_do, known = [], self.directory.run_statuses()
        for spec in self.study.specs():
            status = known.get(spec.directory)
            if status in ENDED or (status == "failed" and not self.retry_failed):
                continue
            to_do.append(spec)
        return to_do

    def failures(self) -> list[str]:
        """`method seed s: reason` of each failed run of this study."""
        rows = [row for spec in self.study.specs() if (row := self.directory.row(spec))]
        return [f"{row['method']} seed {row['seed']}: {row['error']}" for row in rows if row["status"] == "failed"]

    def reopen(self) -> None:
        """Let this study's failed runs go on from their last checkpoints."""
        for spec in self.study.specs():
            self.directory.reopen(spec)
        self.directory.collect()

    def execute(self, executor: Executor, specs: list[RunSpec]) -> Generator[Event]:
        """Run `specs`, telling what happens; the tables of the folder keep up, whatever ends it."""
        try:
            with closing(relay_events(executor.execute(specs), lambda spec: self)) as events:
                for event in events:
                    self.refuse_target_at_start(event)
                    yield event
        finally:
            self.tabulate()

    def tabulate(self) -> None:
        """Write the tables of what has been run so far."""
        self.directory.refuse_gone()
        with self.directory.lock():
            self.directory.collect()

    def refuse_target_at_start(self, event: Event) -> None:
        """Raise InputError where a run is at the target before it trains: nothing could be raced to."""
        if event.kind != "evaluation" or event.iteration > 0 or self.study.target == "baseline-final":
            return
        if event.facts["fd"] <= self.study.target:
            raise InputError(
                f"{event.method} seed {event.seed} is at the target {self.study.target:g} at iteration 0 "
                f"({self.study.task.quality.metric} {event.facts['fd']:.4g}): choose a lower one"
            )


def relay_events(messages: Generator[Event | Ended], race_of: Callable[[RunSpec], StudyRunner]) -> Generator[Event]:
    """What `messages` tell of runs, failures among it; whenever one ends, the tables of its race are made anew."""
    with closing(messages):
        for message in messages:
            if isinstance(message, Ended):
                if message.reason:
                    yield failure_event(message)
                race_of(message.spec).tabulate()
            elif message.kind == "note":
                say(f"{message.method} seed {message.seed}: {message.facts['text']}")
            else:
                yield message


def failure_event(ended: Ended) -> Event:
    facts = {"status": "failed", "error": ended.reason}
    return Event("run_ended", ended.spec.task.name, ended.spec.method, ended.spec.seed, 0, facts)


def default_out(study: Study) -> Path:
    return Path("results", "local", study.name)
