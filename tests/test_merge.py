"""Merging: the folders of several machines make the table that one would have made, or are refused by what differs."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.score.leaderboard import score_folder
from fidrace.score.merge import merge_folders
from fidrace.storage.study_folder import StudyFolder
from tests.conftest import Fidrace, Refused
from tests.curves import study, write
from tests.published import DIGITS, excerpt, without_study

ALL = ("baseline", "min-snr", "clts")


def test_methods_that_were_run_apart_make_one_table(fidrace: Fidrace, tmp_path: Path) -> None:
    one, other = excerpt(tmp_path / "one"), excerpt(tmp_path / "other", ("baseline", "clts"))
    said = fidrace("merge", one, other, "--out", tmp_path / "both").stdout
    assert "clts" in said
    whole = score_folder(excerpt(tmp_path / "whole", ALL))
    ours = score_folder(tmp_path / "both")
    pd.testing.assert_frame_equal(ours.speedups, whole.speedups)
    pd.testing.assert_frame_equal(ours.guards, whole.guards)
    again = fidrace("run", "digits", "-m", "min-snr", "-m", "clts", "--seeds", 3, "--out", tmp_path / "both", "--dry-run")
    assert "9 of 9 runs are done already" in again.stderr


def test_seeds_that_the_first_folder_did_not_declare_are_marked(tmp_path: Path) -> None:
    merge_folders([excerpt(tmp_path / "a"), excerpt(tmp_path / "b", seeds=(3, 4, 5))], tmp_path / "both")
    row = score_folder(tmp_path / "both").speedups.iloc[0]
    assert (row["pairs"], "extended" in row["flags"]) == (6, True)


def test_runs_come_with_all_that_they_left(tmp_path: Path) -> None:
    one, other = excerpt(tmp_path / "one"), excerpt(tmp_path / "other", ("baseline", "clts"))
    merge_folders([one, other], tmp_path / "first")  # gives every run a directory of its own
    for place in (tmp_path / "first/runs").glob("*/*/*"):
        (place / "ema.safetensors").write_text(place.name)
    merge_folders([tmp_path / "first", excerpt(tmp_path / "more", seeds=(3, 4))], tmp_path / "second")
    kept = {path.parent.name: path.read_text() for path in (tmp_path / "second/runs").glob("*/*/*/ema.safetensors")}
    assert len(kept) == 9
    assert all(name == text for name, text in kept.items())
    assert len(pd.read_csv(tmp_path / "second/runs.csv")) == 13


def test_a_run_that_came_to_its_end_counts_before_one_that_failed(tmp_path: Path) -> None:
    failed = excerpt(tmp_path / "failed", evals=lambda table: table.query("iteration < 200"), status="failed")
    for order in ((failed, DIGITS), (DIGITS, failed)):
        out = tmp_path / order[0].name / "both"
        merge_folders([*order], out)
        assert set(pd.read_csv(out / "runs.csv")["status"]) == {"finished"}
        assert len(pd.read_csv(out / "evals.csv")) == len(pd.read_csv(DIGITS / "evals.csv"))
    with pytest.raises(InputError, match="baseline seed 0 is in"):
        merge_folders([excerpt(tmp_path / "one"), excerpt(tmp_path / "other", status="diverged")], tmp_path / "out")


def test_methods_that_a_study_does_not_list_and_columns_of_ones_own_are_kept(tmp_path: Path) -> None:
    one = excerpt(tmp_path / "one")
    study = json.loads((one / "study.json").read_text())
    del study["methods"]["min-snr"]
    (one / "study.json").write_text(json.dumps(study))
    merge_folders([one, excerpt(tmp_path / "other", ("baseline", "clts"))], tmp_path / "both")
    assert set(pd.read_csv(tmp_path / "both/runs.csv")["method"]) == {*ALL}
    bare = [without_study(tmp_path / name, tmp_path / f"bare-{name}") for name in ("one", "other")]
    pd.read_csv(bare[0] / "runs.csv").assign(mine="note").to_csv(bare[0] / "runs.csv", index=False)
    merge_folders(bare, tmp_path / "tables")
    assert set(pd.read_csv(tmp_path / "tables/runs.csv", keep_default_na=False)["mine"]) == {"note", ""}


def test_a_method_whose_name_leads_out_of_the_folder_is_refused(refused: Refused, tmp_path: Path) -> None:
    one = excerpt(tmp_path / "one")
    for name in ("runs.csv", "evals.csv"):
        (one / name).write_text((one / name).read_text().replace("min-snr", "../../../escaped"))
    assert "'../../../escaped' cannot be the name" in refused("merge", one, excerpt(tmp_path / "b"), "--out", "both")
    assert not list(tmp_path.rglob("escaped*"))


def test_tables_of_ones_own_task_are_merged_and_wait_for_a_target(fidrace: Fidrace, tmp_path: Path) -> None:
    halves = [[one for one in study() if one.seed in seeds] for seeds in ((0, 1), (2, 3))]
    places = [write(tmp_path / name, half) for name, half in zip("ab", halves, strict=True)]
    text = (places[0] / "runs.csv").read_text()
    (places[0] / "runs.csv").write_text(text.replace(",0,finished", ",0.0,finished").replace(",1,finished", ",1.0,finished"))
    said = fidrace("merge", *places, "--out", "both").stderr
    assert "fidrace score both --target FD" in said
    assert score_folder(tmp_path / "both", target=10.0).speedups.iloc[0]["pairs"] == 4


def test_running_on_published_tables_keeps_what_they_hold(fidrace: Fidrace, tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir")
    before = {name: pd.read_csv(folder / name) for name in ("runs.csv", "evals.csv")}
    asked = ("run", "digits", "-m", "min-snr", "--seeds", 3, "--out", folder)
    assert "6 of 6 runs are done already" in fidrace(*asked, "--dry-run").stderr
    assert not (folder / "runs").exists()
    fidrace(*asked)
    assert len(list((folder / "runs").glob("*/*/*/run.json"))) == 6
    for name, table in before.items():
        pd.testing.assert_frame_equal(pd.read_csv(folder / name), table)


def test_a_run_without_a_directory_is_never_lost(fidrace: Fidrace, refused: Refused, tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir")
    runs = pd.read_csv(folder / "runs.csv").assign(mine="note")
    runs.to_csv(folder / "runs.csv", index=False)
    evals = pd.read_csv(folder / "evals.csv").assign(clip=1.5)
    evals.to_csv(folder / "evals.csv", index=False)
    StudyFolder(folder).adopt()
    for place in list((folder / "runs").glob("*/*/seed-[12]-*")):  # as an interruption would leave it
        shutil.rmtree(place)
    fidrace("run", "digits", "-m", "min-snr", "--seeds", 3, "--out", folder)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "runs.csv"), runs)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "evals.csv"), evals)
    merge_folders([folder, excerpt(tmp_path / "more", seeds=(3,))], tmp_path / "both")
    assert pd.read_csv(tmp_path / "both/runs.csv")["mine"].count() == 6
    for change, named in (({"config_hash": ""}, "no config_hash"), ({"seed": ""}, "is no seed")):
        bad = excerpt(tmp_path / named.replace(" ", ""))
        runs.assign(**change).to_csv(bad / "runs.csv", index=False)
        assert named in refused("run", "digits", "-m", "min-snr", "--seeds", "4", "--out", bad)


def test_the_same_evaluations_written_otherwise_are_the_same(tmp_path: Path) -> None:
    one = excerpt(tmp_path / "one")
    other = excerpt(tmp_path / "other", evals=lambda table: table.assign(iteration=table["iteration"].astype(float), more=1))
    merge_folders([one, other], tmp_path / "both")
    assert len(pd.read_csv(tmp_path / "both/runs.csv")) == 6


def test_tables_that_anyone_made_are_laid_together(tmp_path: Path) -> None:
    one = without_study(excerpt(tmp_path / "one"), tmp_path / "a")
    other = without_study(excerpt(tmp_path / "other", ("baseline", "clts")), tmp_path / "b")
    merge_folders([one, other], tmp_path / "both")
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["evals.csv", "runs.csv"]
    whole = score_folder(without_study(excerpt(tmp_path / "whole", ALL), tmp_path / "c"))
    ours = score_folder(tmp_path / "both").speedups
    pd.testing.assert_frame_equal(
        ours.sort_values(["axis", "method"], ignore_index=True),
        whole.speedups.sort_values(["axis", "method"], ignore_index=True),
    )


def test_folders_that_do_not_belong_together_are_refused_by_what_differs(refused: Refused, tmp_path: Path) -> None:
    one, out = excerpt(tmp_path / "one"), tmp_path / "out"
    changed = excerpt(tmp_path / "changed", evals=lambda table: table.assign(fd=table["fd"] * 1.01))
    code = excerpt(tmp_path / "code", methods_hash="another")
    for other, named in (
        (excerpt(tmp_path / "fixed", learning_rate=1e-3), "optimizer.lr is 0.003 in"),
        (excerpt(tmp_path / "target", target=30.0), "target is 34.0 in"),
        (changed, "baseline seed 0 is in"),
        (code, "the code of method 'baseline' differs"),
        (without_study(one, tmp_path / "bare"), "no study.json"),
        (tmp_path / "absent", "no such file"),
    ):
        assert named in refused("merge", one, other, "--out", out)
        assert not out.exists()
    assert not list(tmp_path.glob(".out*"))


def test_what_is_there_stays(refused: Refused, tmp_path: Path) -> None:
    one, other = excerpt(tmp_path / "one"), excerpt(tmp_path / "other", ("baseline", "clts"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    assert "is not empty" in refused("merge", one, other, "--out", tmp_path / "full")
    assert "two folders or more" in refused("merge", one, "--out", tmp_path / "out")
    assert (tmp_path / "full/mine.txt").read_text() == "mine"


def test_one_table_of_two_fixed_parts_or_two_codes_is_refused(tmp_path: Path) -> None:
    one, other = excerpt(tmp_path / "one"), excerpt(tmp_path / "other", ("baseline", "clts"), learning_rate=1e-3)
    runs = pd.concat([pd.read_csv(one / "runs.csv"), pd.read_csv(other / "runs.csv").query("method == 'clts'")])
    mixed = without_study(one, tmp_path / "mixed")
    runs.to_csv(mixed / "runs.csv", index=False)
    with pytest.raises(InputError, match=r"fixed parts differ .* between baseline seed 0 and clts seed 0"):
        score_folder(mixed)
    runs = pd.read_csv(one / "runs.csv")
    runs.loc[runs["seed"] == 2, "method_hash"] = "another"
    runs.to_csv(mixed / "runs.csv", index=False)
    with pytest.raises(InputError, match="the method's code differ"):
        score_folder(mixed)
    study = json.loads((one / "study.json").read_text())
    (one / "study.json").write_text(json.dumps({**study, "fixed_hash": "another"}))
    with pytest.raises(InputError, match=r"another fixed part \(config_hash\) than study\.json"):
        score_folder(one)
    shutil.copy(tmp_path / "other/study.json", one / "study.json")
    (one / "study.json").write_text(json.dumps({**study, "task": "t"}))
    with pytest.raises(InputError, match=r"'digits' in runs\.csv and 't' in study\.json"):
        score_folder(one)
