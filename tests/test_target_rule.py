"""The protocol's target: set from baseline runs alone, stored, and adopted by what is run afterwards."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.leaderboard import score_folder
from fidrace.score.target_rule import rule_target, set_target, target_of
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from fidrace.storage.study_folder import StudyFolder
from tests.curves import curve
from tests.published import DIGITS, excerpt

BY_HAND = 30.0  # a target that no rule has set


def baselines(folder: Path, seeds: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Path:
    return excerpt(folder, ("baseline",), seeds, target=BY_HAND, target_how="post hoc: --target")


@pytest.mark.parametrize(
    ("task", "seeds"), [("digits", 10), ("digits-late", 6), ("digits-dit", 5), ("digits-flow", 5), ("mnist", 6)]
)
def test_the_target_of_a_task_follows_from_its_published_runs(task: str, seeds: int) -> None:
    assert rule_target(DIGITS.parent / f"{task}-target") == (load_task(task).target.fd, seeds)


def test_a_target_set_by_the_rule_is_stored_and_gives_verdicts(tmp_path: Path) -> None:
    folder = baselines(tmp_path / "s")
    before = json.loads((folder / "study.json").read_text())
    target = set_target(folder)
    evals = pd.read_csv(folder / "evals.csv").query("iteration == 300")["fd"]  # 0.6 of 500 is on the grid
    assert target == np.ceil(evals.median())
    study = json.loads((folder / "study.json").read_text())
    assert study["target"] == target
    assert study["target_how"].startswith("median FD of 5 baseline runs at 0.6 of the budget")
    changed = {"target", "target_how", "target_by_rule"}
    assert {key: value for key, value in study.items() if key not in changed} == {
        key: value for key, value in before.items() if key not in changed
    }
    for name in ("runs.csv", "evals.csv"):  # and then another method is run
        shutil.copy(excerpt(tmp_path / name, seeds=(0, 1, 2, 3, 4)) / name, folder / name)
    row = score_folder(folder).speedups.iloc[0]
    assert (row["target"], "post hoc" in row["flags"]) == (target, False)


def test_other_methods_that_join_a_study_adopt_its_target(tmp_path: Path) -> None:
    folder = baselines(tmp_path / "s")
    directory, joining = StudyFolder(folder), define_study("digits", ["min-snr"], "5")
    with pytest.raises(InputError, match=r"has the target 30\.0, not 34\.0"):  # by hand: only for those who name it
        directory.declare(joining)
    target = set_target(folder)
    directory.declare(joining)
    first = (folder / "study.json").read_bytes()
    assert json.loads(first) | {"target": target, "target_by_rule": True} == json.loads(first)
    assert list(json.loads(first)["methods"]) == ["baseline", "min-snr"]
    assert directory.adopt_target(joining).target == target  # which is what its runs are held against at iteration 0
    for same in (None, target):
        directory.declare(define_study("digits", ["min-snr"], "5", target=same))
        assert (folder / "study.json").read_bytes() == first
    with pytest.raises(InputError, match=r"not 20\.0"):
        directory.declare(define_study("digits", ["min-snr"], "5", target=20.0))


def test_no_target_is_set_after_another_method_has_run(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "s", seeds=(0, 1, 2, 3, 4))
    before = (folder / "study.json").read_bytes()
    with pytest.raises(InputError, match=r"min-snr ran already, .* post hoc"):
        set_target(folder)
    assert (folder / "study.json").read_bytes() == before


def test_too_few_seeds_and_tables_without_a_study_set_no_target(tmp_path: Path) -> None:
    with pytest.raises(NothingToConclude, match="4 finished baseline runs; a target takes at least 5"):
        set_target(baselines(tmp_path / "few", (0, 1, 2, 3)))
    folder = baselines(tmp_path / "bare")
    (folder / "study.json").unlink()
    with pytest.raises(InputError, match=r"no study\.json"):
        set_target(folder)


@pytest.mark.parametrize(("fd", "message"), [(40.0, "does not fall"), (np.nan, "no number above 0")])
def test_a_baseline_that_learns_nothing_sets_no_target(fd: float, message: str, tmp_path: Path) -> None:
    folder = baselines(tmp_path / "s")
    pd.read_csv(folder / "evals.csv").assign(fd=fd).to_csv(folder / "evals.csv", index=False)
    with pytest.raises(NothingToConclude, match=message):
        set_target(folder)


def test_target_is_the_median_baseline_at_six_tenths_of_the_budget_rounded_up() -> None:
    # On the grid point at 0.6 B these are 41.2, 38.7, 40.04, 35.0 and 50.0; the median 40.04 rounds up to 41.
    curves = [
        curve(100, 90, 80, 70, 60, 50, at, 30, 20, 15, 12, 11, method="baseline") for at in (41.2, 38.7, 40.04, 35.0, 50.0)
    ]
    assert target_of(curves, budget=1000) == 41
    with pytest.raises(NothingToConclude, match="5"):
        target_of(curves[:4], budget=1000)
