"""`fidrace target`: a target from baseline runs alone, stored, so that what is raced to it later gets a verdict."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.execute.local import LocalExecutor
from fidrace.score.leaderboard import score_folder
from fidrace.spec.study import define_study
from fidrace.storage.study_folder import StudyFolder
from tests.conftest import TINY, Refused, run_here
from tests.published import DIGITS, excerpt

SEEDS = (0, 1, 2, 3, 4)


def call(*words: str | Path, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of the command and of its runs, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalExecutor, "execute", run_here)
        result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def baselines(folder: Path, seeds: tuple[int, ...] = SEEDS) -> Path:
    return excerpt(folder, ("baseline",), seeds, target="baseline-final", target_how="of no rule")


def test_the_target_of_a_folder_is_printed_with_its_distances_and_the_next_command(tmp_path: Path) -> None:
    folder = baselines(tmp_path / "s")
    said, heard = call("target", folder)
    evals = pd.read_csv(folder / "evals.csv").query("iteration == 300")["fd"]  # 0.6 of 500 is on the grid
    first, second = said.splitlines()
    numbers = [float(number) for number in first.partition(": ")[2].split()]
    assert numbers == pytest.approx(sorted(evals), abs=0.005)
    assert first.startswith("fd_digits of the baseline at 300 of 500 iterations: ")
    assert second == f"target: {np.ceil(np.median(evals)):g}"
    assert json.loads((folder / "study.json").read_text())["target"] == np.ceil(np.median(evals))
    assert f"fidrace run digits --out {folder}" in heard


def test_a_slower_method_is_called_slower_at_a_target_that_was_set_before_it(tmp_path: Path) -> None:
    """The published runs of mdlrc on digits, which never had a verdict at a target set in their own folder."""
    folder = baselines(tmp_path / "s", tuple(range(100, 110)))
    for name in ("runs.csv", "evals.csv"):
        shutil.copy(DIGITS.parent / "digits-target" / name, folder / name)
    assert "target: 34" in call("target", folder)[0]
    joining = define_study("digits", ["mdlrc"], "10")
    StudyFolder(folder).declare(joining)  # as `fidrace run digits -m mdlrc --seeds 10 --out DIR` does
    for name in ("runs.csv", "evals.csv"):
        raced = pd.read_csv(DIGITS / name, dtype=str, keep_default_na=False)
        raced = raced[raced["method"].isin(["baseline", "mdlrc"])]
        pd.concat([pd.read_csv(folder / name, dtype=str, keep_default_na=False), raced]).to_csv(folder / name, index=False)
    row = score_folder(folder).speedups.query("method == 'mdlrc' and axis == 'iterations'").iloc[0]
    assert row["verdict"] == "slower"
    assert (row["target"], row["pairs"]) == (34.0, 10)
    assert "post hoc" not in row["flags"]
    assert "extended" not in row["flags"]  # nobody had seen a comparison when its seeds were declared
    assert "extended" in score_with_another_seed(folder)


def score_with_another_seed(folder: Path) -> str:
    """The flags of mdlrc after seed 11 was added to what has been compared already."""
    StudyFolder(folder).declare(define_study("digits", ["mdlrc"], "11,"))
    for name in ("runs.csv", "evals.csv"):
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        pd.concat([table, table[table["seed"] == "0"].assign(seed="11")]).to_csv(folder / name, index=False)
    scores = score_folder(folder).speedups
    return str(scores.query("method == 'mdlrc' and axis == 'iterations'").iloc[0]["flags"])


def test_a_task_is_raced_by_the_baseline_alone_and_other_methods_race_to_its_target(tmp_path: Path, refused: Refused) -> None:
    tiny = [*TINY, "--budget", "30", "--set", "budget.evaluations=5", "--out", str(tmp_path / "out")]
    said, heard = call("target", "digits", *tiny)
    runs = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert runs[["method", "seed"]].to_records(index=False).tolist() == [("baseline", seed) for seed in range(100, 105)]
    target = float(re.findall(r"target: (.*)", said)[0])
    study = json.loads((tmp_path / "out" / "study.json").read_text())
    assert study["target"] == target
    assert study["target_how"].startswith("median FD of 5 baseline runs at 0.6 of the budget")
    command = heard.splitlines()[-1].partition("fidrace run ")[2].split()
    assert command[:3] == ["digits", "--budget", "30"]
    _, heard = call("run", *command, "-m", "min-snr", "--seeds", "1", "--device", "cpu", "--workers", "1")
    assert f"to fd_digits <= {target:g}" in heard
    row = pd.read_csv(tmp_path / "out" / "speedups.csv").iloc[0]
    assert (row["method"], row["target"], row["pairs"]) == ("min-snr", target, 1)
    assert "post hoc" not in row["flags"]
    assert "extended" not in row["flags"]
    assert "min-snr ran already" in refused("target", "digits", *tiny)
    assert "min-snr ran already" in refused("target", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "study.json").read_text())["target"] == target


def test_what_gives_no_target_is_said_in_one_line(tmp_path: Path, refused: Refused) -> None:
    few = baselines(tmp_path / "few", SEEDS[:4])
    before = (few / "study.json").read_bytes()
    said, heard = call("target", few, code=3)
    assert (said, heard.count("\n")) == ("", 1)
    assert "4 finished baseline runs; a target takes at least 5" in heard
    assert (few / "study.json").read_bytes() == before
    assert "min-snr ran already" in refused("target", excerpt(tmp_path / "others", seeds=SEEDS))
    assert "no task or study" in refused("target", tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("target", tmp_path / "empty")
    assert "a folder takes no options" in refused("target", few, "--seeds", "6")
    assert "a target needs at least 5 seeds, not 4" in refused("target", "digits", "--seeds", "4")
    assert "a target needs at least 5 seeds, not 2" in refused("target", "digits", "--seeds", "7,8")
    assert "write a count" in refused("target", "digits", "--seeds", "x")
    assert "at 0.6 of the iterations" in refused("target", "digits", "--set", "budget.gpu_hours=1")
    assert "did you mean 'digits'" in refused("target", "digit")
    assert not (tmp_path / "results").exists()
