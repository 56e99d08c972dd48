"""Runs that GPU-hours end before their iterations are done: each has its own budget, and bounds stay honest."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.score.crossings import cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.leaderboard import score_folder
from fidrace.storage.tables import GPU_HOURS
from tests.test_run import run, spec

BUDGET = 400


def timed_out(*fd: float, seconds: float = 1.0) -> Curve:
    """A run that its hours ended: evaluations every 100 iterations, the last only confirms."""
    n = np.arange(len(fd)) * 100.0
    columns = {"iteration": n, "images": 64 * n, "forwards": n, "train_seconds": n * seconds}
    return Curve("t", "m", 0, "finished", columns, np.array(fd, float), np.full(len(fd), 0.1), {"ended_by": GPU_HOURS})


@pytest.mark.parametrize(
    ("fd", "iterations", "censored"),
    [
        pytest.param((80, 20, 5, 5), 150, False, id="before its hours were over, confirmed after them"),
        pytest.param((80, 40, 20, 5), 200, True, id="only at the evaluation that confirms"),
        pytest.param((80, 40, 20, 12), 200, True, id="not at all: it is known to need more than it had, not than the budget"),
        pytest.param((80, 40, 20, 12, 11, 9, 8), 400, True, id="its hours were the longer budget"),
    ],
)
def test_a_run_is_censored_where_its_hours_ended(fd: tuple[float, ...], iterations: float, censored: bool) -> None:
    found = cost_of_target(timed_out(*fd), 10, "iterations", BUDGET)
    assert (found.cost, found.censored) == (pytest.approx(iterations), censored)


def test_on_another_axis_it_is_censored_at_what_it_had() -> None:
    found = cost_of_target(timed_out(80, 40, 20, 12, seconds=3), 10, "seconds", BUDGET)
    assert (found.cost, found.censored) == (600, True)


def tables(folder: Path, runs: dict[tuple[str, int], tuple[list[float], str]]) -> Path:
    """runs.csv and evals.csv of (method, seed) -> FD every 100 iterations, and what ended the run."""
    rows, evals = [], []
    for (method, seed), (fd, ended_by) in runs.items():
        identity = {"task": "t", "method": method, "seed": seed}
        rows.append({**identity, "status": "finished", "ended_by": ended_by, "config_hash": "of our own loop"})
        for k, value in enumerate(fd):
            place = {"iteration": 100 * k, "images": 6400 * k, "forwards": 100 * k, "train_seconds": 50 * k}
            evals.append({**identity, **place, "metric": "fd_t", "fd": value})
    pd.DataFrame(rows).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(evals).to_csv(folder / "evals.csv", index=False)
    return folder


def test_a_method_that_costs_more_a_step_is_not_called_slower_for_having_had_fewer_of_them(tmp_path: Path) -> None:
    """Its runs end after 200 of 400 iterations, short of the target: nothing is known but that it needs more than 200."""
    whole, short = [80, 40, 20, 8, 7, 6], [80, 40, 20, 18]
    runs = {("baseline", seed): ([value + seed / 10 for value in whole], "") for seed in range(3)}
    runs |= {("costly", seed): ([value + seed / 10 for value in short], GPU_HOURS) for seed in range(3)}
    scores = score_folder(tables(tmp_path, runs), 10.0)
    row = scores.leaderboard.set_index("method").loc["costly"]
    assert (row["reached"], row["bound"], row["ci_low"]) == (0, "<=", 0)
    assert row["speedup"] == pytest.approx(276 / 200, rel=0.02)  # the baseline falls from 20 to 8 between 200 and 300
    assert "3 ended by gpu-hours" in row["flags"]
    assert "incomplete" not in row["flags"]
    assert row["final_fd"] == pytest.approx(20.1)


def test_a_baseline_that_learns_nothing_sets_no_target_and_voids_nothing(tmp_path: Path) -> None:
    """At baseline-final; its hours may have ended before the first evaluation, or its steps been useless."""
    good, bad = [80, 40, 20, 10, 9, 8], [80, 82, 84, 85, 84, 86]
    runs = {("baseline", seed): ([value + seed for value in good], "") for seed in range(3)} | {("baseline", 3): (bad, "")}
    runs |= {("m", seed): ([value + seed - 0.5 for value in [80, 30, 12, 6, 5, 5]], "") for seed in range(4)}
    row = score_folder(tables(tmp_path, runs), "baseline-final").leaderboard.set_index("method").loc["m"]
    assert row["reached"] == 3
    assert row["speedup"] > 1
    assert "baseline: 1 no better than at the start" in row["flags"]


def test_hours_end_a_run_at_an_evaluation_that_is_past_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that counts an hour for each iteration: 20 hours end a run of 36 iterations at the second evaluation, 24."""
    from fidrace.train.loop import Training

    advance = Training.advance

    def slowly(self: Training, iterations: int) -> None:
        advance(self, iterations)
        self.seconds = 3600.0 * self.iteration

    monkeypatch.setattr(Training, "advance", slowly)
    work, events = run(spec("baseline", tmp_path, **{"budget.gpu_hours": 20.0}), tmp_path)
    assert [row["iteration"] for row in work.evaluations] == [0, 12, 24]
    assert (work.row["status"], work.row["ended_by"], work.row["iterations"]) == ("finished", GPU_HOURS, 24)
    assert events[-1].kind == "run_ended"
    unlimited, _ = run(spec("baseline", tmp_path), tmp_path)
    assert "ended_by" not in unlimited.row


def test_a_run_interrupted_after_its_hours_were_spent_still_ends_at_an_evaluation(tmp_path: Path) -> None:
    one = spec("baseline", tmp_path, **{"budget.gpu_hours": 1e-9})
    whole, _ = run(one, tmp_path / "whole")
    run(one, tmp_path / "parts", stop_after=5)
    parts, _ = run(one, tmp_path / "parts")
    found = [[row["iteration"] for row in work.evaluations] for work in (whole, parts)]
    assert found == [[0, 12], [0, 12]]
    assert parts.row["iterations"] == whole.row["iterations"] == 12
