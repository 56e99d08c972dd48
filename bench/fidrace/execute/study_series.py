"""A series: several studies in one folder, run together by one set of workers.

Each study has a home, a folder below the series' own, which is a study's DIR like any other: runs that are there are not run
again, and `fidrace score` and `report` read it.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fidrace.errors import InputError
from fidrace.execute.events import Ended, Event
from fidrace.execute.local import LocalExecutor, default_workers
from fidrace.execute.preflight import check_startable, resolve_content
from fidrace.execute.study_runner import StudyRunner, relay_events
from fidrace.spec.study import RunSpec, Study
from fidrace.spec.task import Task
from fidrace.storage.locks import lock_folder
from fidrace.storage.study_folder import StudyFolder


@dataclass(frozen=True)
class StudySeries:
    """Studies by their homes, relative to `root`."""

    root: Path
    runners: dict[Path, StudyRunner]

    @classmethod
    def of(cls, root: Path, studies: dict[str, Study], retry_failed: bool = False) -> "StudySeries":
        """Raises InputError if `root` or a home holds another study, or if a run could not start."""
        if "" not in studies and StudyFolder(root).holds_study():
            raise InputError(f"{root} holds a study of its own; choose another --out")
        resolved = {
            Path(home): resolve_content(study) if study.own_task.has_open_content else study for home, study in studies.items()
        }
        runners = {home: StudyRunner(study, StudyFolder(root / home), retry_failed) for home, study in resolved.items()}
        for runner in runners.values():
            runner.directory.merged_manifest(runner.study)
            check_startable(runner.study)
        return cls(root, runners)

    @property
    def task(self) -> Task:
        """The task of the first study."""
        return next(iter(self.runners.values())).study.own_task

    def plan(self) -> list[RunSpec]:
        """The runs of all studies that are still to do."""
        return [replace(spec, home=home) for home, runner in self.runners.items() for spec in runner.plan()]

    @contextmanager
    def open_homes(self) -> Generator[list[RunSpec]]:
        """Create and declare the homes, and mark them in use until the block ends; yields the runs still to do."""
        with ExitStack() as in_use:
            for runner in self.runners.values():
                with lock_folder(runner.directory.path):
                    in_use.enter_context(runner.directory.mark_in_use())
                    runner.declare()
            yield self.plan()

    def execute(self, specs: list[RunSpec], devices: list[str], workers: int | None) -> Generator[Event]:
        """Run `specs` on `devices` and yield their events. Each home's tables are rebuilt whenever one of its runs
        ends."""
        threads = self.task.budget.threads
        executor = LocalExecutor(self.root, devices, workers or default_workers(devices, threads), threads)
        messages: Generator[Event | Ended] = executor.execute(specs)
        try:
            yield from relay_events(messages, lambda spec: self.runners[spec.home])
        finally:
            messages.close()
            for runner in self.runners.values():
                runner.tabulate()

    def failures(self) -> list[str]:
        """`home: method seed s: reason` of each failed run."""
        return [f"{home}: {line}" for home, runner in self.runners.items() for line in runner.failures()]
