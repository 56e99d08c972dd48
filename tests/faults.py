"""Commands at work that are stopped, killed and started again, and what their folders must then have in common."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from tests.conftest import COMMAND, ENVIRONMENT, TINY, command_here

TIMES = {"train_seconds", "eval_seconds", "started", "ended", "seconds_per_1000"}
TABLES = ("runs.csv", "evals.csv", "speedups.csv", "guards.csv", "curve.csv", "leaderboard.csv")
SMALL = (
    *("run", *TINY, "--budget", "45", "--set", "budget.checkpoint_minutes=0", "--target", "120"),
    *("-m", "uncertainty+mdlrc", "--seeds", "2"),
)


class Study:
    """A command in a process group of its own, in `folder`; what it prints is kept in files beside."""

    started: ClassVar[list["Study"]] = []

    def __init__(self, words: Sequence[str | Path], folder: Path, name: str = "one", environment: dict[str, str] = {}):
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        command = [*COMMAND, *map(str, words), "--json"]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command, cwd=folder, env=ENVIRONMENT | environment, stdout=out, stderr=err, start_new_session=True
            )
        self.started.append(self)

    def events(self) -> list[dict[str, Any]]:
        """What it has told so far."""
        return events_in(self.out.read_text())

    def starts(self) -> list[tuple[str, int, int]]:
        """Method, seed and iteration of each run that it took up."""
        return starts_in(self.events())

    def trained(self, iterations: int) -> bool:
        """Whether it has told of a run that is so far."""
        return any(event.get("iteration", 0) >= iterations for event in self.events())

    def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait for something to become true while it works."""
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                self.gone()
                raise AssertionError(f"{self.process.returncode}\n{self.out.read_text()}\n{self.err.read_text()}")
            time.sleep(0.02)

    def send(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def ended(self, code: int, seconds: float = 180.0) -> "Study":
        """Wait for its end, with this exit code."""
        found = self.process.wait(seconds)
        assert found == code, f"exit code {found}\n{self.out.read_text()}\n{self.err.read_text()}"
        return self

    def gone(self) -> None:
        """Make sure that nothing of it runs on."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def events_in(text: str) -> list[dict[str, Any]]:
    """The events of whole lines."""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def starts_in(events: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(one["method"], one["seed"], one["iteration"]) for one in events if one["event"] == "run_started"]


def ended_here(words: Sequence[str | Path], folder: Path) -> list[tuple[str, int, int]]:
    """What the command takes up in this process, and does, in a folder that others left: two processes less to start."""
    done = command_here([*words, "--json"], folder)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return starts_in(events_in(done.stdout))


def rows(folder: Path) -> list[dict[str, Any]]:
    """What the runs say of themselves."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/*/*/run.json"))]


def untimed(path: Path) -> str:
    """A table as text, without what is measured in time."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "axis" in table:
        table = table[table["axis"] != "seconds"]
    return table.drop(columns=TIMES & {*table}).to_csv(index=False)


def assert_same(one: Path, other: Path) -> None:
    """The tables of two folders are equal byte for byte, times left out, and so are the runs' weights and pictures; nothing is
    half-written in the first."""
    for name in TABLES:
        assert untimed(one / name) == untimed(other / name), name
    assert (one / "leaderboard.md").read_bytes() == (other / "leaderboard.md").read_bytes()
    for path in other.glob("runs/*/*/*/*"):
        if path.suffix in (".safetensors", ".png"):
            assert (one / path.relative_to(other)).read_bytes() == path.read_bytes(), path
    files = ({path.relative_to(folder) for path in folder.glob("runs/**/*")} for folder in (one, other))
    assert next(files) == next(files)
    assert not list(one.rglob("*.tmp"))


def killed_again_and_again(
    folder: Path, moments: Sequence[float], words: Sequence[str], begun: bool = False, seconds: float = 180.0
) -> list[tuple[str, int, int]]:
    """Run `words` in `folder`/killed, its whole process group killed after each of `moments` [s], counted from when a run
    trains where `begun` is said, and started again; a last time without, for at most `seconds`. Returns all that was taken
    up."""
    taken = []
    for number, moment in enumerate(moments):
        study = Study([*words, "--out", "killed"], folder, f"killed-{number}")
        if begun:
            study.until(lambda study=study: study.trained(1))
        time.sleep(moment)
        study.gone()
        taken += study.starts()
    return taken + Study([*words, "--out", "killed"], folder, "last").ended(0, seconds).starts()
