"""A series: several studies in one folder, each in a home of its own below it, run together on one crew of workers.

Each home is a study's DIR like any other: what is there is not run again, and `fidrace score` and `report` read it.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fidrace.execute.events import Event
from fidrace.execute.local import LocalExecutor, default_workers
from fidrace.execute.locked_run import Ended
from fidrace.execute.preflight import check, resolve_content
from fidrace.execute.study_runner import StudyRunner, relay_events
from fidrace.spec.study import RunSpec, Study
from fidrace.spec.task import Task
from fidrace.storage.study_folder import StudyFolder


@dataclass(frozen=True)
class StudySeries:
    """The races of several studies, by their homes below `root`."""

    root: Path
    races: dict[Path, StudyRunner]

    @classmethod
    def of(cls, root: Path, studies: dict[str, Study]) -> "StudySeries":
        """Raises InputError where a home holds another study, or where a run of one could not start."""
        found = {Path(home): resolve_content(study) if study.task.open else study for home, study in studies.items()}
        races = {home: StudyRunner(study, StudyFolder(root / home)) for home, study in found.items()}
        for race in races.values():
            race.directory.merged_manifest(race.study)
            check(race.study)
        return cls(root, races)

    @property
    def task(self) -> Task:
        """The first study's."""
        return next(iter(self.races.values())).study.task

    def plan(self) -> list[RunSpec]:
        """The runs still to do, of all studies."""
        return [replace(spec, home=home) for home, race in self.races.items() for spec in race.plan()]

    @contextmanager
    def ready(self, retry_failed: bool = False) -> Generator[list[RunSpec]]:
        """The homes made and declared, and held while in use; gives the runs still to do."""
        with ExitStack() as present:
            for race in self.races.values():
                with race.directory.lock():
                    present.enter_context(race.directory.mark_in_use())
                    race.directory.declare(race.study)
                    race.directory.adopt()
                    if retry_failed:
                        race.reopen()
            yield self.plan()

    def execute(self, specs: list[RunSpec], team: list[str], workers: int | None) -> Generator[Event]:
        """Run `specs` on the devices of `team`, telling what happens; the tables of every home keep up."""
        threads = self.task.budget.threads
        executor = LocalExecutor(self.root, team, workers or default_workers(team, threads), threads)
        messages: Generator[Event | Ended] = executor.execute(specs)
        try:
            yield from relay_events(messages, lambda spec: self.races[spec.home])
        finally:
            messages.close()
            for race in self.races.values():
                race.tabulate()

    def failures(self) -> list[str]:
        """`home: method seed s: reason` of each failed run."""
        return [f"{home}: {line}" for home, race in self.races.items() for line in race.failures()]
