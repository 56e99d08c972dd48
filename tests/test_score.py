"""Scores: curves made by hand with known answers, scipy's paired test, and properties that must hold for any table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.crossings import TargetCost
from fidrace.score.leaderboard import score_folder
from fidrace.score.speedups import holm, speedup
from tests.curves import DECLARED, curve, study, write

NAN = float("nan")
BUDGET = 400


def pairs(*costs: float, censored: float = np.inf) -> list[TargetCost]:
    return [TargetCost(min(c, censored), c, np.inf if c >= censored else c) for c in costs]


def test_speedup_and_interval_equal_scipys_paired_t_test_on_logs() -> None:
    rng = np.random.default_rng(0)
    base, other = rng.lognormal(6, 0.2, 8), rng.lognormal(5.8, 0.2, 8)
    ours = speedup(pairs(*base), pairs(*other))
    theirs = stats.ttest_rel(np.log(base), np.log(other))
    low, high = np.exp(theirs.confidence_interval(0.95))
    assert (ours.ci_low, ours.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert ours.p_value == pytest.approx(stats.ttest_rel(np.log(base), np.log(other), alternative="greater").pvalue)
    assert ours.factor == pytest.approx(stats.gmean(base / other))
    assert ours.detectable == pytest.approx((high / low) ** 0.5)
    assert ours.correlation == pytest.approx(stats.pearsonr(np.log(base), np.log(other)).statistic)


B = 500.0


@pytest.mark.parametrize(
    ("base", "other", "bound", "low", "high", "verdict"),
    [
        pytest.param((400, 410, 420), (200, 205, 212), "=", 1.95, 2.05, "faster", id="none censored"),
        pytest.param((B, B, 450), (200, 205, 210), ">=", 1.9, np.inf, "faster", id="baseline censored: at least"),
        pytest.param((200, 205, 210), (B, B, 450), "<=", 0.0, 0.55, "slower", id="method censored: at most"),
        pytest.param((B, B, B), (B, B, B), "none", 0.0, np.inf, "no difference shown", id="all censored: nothing known"),
        pytest.param((B, B, B, B), (B, 100, 101, 99), "none", 0.0, np.inf, "no difference shown", id="both: nothing known"),
        pytest.param(
            (400, 410, 390, 395),
            (200, 210, 190, B),
            "<=",
            0.0,
            3.3,
            "no difference shown",
            id="one that never arrives, others fast",
        ),
        pytest.param((B, 205, 210), (B, B, 450), "none", 0.0, np.inf, "no difference shown", id="both, method slower"),
    ],
)
def test_censoring_turns_points_into_bounds(
    base: tuple[float, ...], other: tuple[float, ...], bound: str, low: float, high: float, verdict: str
) -> None:
    result = speedup(pairs(*base, censored=B), pairs(*other, censored=B))
    assert (result.bound, result.verdict) == (bound, verdict)
    assert result.ci_low == pytest.approx(low, abs=0.15)
    assert result.ci_high == pytest.approx(high, abs=0.15)
    assert np.isnan(result.factor) == (bound == "none")


def test_fewer_than_three_pairs_are_a_point_without_an_interval() -> None:
    result = speedup(pairs(400, 410), pairs(200, 205))
    assert result.factor == pytest.approx(2)
    assert np.isnan([result.ci_low, result.ci_high, result.p_value]).all()
    assert result.verdict == "no difference shown"


def test_holm_on_a_worked_example() -> None:
    # p x (4, 3, 2, 1) by rank, then never falling: 0.04, 0.06, 0.06, and 0.04 for the largest is raised to 0.06
    np.testing.assert_allclose(holm(np.array([0.02, 0.01, NAN, 0.04, 0.03])), [0.06, 0.04, NAN, 0.06, 0.06])


def test_known_factor_is_found_and_the_baseline_leads_nothing(tmp_path: Path) -> None:
    scores = score_folder(write(tmp_path, study()), target=10.0)
    row = scores.leaderboard.iloc[0]
    assert (row["method"], row["verdict"], row["reached"]) == ("fast", "faster", 4)
    assert row["speedup"] == pytest.approx(2, rel=2e-3)
    assert row["median_to_target"] == pytest.approx(140, abs=10)
    assert scores.headline().startswith("fastest: fast, 2.00x the baseline")
    assert "post hoc" in row["flags"]


def test_shuffled_and_repeated_rows_give_the_same_tables(tmp_path: Path) -> None:
    plain = score_folder(write(tmp_path / "a", study()), target=10.0)
    again = write(tmp_path / "b", study(), order=-1)
    for name in ("runs.csv", "evals.csv"):
        lines = (again / name).read_text().splitlines(keepends=True)
        (again / name).write_text("".join([*lines, lines[2]]))
    shuffled = score_folder(again, target=10.0)
    pd.testing.assert_frame_equal(plain.speedups, shuffled.speedups)
    pd.testing.assert_frame_equal(plain.leaderboard, shuffled.leaderboard)


def test_two_different_rows_for_one_evaluation_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, study())
    text = (folder / "evals.csv").read_text().splitlines(keepends=True)
    (folder / "evals.csv").write_text("".join([*text, text[1].replace("80.0", "81.0")]))
    with pytest.raises(InputError, match="two different rows"):
        score_folder(folder, target=10.0)


def test_runs_that_are_not_over_are_missing_pairs_and_said(tmp_path: Path) -> None:
    scores = score_folder(write(tmp_path, study(), {("fast", 2): "running", ("baseline", 0): "failed"}), target=10.0)
    row = scores.speedups.iloc[0]
    assert row["pairs"] == 0  # two pairs are left, but three runs on each side
    assert "unpaired" in row["flags"]
    assert "1 running; baseline: 1 failed" in row["flags"]


def test_without_a_baseline_nothing_can_be_concluded(tmp_path: Path) -> None:
    with pytest.raises(NothingToConclude, match="baseline"):
        score_folder(write(tmp_path, [c for c in study() if c.method == "fast"]), target=10.0)


def test_identical_curves_are_called_identical(tmp_path: Path) -> None:
    row = score_folder(write(tmp_path, study(factor=1.0)), target=10.0).speedups.iloc[0]
    assert (row["verdict"], row["speedup"], row["ci_low"], row["ci_high"], row["bound"]) == ("identical", 1, 1, 1, "=")


def test_baseline_final_compares_with_what_each_baseline_ends_at(tmp_path: Path) -> None:
    row = score_folder(write(tmp_path, study()), target="baseline-final").speedups.iloc[0]
    assert row["baseline_reached"] == 4
    assert row["speedup"] == pytest.approx(2, rel=2e-3)  # the baseline's FD at 400 is reached at 200 by a method twice as fast


def test_the_winner_may_differ_by_axis(tmp_path: Path) -> None:
    curves = study(factor=1.5)
    for one in curves:
        if one.method == "fast":
            one.columns["train_seconds"] *= 2
    table = score_folder(write(tmp_path, curves), target=10.0).speedups.set_index("axis")
    assert table.loc["iterations", "verdict"] == "faster"
    assert table.loc["seconds", "speedup"] == pytest.approx(table.loc["iterations", "speedup"] / 2)
    assert table.loc["seconds", "verdict"] == "slower"


def test_an_axis_on_which_every_run_costs_the_same_per_iteration_has_no_rows(tmp_path: Path) -> None:
    folder, control = write(tmp_path, study()), [("fast", "baseline")]
    scores = score_folder(folder, 10.0, contrasts=control)
    for table in (scores.speedups, scores.contrasts, scores.curve):
        assert table["axis"].unique().tolist() == ["iterations", "seconds"]
    assert scores.redundancy_note().startswith("images and forwards: ")
    asked = score_folder(folder, 10.0, "images", control)
    for table in (asked.speedups, asked.contrasts):
        rows = table.set_index("axis")
        assert rows.loc["images", "speedup"] == pytest.approx(rows.loc["iterations", "speedup"], rel=1e-12)
        assert rows.loc["images", "verdict"] == rows.loc["iterations", "verdict"]
    assert asked.leaderboard["axis"].unique().tolist() == ["images"]
    assert asked.leaderboard["median_to_target"].tolist() == pytest.approx(
        [64 * n for n in scores.leaderboard["median_to_target"]]
    )


@pytest.mark.parametrize("cost", [1.5, NAN])
def test_an_axis_keeps_its_rows_if_one_evaluation_cost_more_or_was_not_measured(cost: float, tmp_path: Path) -> None:
    curves = study()
    curves[-1].columns["forwards"][2] *= cost
    scores = score_folder(write(tmp_path, curves), 10.0)
    assert scores.redundant_axes == ("images",)
    assert scores.speedups["axis"].unique().tolist() == ["iterations", "seconds", "forwards"]


def test_an_unknown_task_without_a_target_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--target"):
        score_folder(write(tmp_path, study()))


def test_final_fd_is_read_at_the_budget_not_at_the_evaluation_that_only_confirms(tmp_path: Path) -> None:
    curves = [curve(80, 40, 20, 9, 8, 1, method=method, seed=seed) for method in ("baseline", "m") for seed in range(3)]
    folder = write(tmp_path, curves)
    (folder / "study.json").write_text(json.dumps(DECLARED))
    assert score_folder(folder).leaderboard["final_fd"].tolist() == [8, 8]


def test_a_finished_run_that_has_lost_rows_is_left_out_and_said(tmp_path: Path) -> None:
    curves = [one if (one.method, one.seed) != ("fast", 3) else curve(80, 40, method="fast", seed=3) for one in study()]
    folder = write(tmp_path, curves)
    (folder / "study.json").write_text(json.dumps(DECLARED))
    row = score_folder(folder).speedups.iloc[0]
    assert row["pairs"] == 3
    assert "1 incomplete" in row["flags"]


def test_a_baseline_that_diverged_has_no_final_fd_to_be_compared_with(tmp_path: Path) -> None:
    curves = [one if (one.method, one.seed) != ("baseline", 3) else curve(80, 40, method="baseline", seed=3) for one in study()]
    folder = write(tmp_path, curves, {("baseline", 3): "diverged"})
    (folder / "study.json").write_text(json.dumps(DECLARED))
    assert score_folder(folder, "baseline-final").speedups.iloc[0]["pairs"] == 3
    assert score_folder(folder).speedups.iloc[0]["pairs"] == 4  # against a number it is a censored run like another


def test_tables_without_runs_conclude_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path, study())
    for name in ("runs.csv", "evals.csv"):
        (folder / name).write_text((folder / name).read_text().splitlines(keepends=True)[0])
    with pytest.raises(NothingToConclude, match="no runs"):
        score_folder(folder)
