"""What several tests need: the command as a person calls it, and a study small enough to run in seconds."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from typer.testing import CliRunner

from fidrace.cli.main import app, main
from fidrace.execute.events import Event
from fidrace.execute.local import LocalExecutor
from fidrace.execute.locked_run import Ended
from fidrace.execute.torchrun import TorchrunExecutor
from fidrace.spec.study import RunSpec
from fidrace.train.process_group import ProcessGroup

settings.register_profile("seeded", derandomize=True, deadline=None, max_examples=300)  # the same examples every time
settings.load_profile("seeded")
COMMAND = [sys.executable, "-m", "fidrace"]
TINY = (
    "--budget 12 --set budget.evaluations=3 --set quality.samples=80 --set sampler.steps=2 --set optimizer.batch=16 "
    "--set optimizer.lr=0.02 --set optimizer.warmup=0 --set ema.decay=0.5 --set quality.heldout_repeats=1 --device cpu "
    "--workers 1"  # most of a small study is the start of its processes
).split()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[1] / part) for part in ("bench", ""))}

HALVING = '''
from fidrace.method import Floats, Method

class Halving(Method, name="halving", source="a test", evidence="inferred"):
    """Every weight one half."""

    def loss_weight(self, progress: float) -> Floats:
        return 0 * self.schedule.abar + 0.5
'''
FAILING = (
    HALVING.replace("Halving", "Failing")
    .replace("halving", "failing")
    .replace("        return 0", "        assert progress < 0.5, 'no more'\n        return 0")
)

Fidrace = Callable[..., subprocess.CompletedProcess[str]]
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's browser; skips where there is none."""
    from tests.browser import browser  # playwright

    with browser() as found:
        yield found


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Kill the commands that a test started and did not end, stopped workers among them."""
    from tests.faults import Study  # which needs this file

    yield
    while Study.started:
        Study.started.pop().gone()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On tensors this small more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_here(executor: LocalExecutor, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
    """`LocalExecutor.execute` without worker processes: the runs go one after another in this one, each by an executor of its
    own, because that one goes no further than a run that fails."""
    for spec in specs:
        yield from TorchrunExecutor(executor.root, ProcessGroup(torch.device("cpu"))).execute([spec])


def command_here(
    words: Iterable[str | Path], folder: Path, environment: dict[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """The command, called in this process with `folder` as its current one, and its runs in this process too."""
    threads, code = torch.get_num_threads(), None
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["fidrace", *map(str, words)])
        patch.setattr(LocalExecutor, "execute", run_here)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            torch.set_num_threads(threads)
    said = (bytes(stream.buffer.getvalue()).decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(sys.argv, int(code or 0), *said)


def command_apart(
    words: Iterable[str | Path], folder: Path, environment: dict[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """The command as a person starts it: another process, with worker processes of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=folder,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def fidrace(tmp_path: Path) -> Fidrace:
    """`fidrace(*words)` runs the command in an empty folder: in this process, because importing torch again would take
    most of the time, or as another process if that is asked for (`apart`) or if `environment` concerns Python itself."""

    def call(
        *words: str | Path, code: int = 0, environment: dict[str, str] = {}, apart: bool = False
    ) -> subprocess.CompletedProcess[str]:
        command = command_apart if apart or any(name.startswith("PYTHON") for name in environment) else command_here
        done = command(words, tmp_path, environment)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """`refused(*words)` is the one line that the command says as it exits with 2, called in this process for speed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> str:
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    return call
