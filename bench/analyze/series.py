"""A series: several studies in one folder, each in a home of its own below it, run together on one crew of workers.

Each home is a study's DIR like any other: what is there is not run again, and `fidrace score` and `report` read it.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.events import Event
from bench.execute.attempt import Ended
from bench.execute.local import Local, default_workers
from bench.execute.preflight import check, resolved
from bench.execute.race import Race, told
from bench.store import StudyDir
from bench.study import RunSpec, Study
from bench.task import Task


@dataclass(frozen=True)
class Series:
    """The races of several studies, by their homes below `root`."""

    root: Path
    races: dict[Path, Race]

    @classmethod
    def of(cls, root: Path, studies: dict[str, Study]) -> "Series":
        """Raises InputError where a home holds another study, or where a run of one could not start."""
        found = {Path(home): resolved(study) if study.task.open else study for home, study in studies.items()}
        races = {home: Race(study, StudyDir(root / home)) for home, study in found.items()}
        for race in races.values():
            race.directory.merged(race.study)
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
                with race.directory.locked():
                    present.enter_context(race.directory.used())
                    race.directory.declare(race.study)
                    race.directory.adopt()
                    if retry_failed:
                        race.reopen()
            yield self.plan()

    def execute(self, specs: list[RunSpec], team: list[str], workers: int | None) -> Generator[Event]:
        """Run `specs` on the devices of `team`, telling what happens; the tables of every home keep up."""
        threads = self.task.budget.threads
        executor = Local(self.root, team, workers or default_workers(team, threads), threads)
        messages: Generator[Event | Ended] = executor.execute(specs)
        try:
            yield from told(messages, lambda spec: self.races[spec.home])
        finally:
            messages.close()
            for race in self.races.values():
                race.tabulate()

    def failures(self) -> list[str]:
        """`home: method seed s: reason` of each failed run."""
        return [f"{home}: {line}" for home, race in self.races.items() for line in race.failures()]
