"""A run that has ended leaves no network behind: the next run of its worker needs the memory at once."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from fidrace.evaluate.evaluator import Evaluator
from fidrace.execute.events import Ended, Message, Stopped
from fidrace.execute.locked_run import execute_locked
from fidrace.execute.method_trial import execute_run
from fidrace.execute.run import Run
from fidrace.spec.study import RunSpec, define_study
from fidrace.storage.study_folder import StudyFolder
from fidrace.train.loop import Diverged, Training
from fidrace.train.process_group import ProcessGroup
from tests.test_run import CHANGES

ALONE = ProcessGroup(torch.device("cpu"))
HEAVY = (Run, Training, Evaluator, torch.nn.Module, torch.optim.Optimizer)  # what holds a network's weights

Alive = Callable[[], Counter[str]]


def heavy() -> list[object]:
    """The graphs of compiled networks, which torch keeps, hold no weights."""
    found = (one for one in gc.get_objects() if issubclass(type(one), HEAVY))
    return [one for one in found if not isinstance(one, torch.fx.GraphModule) or [*one.parameters()]]


@pytest.fixture
def alive() -> Iterator[Alive]:
    """How many heavy objects a test has left so far, by class: the collector does not run, reference counts must free them."""
    gc.collect()
    gc.disable()
    before = {id(one) for one in heavy()}
    yield lambda: Counter(type(one).__name__ for one in heavy() if id(one) not in before)
    gc.enable()


def execute(one: RunSpec, root: Path, stop_at: int | None = None) -> Message:
    """Execute a run as a worker does, asked to stop at an iteration."""
    reached: list[int] = [0]

    class Stop:
        def is_set(self) -> bool:
            return reached[-1] == stop_at

        def set(self) -> None: ...

    return execute_locked(one, root, ALONE, lambda event: reached.append(event.iteration), Stop())


def specs(root: Path, **changes: object) -> list[RunSpec]:
    """A short run each of two methods, whose study is declared in `root`."""
    study = define_study("digits", ["min-snr"], "3,", 20, changes=CHANGES | {"budget.evaluations": 2} | changes)
    StudyFolder(root).declare(study)
    return list(study.specs())


def test_a_run_that_finished_or_was_interrupted_is_freed_before_the_next(tmp_path: Path, alive: Alive) -> None:
    baseline, other = specs(tmp_path)
    for one, stop_at in ((baseline, 10), (baseline, None), (other, None)):
        assert isinstance(execute(one, tmp_path, stop_at), Stopped if stop_at else Ended)
        assert not alive()


def test_a_compiled_run_that_reads_ahead_is_freed(tmp_path: Path, alive: Alive) -> None:
    with patch.object(torch, "compile", partial(torch.compile, backend="eager")):
        for one in specs(tmp_path, **{"speed.compile": True, "speed.resident": False}):
            assert execute(one, tmp_path) == Ended(one)
            assert not alive()


def test_a_run_that_searches_is_freed(tmp_path: Path, alive: Alive) -> None:
    baseline, _ = specs(tmp_path, **{"budget.search": True, "budget.evaluations": 4})
    assert execute(baseline, tmp_path) == Ended(baseline)
    assert not alive()


@pytest.mark.parametrize("error", [Diverged, torch.OutOfMemoryError])
def test_a_run_that_diverged_or_failed_is_freed(
    error: type[Exception], tmp_path: Path, alive: Alive, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline, _ = specs(tmp_path)

    def fail(training: Training) -> None:
        raise error("no more")

    monkeypatch.setattr(Training, "observe_losses", fail)
    message = execute(baseline, tmp_path)
    assert isinstance(message, Ended)
    assert ("OutOfMemoryError" in message.reason) == (error is torch.OutOfMemoryError)
    assert not alive()


def test_a_run_is_freed_even_if_what_asks_it_to_stop_refers_to_it(tmp_path: Path, alive: Alive) -> None:
    work = execute_run(specs(tmp_path)[0], tmp_path)
    assert alive()["UNet"] == 2  # the network and its average: this test would see them
    del work
    assert not alive()
