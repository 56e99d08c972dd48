"""Two processes that train one network together are one process, but for rounding."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch

from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.evaluate.evaluator import Evaluator
from fidrace.evaluate.features import load_features
from fidrace.evaluate.frechet import frechet_with_error
from fidrace.evaluate.kid import kernel_distance
from fidrace.evaluate.reference import load_reference
from fidrace.execute.locked_run import is_out_of_memory
from fidrace.execute.run import Run
from fidrace.execute.torchrun import TorchrunExecutor
from fidrace.method.registry import Registry
from fidrace.score.crossings import cost_of_target
from fidrace.score.reading import read_curves
from fidrace.score.search import Search
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from fidrace.storage.study_folder import StudyFolder
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup
from tests.conftest import ENVIRONMENT, TINY, Fidrace, Refused
from tests.losses import CASES, STEPS, observed

ALONE = ProcessGroup(torch.device("cpu"))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def torchrun(folder: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    command = [*TORCHRUN, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes observed."""
    folder = tmp_path_factory.mktemp("two")
    torchrun(folder, "tests.losses", folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_losses_of_two_processes_are_those_of_one(case: str, two: Path) -> None:
    torch.set_num_threads(1)
    both, one = np.load(two / f"{case}.npy"), observed(case, ALONE)
    assert one.shape == (2, STEPS, 64)
    np.testing.assert_array_equal(both[0], one[0])
    np.testing.assert_allclose(both[1], one[1], rtol=1e-5)
    assert np.ptp(one[1], axis=1).min() > 0.1  # in another order they would not agree


def test_each_process_compiles_one_graph_for_evaluation_and_one_for_its_part_of_a_batch(two: Path) -> None:
    assert [json.loads((two / f"graphs-{rank}.json").read_text()) for rank in (0, 1)] == [[[10], [32]]] * 2


def test_a_race_under_torchrun_has_the_curves_and_crossings_of_one_process(tmp_path: Path, fidrace: Fidrace) -> None:
    """The sampling is shared out in chunks, and the measures are too. Crossings may differ by a grid interval."""
    words = "run digits -m clts --seeds 1 --budget 60 --target 105 --window 1 --device cpu --set quality.samples=100".split()
    words += ["--set", "quality.final_samples=120", "--set", "quality.kid=true"]
    words += ["--set", "sampler.batch=32", "--set", "optimizer.lr=0.01", "--set", "budget.evaluations=6"]
    said = torchrun(tmp_path, "fidrace", *words, "--out", "two")
    assert said.stdout.count("iterations to fd_digits") == 1  # one of the two speaks
    fidrace(*words, "--out", "one")
    one, two = (pd.read_csv(tmp_path / side / "evals.csv") for side in ("one", "two"))
    np.testing.assert_allclose(two["val_loss"], one["val_loss"], rtol=1e-4)
    np.testing.assert_allclose(two["fd"], one["fd"], rtol=1e-2)
    assert len(one) == len(two) == 16
    for column, off in (("kid", 0.02), ("kid_sd", 0.05), ("precision", 0.03), ("recall", 0.03), ("memorised", 0.03)):
        np.testing.assert_allclose(two[column], one[column], rtol=0, atol=off * max(one[column].max(), 0.5), err_msg=column)
    for mine, other in zip(read_curves(tmp_path / "two"), read_curves(tmp_path / "one"), strict=True):
        ours, theirs = (cost_of_target(curve, 105, "iterations", 60) for curve in (mine, other))
        assert not theirs.censored
        assert abs(ours.cost - theirs.cost) <= 10
    runs, alone = (pd.read_csv(tmp_path / side / "runs.csv") for side in ("two", "one"))
    assert [name.split(" x ")[0] for name in runs["device"]] == ["2", "2"]
    assert set(runs["status"]) == {"finished"}
    np.testing.assert_allclose(runs["final_fd"], alone["final_fd"], rtol=1e-2)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_measure_is_taken_by_one_rank(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("digits", {"quality.kid": True})
    data, features = load_data(task.data), torch.randn(300, 64, generator=torch.Generator().manual_seed(0))
    taken: list[float] = []
    monkeypatch.setattr(ProcessGroup, "gather_values", lambda ranks, values: taken.extend(values) or taken)
    for rank in range(count):
        training = SimpleNamespace(device=ALONE.device, ranks=ProcessGroup(ALONE.device, rank, count))
        evaluator = Evaluator(task, data, cast("Training", training))
        if rank < count - 1:
            with suppress(ValueError):  # the last rank alone has heard all of them
                evaluator.share_measures(features)
    reference, guards = load_reference(task.quality, data, load_features(task.quality, ALONE.device))
    (precision, recall), (kid, kid_sd) = guards.precision_recall(features), kernel_distance(features, guards.real)
    fd, fd_se = frechet_with_error(reference, features)
    expected = {"fd": fd, "fd_se": fd_se, "precision": precision, "recall": recall, "kid": kid, "kid_sd": kid_sd}
    assert evaluator.share_measures(features) == expected | {"memorised": guards.memorised(features)}
    assert len(taken) == 7


def test_a_search_under_torchrun_ends_where_its_crossing_is_confirmed(tmp_path: Path) -> None:
    """All processes go back to the same weights, and end together."""
    words = (
        "run digits -m baseline --seeds 1 --budget 60 --target 105 --window 1 --device cpu --set quality.samples=100".split()
    )
    words += "--set sampler.batch=32 --set optimizer.lr=0.01 --set budget.evaluations=12 --set ema.decay=0.9".split()
    torchrun(tmp_path, "fidrace", *words, "--set", "budget.search=true", "--set", "budget.stop=crossed", "--out", "two")
    (curve,) = read_curves(tmp_path / "two")
    assert curve.stopped
    known = {round(n / 5): fd for n, fd in zip(curve.iteration, curve.fd, strict=True)}
    assert Search((105, 105), 2, 13).allows(known, max(known), at_work=False)
    assert list(curve.fd[-2:] <= 105) == [True, True]
    assert curve.iteration[-1] - curve.iteration[-3] == 10  # neighbours on the grid


FAILS = """
import os
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

ERRORS = [  # of each command in turn, and the step at which it fails
    (7, torch.OutOfMemoryError("CUDA out of memory. Tried 2.00 GiB")),
    (7, OSError(28, "No space left on device")),
    (11, RuntimeError("an illegal access")),
]

def fail(optimizer, arguments, keywords):
    counts[0] += 1
    if counts[0] == step:
        Path(f"struck-{struck}").touch()
        raise error

counts, struck = [0], len(list(Path().glob("struck-*")))
step, error = ERRORS[struck]
if os.environ.get("RANK") == "1":
    register_optimizer_step_pre_hook(fail)
"""


def failed(folder: Path, words: list[str], code: int, about: str) -> list[str]:
    """A command under torchrun whose rank 1 fails, and its lines about that."""
    said = torchrun(folder, *words, code=1).stderr  # torchrun's own code, whatever its processes' are
    assert said.count("Traceback") == 1  # torchrun's own
    assert f"exitcode  : {code}" in said
    assert "gloo" not in said
    return [line for line in said.splitlines() if about in line]


def test_what_goes_wrong_in_one_rank_is_named_in_one_line_and_the_same_command_resumes(tmp_path: Path) -> None:
    """Rank 1 has no memory, then no disk, then, in the second run, an error that is the run's own."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "full.py").write_text(FAILS)
    words = ["fidrace", "run", "digits", "-m", "baseline", "--seeds", "2", *TINY[: TINY.index("--workers")], "--target", "60"]
    words += ["--methods-path", "methods", "--out", "s"]
    (line,) = failed(tmp_path, words, 4, "out of memory")
    assert line.startswith("fidrace: baseline seed 0: rank 1 of 2: OutOfMemoryError: CUDA out of memory. Tried 2.00 GiB")
    assert line.endswith("; the same command resumes")
    assert status(tmp_path) == [("running", 4)]

    (line,) = failed(tmp_path, words, 2, "no space left")
    assert line.startswith("fidrace: rank 1 of 2: no space left for ")
    assert status(tmp_path) == [("running", 8)]

    lines = failed(tmp_path, words, 4, "an illegal access")
    assert any("baseline seed 1: rank 1 of 2: RuntimeError: an illegal access" in line for line in lines)
    runs = pd.read_csv(tmp_path / "s" / "runs.csv")
    assert list(runs["status"]) == ["finished", "failed"]
    assert runs["error"][1].startswith("rank 1 of 2: RuntimeError: an illegal access")


def status(folder: Path) -> list[tuple[str, int]]:
    """What the runs that have begun say of themselves."""
    rows = (json.loads(path.read_text()) for path in folder.glob("s/runs/*/*/*/run.json"))
    return [(row["status"], row["iterations"]) for row in rows]


@pytest.mark.parametrize(
    "words",
    ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when", "MemoryError: ", "Cannot allocate memory"],
)
def test_other_words_for_no_memory_are_known(words: str) -> None:
    assert is_out_of_memory(f"rank 3 of 8: RuntimeError: {words} (loop.py:1)", ProcessGroup(ALONE.device, 0, 8))
    assert not is_out_of_memory(f"RuntimeError: {words} (loop.py:1)", ALONE)  # a run of its own has failed


def test_a_failure_that_another_rank_told_is_not_written_over(tmp_path: Path) -> None:
    class Told:
        def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
            return b""

        def check(self, keys: list[str], /) -> bool:
            return True

        def get(self, key: str, /) -> bytes:
            return b"rank 1 of 2: RuntimeError"

    study = define_study("digits", ["baseline"], "1", 20, changes={"budget.evaluations": 2, "quality.samples": 100})
    folder, (spec,) = StudyFolder(tmp_path), study.specs()
    folder.declare(study)
    folder.record_failure(spec, "rank 1 of 2: RuntimeError")
    Run(spec, tmp_path, ProcessGroup(ALONE.device, store=Told()), lambda event: None).execute(lambda: False)
    assert (folder.row(spec) or {})["status"] == "failed"


def test_an_error_around_a_run_ends_the_group_and_does_not_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("around the run")

    monkeypatch.setattr("fidrace.execute.torchrun.execute_locked", broken)
    specs = define_study("digits", ["baseline"], "1").specs()
    with pytest.raises(RuntimeError, match="around the run"):
        list(TorchrunExecutor(tmp_path, ALONE).execute(specs))


def test_workers_are_refused_under_torchrun(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert "--workers" in refused("run", "--workers", "2")


def test_a_batch_that_does_not_divide_among_the_processes_is_refused() -> None:
    task = load_task("digits", {"optimizer.batch": 63})
    with pytest.raises(InputError, match="63 does not divide among 2 processes"):
        Training(task, Registry().compose("baseline"), 0, load_data(task.data), ProcessGroup(torch.device("cpu"), 0, 2))
