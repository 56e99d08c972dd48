"""Tables of runs that stopped at their crossing, or were searched for it, say what whole tables say at the study's own target,
and no more than they know at another."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.score.claims import Claim, changed_field, load_claims, verdicts_on
from fidrace.score.gate import check
from fidrace.score.leaderboard import read_run_table, score_folder
from fidrace.score.rules import Question
from fidrace.score.target_rule import rule_target
from fidrace.spec.user_input import Target
from tests.conftest import Refused
from tests.search_simulation import RESULTS, look, published_runs, thin_tables

SOURCE = RESULTS / "digits-controls"
WAYS = {"stop": (1, True), "search": (2, False), "both": (2, True)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published tables, scored at the target alone."""
    folder = tmp_path_factory.mktemp("source") / "whole"
    shutil.copytree(SOURCE, folder)
    declared = json.loads((folder / "study.json").read_text())
    del declared["window"]
    (folder / "study.json").write_text(json.dumps(declared))
    return folder


@pytest.fixture(scope="module")
def thin(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """These tables as each way would have left them."""
    folder = tmp_path_factory.mktemp("thin")
    return {way: thin_tables(source, folder / way, *how) for way, how in WAYS.items()}


@pytest.mark.parametrize("way", WAYS)
def test_with_a_window_factors_and_verdicts_are_those_of_the_whole_tables_too(way: str, tmp_path: Path) -> None:
    folders = SOURCE, thin_tables(SOURCE, tmp_path / way, *WAYS[way])
    scored = [score_folder(folder).speedups.drop(columns="flags") for folder in folders]
    assert set(scored[0]["window"]) == {1.35}
    pd.testing.assert_frame_equal(*scored, rtol=1e-12)  # sums of other pieces round otherwise
    alone = [score_folder(folder, window=1.0).speedups.drop(columns="flags") for folder in folders]
    pd.testing.assert_frame_equal(*alone, check_exact=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("axis", ["iterations", "seconds"])
def test_brackets_costs_factors_and_verdicts_are_those_of_the_whole_tables(
    way: str, axis: str, thin: dict[str, Path], source: Path
) -> None:
    whole, found = (score_folder(folder, axis=axis) for folder in (source, thin[way]))
    for table in ("speedups", "contrasts"):  # all columns but the notes
        rows = [getattr(scores, table).drop(columns="flags") for scores in (whole, found)]
        pd.testing.assert_frame_equal(*rows, check_exact=True)
    pd.testing.assert_frame_equal(whole.guards, found.guards, check_exact=True)
    assert "incomplete" not in "".join(found.speedups["flags"])
    same = ["method", "reached", "speedup", "verdict"]
    pd.testing.assert_frame_equal(whole.leaderboard[same], found.leaderboard[same])


def test_what_was_not_measured_is_empty_and_said(thin: dict[str, Path], source: Path) -> None:
    whole, stopped, searched = (score_folder(folder) for folder in (source, thin["stop"], thin["search"]))
    assert stopped.leaderboard["final_fd"].isna().all()
    assert all("5 stopped at the crossing" in flags for flags in stopped.leaderboard["flags"])
    pd.testing.assert_frame_equal(
        searched.leaderboard[["method", "final_fd"]], whole.leaderboard[["method", "final_fd"]], check_exact=True
    )
    evaluations = [len(pd.read_csv(folder / "evals.csv")) for folder in (thin["search"], source)]
    assert f"searched: {evaluations[0]} of {evaluations[1]} evaluations were measured" in searched.remarks[0]
    assert searched.curve["target"].unique().tolist() == [34.0]


def test_the_curve_over_targets_ends_where_runs_stopped(thin: dict[str, Path], source: Path) -> None:
    """A run that stopped is never censored there; above, rows are those of the whole tables."""
    whole, stopped = (score_folder(folder).curve.set_index(["method", "axis", "target"]) for folder in (source, thin["stop"]))
    assert len(stopped) > len(whole) / 3
    assert (stopped["reached"] == stopped["pairs"]).all()
    common = stopped.index.intersection(whole.index)
    assert len(common) >= len(stopped.reset_index()["method"].unique())  # the study's own target at least
    pd.testing.assert_frame_equal(stopped.loc[common], whole.loc[common], check_exact=True)


def test_at_a_lower_target_a_stopped_run_is_censored_at_its_own_end(thin: dict[str, Path]) -> None:
    scores = score_folder(thin["stop"], 20.0)
    assert (scores.leaderboard["reached"] == 0).all()
    assert all("5 stopped before this target" in flags for flags in scores.leaderboard["flags"])
    table = read_run_table(thin["stop"], Question(20.0))
    for curve in table.curves:
        cost = table.cost(curve, "iterations")
        assert (cost.censored, cost.cost) == (True, curve.iteration[-2])


def test_at_another_target_searched_runs_are_compared_where_all_were_evaluated(thin: dict[str, Path]) -> None:
    found = read_run_table(thin["search"], Question(50.0)).compare("mdlrc", "iterations")
    assert "grids differ" in found.notes
    assert read_run_table(thin["search"]).compare("mdlrc", "iterations").notes == ()


def test_a_gate_between_two_searched_folders_takes_their_grids_as_alike(thin: dict[str, Path], source: Path) -> None:
    whole, found = (check(folder, against=folder, absolute=True) for folder in (source, thin["both"]))
    assert [(one.outcome, one.now, one.ratio and one.ratio.limits()) for one in found] == [
        (one.outcome, one.now, one.ratio and one.ratio.limits()) for one in whole
    ]
    assert not [note for one in found for note in one.notes if "grid" in note]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_lost_an_evaluation_of_its_bracket_is_incomplete(way: str, thin: dict[str, Path], tmp_path: Path) -> None:
    for name in ("runs.csv", "study.json"):
        (tmp_path / name).write_bytes((thin[way] / name).read_bytes())
    evals = pd.read_csv(thin[way] / "evals.csv")
    first = evals[(evals["method"] == "baseline") & (evals["seed"] == 0)]
    crossing = first.index[(first["fd"] <= 34.0)][0]
    for lost in (crossing, crossing + 1):
        evals.drop(index=lost).to_csv(tmp_path / "evals.csv", index=False)
        flags = score_folder(tmp_path).leaderboard.set_index("method").loc["baseline", "flags"]
        assert "1 incomplete" in flags


def test_a_target_of_other_runs_than_whole_ones_is_refused(thin: dict[str, Path], tmp_path: Path, refused: Refused) -> None:
    said = refused("score", thin["stop"], "--target", "baseline-final")
    assert "runs stopped when their crossing was confirmed, so their final FD is unknown" in said
    for way in ("stop", "search"):
        with pytest.raises(InputError, match="a target is read off whole runs"):
            rule_target(only_baseline(thin[way], tmp_path / way))


def only_baseline(source: Path, into: Path) -> Path:
    into.mkdir()
    for name in ("runs.csv", "evals.csv"):
        table = pd.read_csv(source / name)
        table[table["method"] == "baseline"].to_csv(into / name, index=False)
    (into / "study.json").write_bytes((source / "study.json").read_bytes())
    return into


def test_a_claim_at_the_final_distance_of_stopped_runs_is_not_judged(thin: dict[str, Path]) -> None:
    claims = tuple(claim for claim in load_claims() if claim.method == "clts+mdlrc")
    final = [replace_target(claim, "baseline-final") for claim in claims]
    for way, known in (("stop", False), ("search", True)):
        for found in verdicts_on(tuple(final), thin[way]):
            if found.target == "baseline-final":
                assert (found.found is not None) is known
                assert any("final FD is unknown" in note for note in found.notes) is not known


def replace_target(claim: Claim, target: Target) -> Claim:
    return claim.model_copy(update={"target": target})


def test_a_distance_that_is_no_number_leaves_a_search_no_more_sure_than_the_whole_tables(tmp_path: Path, source: Path) -> None:
    """Whole tables are then compared at the evaluations that are known of all runs; of a search few of these are."""
    whole = tmp_path / "whole"
    shutil.copytree(source, whole)
    evals = pd.read_csv(whole / "evals.csv")
    gone = (evals["method"] == "baseline") & (evals["seed"] == 0) & (evals["iteration"] == 250)
    evals.assign(fd=evals["fd"].where(~gone)).to_csv(whole / "evals.csv", index=False)
    ours, theirs = (
        score_folder(folder).speedups.query("axis == 'iterations'").set_index("method")
        for folder in (thin_tables(whole, tmp_path / "search", 2), whole)
    )
    assert ours["flags"].str.contains("grids differ").all()
    assert (ours["ci_low"] <= theirs["ci_low"] + 1e-9).all()
    assert (ours["ci_high"] >= theirs["ci_high"] - 1e-9).all()


def test_unchanged_runs_that_stopped_for_another_window_are_compared_over_the_smaller_one(tmp_path: Path, source: Path) -> None:
    folders = []
    for window in (1.0, 1.35):
        whole = tmp_path / f"whole-{window}"
        shutil.copytree(source, whole)
        declared = json.loads((whole / "study.json").read_text()) | ({"window": window} if window > 1 else {})
        (whole / "study.json").write_text(json.dumps(declared))
        folders.append(thin_tables(whole, tmp_path / f"thin-{window}", stop=True))
    for now, before in (folders, folders[::-1]):
        for one in check(now, [], before, 0.0):
            assert one.ratio
            assert one.ratio.limits() == pytest.approx((1, 1), abs=1e-9)
            assert not any("post hoc" in note or "cut" in note for note in one.notes)


def test_claims_take_them_as_runs_of_the_same_task(thin: dict[str, Path]) -> None:
    assert {changed_field(read_run_table(folder)) for folder in thin.values()} == {""}
    assert json.loads((thin["both"] / "study.json").read_text())["fixed"]["budget"]["search"] is True


def test_a_run_that_stops_trains_the_share_of_iterations_that_is_published() -> None:
    """On the field: 70 % of the iterations."""
    runs, target = published_runs("digits-field")
    looks = [look(run.fd, (target, target), stop=True) for run in runs]
    shares = [one.reached / (len(run.fd) - 1) for one, run in zip(looks, runs, strict=True)]
    assert np.mean(shares) == pytest.approx(0.698, abs=5e-4)
