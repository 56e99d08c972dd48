"""A whole study, or several: what is already there stays, the rest is run, the tables are made from both."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.events import Event, say
from bench.execute.attempt import Ended
from bench.files import KEPT
from bench.store import StudyDir
from bench.study import RunSpec, Study
from methods.base import InputError


class Executor(Protocol):
    """Does runs somewhere, telling what happens as it happens."""

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]: ...


@dataclass
class Race:
    """A study in its folder. `plan` looks at what there is; `execute` does the rest."""

    study: Study
    directory: StudyDir
    retry_failed: bool = False

    def plan(self) -> list[RunSpec]:
        """The runs still to do: neither finished, nor diverged, nor failed (unless those are to be retried)."""
        to_do, known = [], self.directory.known()
        for spec in self.study.specs():
            status = known.get(spec.directory)
            if status in KEPT or (status == "failed" and not self.retry_failed):
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
            with closing(told(executor.execute(specs), lambda spec: self)) as events:
                for event in events:
                    self.refuse_target_at_start(event)
                    yield event
        finally:
            self.tabulate()

    def tabulate(self) -> None:
        """Write the tables of what has been run so far."""
        self.directory.refuse_gone()
        with self.directory.locked():
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


def told(messages: Generator[Event | Ended], race_of: Callable[[RunSpec], Race]) -> Generator[Event]:
    """What `messages` tell of runs, failures among it; whenever one ends, the tables of its race are made anew."""
    with closing(messages):
        for message in messages:
            if isinstance(message, Ended):
                if message.reason:
                    yield failure(message)
                race_of(message.spec).tabulate()
            elif message.kind == "note":
                say(f"{message.method} seed {message.seed}: {message.facts['text']}")
            else:
                yield message


def failure(ended: Ended) -> Event:
    facts = {"status": "failed", "error": ended.reason}
    return Event("run_ended", ended.spec.task.name, ended.spec.method, ended.spec.seed, 0, facts)


def default_out(study: Study) -> Path:
    return Path("results", "local", study.name)
