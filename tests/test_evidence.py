"""Evidence that is none: copies, failures, relapses, gaps; and verdicts by one rule."""

from pathlib import Path

import numpy as np
import pytest

from fidrace.score.leaderboard import score_folder
from fidrace.score.verdicts import format_p
from tests.conftest import Fidrace, Refused
from tests.foreign import SCATTER, Rows, first, races, run, with_statuses, write


@pytest.mark.parametrize("paired", [True, False])
def test_one_run_under_three_seeds_is_one_run(paired: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = run("m", 10_000, 600_000, 1.5, 0, rng), run("baseline", 10_000, 600_000, 1.0, 0, rng)
    rows = [{**row, "seed": seed} for seed in range(3) for row in ours + theirs]
    row = first(score_folder(write(tmp_path / "s", rows), 10.0, paired=paired))
    assert (row["verdict"], np.isnan(row["p_value"])) == ("no difference shown", True)
    assert "2 copies of another run; baseline: 2 copies of another run" in row["flags"]
    rounded = [{**row, "fid": row["fid"] + 1e-12 * row["seed"]} for row in rows]  # no copies, but no scatter either
    row = first(score_folder(write(tmp_path / "s", rounded), 10.0, paired=paired))
    assert (row["verdict"], row["p_holm"]) == ("no difference shown", 1)
    assert "no scatter" in row["flags"]


def test_runs_that_failed_count_as_never_arriving(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER, "m": [1.3 * pace for pace in SCATTER]})
    whole = first(score_folder(with_statuses(tmp_path / "s", rows), 10.0, paired=True))
    assert whole["verdict"] == "faster"
    failed = {("m", seed): "failed" for seed in range(6)}
    left = [row for row in rows if (row["method"], row["seed"]) not in failed or row["step"] <= 50_000]
    row = first(score_folder(with_statuses(tmp_path / "s", left, failed), 10.0, paired=True))
    assert (row["verdict"], row["bound"], row["ci_low"], row["p_holm"]) == ("no difference shown", "<=", 0, 1)
    assert "6 failed" in row["flags"]
    slow = races({"baseline": SCATTER, "m": [0.6 * pace for pace in SCATTER]})
    row = first(score_folder(with_statuses(tmp_path / "s", slow, failed), 10.0, paired=True))
    assert row["verdict"] == "slower"  # survives it


def test_a_run_that_failed_after_its_crossing_never_arrived_either(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:5], "m": [1.5 * pace for pace in SCATTER[:5]]})
    folder = with_statuses(tmp_path / "s", rows, {("m", seed): "failed" for seed in range(5)})
    scores = score_folder(folder, 10.0, paired=True)
    assert (first(scores)["reached"], first(scores)["verdict"], first(scores)["bound"]) == (0, "slower", "<=")
    fidrace("check", folder, "--require", "m>=1.1", "--target", "10", code=1)


def test_baselines_that_failed_leave_slower_open_and_faster_to_the_others(tmp_path: Path) -> None:
    failed = {("baseline", seed): "failed" for seed in range(4)}
    for factor, verdict in ((1.3, "faster"), (0.7, "no difference shown")):
        rows = races({"baseline": SCATTER, "m": [factor * pace for pace in SCATTER]})
        row = first(score_folder(with_statuses(tmp_path / "s", rows, failed), 10.0, paired=True))
        assert (row["verdict"], row["pairs"], row["ci_high"]) == (verdict, 6, np.inf)
        assert "baseline: 4 failed" in row["flags"]


def test_a_failed_run_without_a_pair_is_not_forgotten(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:5], "m": [1.5 * pace for pace in SCATTER[:6]]})
    row = first(score_folder(with_statuses(tmp_path / "s", rows, {("m", 5): "failed"}), 10.0, paired=True))
    assert (row["pairs"], row["verdict"], row["ci_low"]) == (5, "no difference shown", 0)


def test_a_run_that_climbs_away_from_the_target_has_relapsed(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER, "m": [1.5 * pace for pace in SCATTER]})
    assert first(score_folder(write(tmp_path / "s", rows), 10.0, paired=True))["verdict"] == "faster"
    for fid, since in ((40.0, 600_000), (15.0, 590_000), (10.1, 580_000)):  # far in one evaluation, less far in more of them
        row = first(score_folder(write(tmp_path / "s", climbing(rows, fid, since)), 10.0, paired=True))
        assert (row["verdict"], row["ci_low"], row["p_holm"]) == ("no difference shown", 0, 1)
        assert "10 relapsed" in row["flags"]
    for fid, since in ((19.0, 600_000), (14.0, 590_000)):  # within what FD scatters
        assert first(score_folder(write(tmp_path / "s", climbing(rows, fid, since)), 10.0, paired=True))["verdict"] == "faster"


def climbing(rows: Rows, fid: float, since: int) -> Rows:
    """The rows, with the distance `fid` in all of m's from the iteration `since` on."""
    return [{**row, "fid": fid if row["method"] == "m" and row["step"] >= since else row["fid"]} for row in rows]


def test_a_run_that_ends_in_nan_or_leaves_the_target_for_a_while_is_told(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER, "m": [1.5 * pace for pace in SCATTER]})
    dead = [{**row, "fid": "nan" if row["method"] == "m" and row["step"] > 400_000 else row["fid"]} for row in rows]
    folder = with_statuses(tmp_path / "s", dead)
    row = first(score_folder(folder, 10.0, paired=True))
    assert (row["verdict"], row["bound"], row["factor_low"]) == ("no difference shown", "<=", 0)
    assert "10 relapsed" in row["flags"]
    fidrace("check", folder, "--require", "m>=1.1", "--target", "10", code=1)
    dip = [{**row, "fid": 9.0 if row["method"] == "m" and row["step"] in (60_000, 70_000) else row["fid"]} for row in rows]
    row = first(score_folder(with_statuses(folder, dip), 10.0, paired=True))
    assert "10 above the target again for a while" in row["flags"]


def test_a_distance_of_nought_is_no_measurement(refused: Refused, tmp_path: Path) -> None:
    rows = run("baseline", 10_000, 600_000) + run("m", 10_000, 600_000)
    rows[-3]["fid"] = 0.0
    assert "m has the distance 0; leave blank" in refused("score", write(tmp_path / "s", rows), "--target", "10")


def test_a_grid_that_is_fine_early_and_coarse_at_the_target_is_coarse(tmp_path: Path) -> None:
    """Six evaluations before the crossing, and the last two 95,000 apart: interpolation said faster of what was slower."""
    n = np.array([0, 1, 2, 3, 4, 5, 100, 110, 120]) * 1000.0
    rows = []
    for seed in range(5):
        for method, there in (("baseline", 19_800 * (1 + seed / 100)), ("m", 98_600 * (1 + seed / 1000))):
            fid = np.where(n < there, 300 - 280 * n / there, 9.8 if method == "baseline" else 9.0)
            rows += [{"method": method, "seed": seed, "step": at, "fid": one} for at, one in zip(n, fid, strict=True)]
    row = first(score_folder(write(tmp_path / "s", rows), 10.0))
    assert row["verdict"] == "no difference shown"
    assert "coarse grid 0.05–20" in row["flags"]


def test_the_median_of_finals_is_reached_by_half_of_unpaired_baselines(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER, "m": SCATTER})
    row = first(score_folder(write(tmp_path / "s", rows), "baseline-final", paired=False))
    assert row["baseline_reached"] < 10
    assert (row["verdict"], row["ci_high"]) == ("no difference shown", np.inf)


def test_an_evaluation_that_is_nan_before_the_crossing_is_a_bracket(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER, "m": SCATTER}, step=20_000)
    plain = first(score_folder(write(tmp_path / "s", rows), 10.0, paired=True))
    gap = [{**row, "fid": "nan" if row["method"] == "m" and 220_000 < row["step"] < 300_000 else row["fid"]} for row in rows]
    row = first(score_folder(write(tmp_path / "s", gap), 10.0, paired=True))
    assert row["verdict"] == "no difference shown"
    assert row["speedup"] == pytest.approx(plain["speedup"], rel=0.05)  # it jumped by up to a tenth
    assert row["factor_low"] == pytest.approx(plain["factor_low"])
    assert row["factor_high"] > plain["factor_high"]


def test_a_crossing_at_the_last_evaluation_is_unconfirmed_and_no_verdict(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER, "m": [1.5 * pace for pace in SCATTER]})
    cut = [row for row in rows if row["method"] == "baseline" or row["step"] <= 300_000 / 1.5 / SCATTER[row["seed"]] + 10_000]
    ends = {seed: max(row["step"] for row in cut if (row["method"], row["seed"]) == ("m", seed)) for seed in range(10)}
    cut = [{**row, "fid": 9.5} if (row["method"], row["step"]) == ("m", ends[row["seed"]]) else row for row in cut]
    cut = [
        {**row, "fid": max(row["fid"], 10.5)} if row["method"] == "m" and row["step"] < ends[row["seed"]] else row
        for row in cut
    ]
    row = first(score_folder(write(tmp_path / "s", cut), 10.0, paired=True))
    assert (row["reached"], row["verdict"], row["bound"]) == (10, "no difference shown", "<=")
    assert "10 unconfirmed" in row["flags"]


def test_the_verdict_is_by_the_adjusted_p_on_both_sides(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    paces = {"baseline": SCATTER} | {
        f"m{k}": list(np.array(SCATTER) * (1.03 if k < 5 else 0.97) * np.exp(rng.normal(0, 0.035, 10))) for k in range(10)
    }
    table = score_folder(with_statuses(tmp_path / "s", races(paces)), 10.0, paired=True).speedups
    assert {"faster, unadjusted", "slower, unadjusted"} & {*table["verdict"]}
    for side, p, limit in (("faster", "p_holm", table["ci_low"] > 1), ("slower", "p_slower_holm", table["ci_high"] < 1)):
        assert (table["verdict"] == side).tolist() == ((table[p] < 0.05) & limit).tolist()
        assert (table["verdict"] == f"{side}, unadjusted").tolist() == ((table[p] >= 0.05) & limit).tolist()


def test_a_p_below_the_level_never_looks_like_it() -> None:
    assert [format_p(p) for p in (0.0499, 0.04996, 0.05, 0.0501, 1.0, 3.4e-7, 0.0)] == [
        *("0.0499", "0.04996", "0.05", "0.05", "1", "3.4e-07", "0")
    ]
