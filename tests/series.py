"""A series run to its end for tests of analyses, in this process: a worker would spend more on its imports than on the runs.

The commands' own tests (test_landscape.py, test_robustness.py) run series by workers.
"""

from pathlib import Path
from threading import Event

import torch

from fidrace.execute.events import Ended
from fidrace.execute.locked_run import execute_locked
from fidrace.execute.study_series import StudySeries
from fidrace.spec.study import Study
from fidrace.train.process_group import ProcessGroup


def run_series(folder: Path, studies: dict[str, Study]) -> StudySeries:
    series = StudySeries.of(folder, studies)
    torch.set_num_threads(series.task.budget.threads)
    with series.open_homes() as specs:
        assert len(specs) == sum(len(study.methods) * len(study.seeds) for study in studies.values())
        for spec in specs:
            ended = execute_locked(spec, folder, ProcessGroup(torch.device("cpu")), lambda event: None, Event())
            assert isinstance(ended, Ended)
    for runner in series.runners.values():
        runner.tabulate()
    assert series.failures() == []
    assert series.plan() == []
    return series
