"""Other people's tables: a method, a count of training and a distance; what may be said of them, and what may not.

The curves named in tests are simulated or published; a published one stands with its source.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.leaderboard import score_folder
from fidrace.score.one_seed import detectable_by_seeds
from tests.conftest import Fidrace, Refused
from tests.foreign import SCATTER, Rows, first, races, run, write

# FDM (github.com/sail-sg/FDM @5129e728, README.md:19-32): FID on CIFAR-10 by million images, one number a cell.
FDM = {"edm": (5.76, 1.99, 1.92, 1.88), "edm-fdm": (2.17, 1.93, 1.83, 1.79)}
# REPA (arXiv 2410.06940) Table 3, SiT-XL/2 on ImageNet 256; the paper divides 7M by 400K.
REPA = {"baseline": {400_000: 17.2, 7_000_000: 8.3}, "repa": {150_000: 13.6, 400_000: 7.9, 1_000_000: 6.4, 4_000_000: 5.9}}


def test_a_twin_that_is_looked_at_more_often_is_not_faster(tmp_path: Path) -> None:
    """Baseline evaluated each 50K, a twin that is a little slower each 10K: by interpolation alone it led by 1.27x or more."""
    rng = np.random.default_rng(0)
    rows: Rows = []
    for seed in range(5):
        pace = np.exp(rng.normal(0, 0.05))
        rows += run("baseline", 50_000, 600_000, pace, seed, rng) + run("twin", 10_000, 600_000, 0.97 * pace, seed, rng)
    for target in (200, 100, 40, 20, 10, 8):
        for paired in (True, False):
            row = first(score_folder(write(tmp_path / "s", rows), target, paired=paired))
            assert not row["verdict"].startswith("faster"), (target, paired)
            assert "grids differ" in row["flags"]
    fine = first(score_folder(tmp_path / "s", 8.0, paired=True))
    assert fine["speedup"] == pytest.approx(0.97, abs=0.03)  # at the evaluations that both have
    assert fine["factor_low"] < 0.97 < fine["factor_high"]


def test_a_baseline_that_has_arrived_before_anybody_looked_is_not_beaten(tmp_path: Path) -> None:
    """In truth at the target after 20K, first looked at after 50K; the method arrives after 40K, so it is half as fast."""
    rows: Rows = []
    for seed in range(3):
        rows += run("baseline", 50_000, 600_000, 15 * (1 + seed / 50), seed) + run(
            "m", 2_000, 600_000, 7.5 * (1 + seed / 40), seed
        )
    row = first(score_folder(write(tmp_path / "s", rows), 10.0, paired=True))
    assert (row["verdict"], row["bound"], row["ci_low"], row["p_holm"]) == ("no difference shown", "<=", 0, 1)
    assert row["factor_low"] == 0
    assert "baseline: 3 at target at the first evaluation" in row["flags"]


def test_runs_without_a_seed_in_common_are_two_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    paces = np.exp(rng.normal(0, 0.05, 6)) * [1, 1, 1, 1.34, 1.34, 1.34]
    rows = [row for k, pace in enumerate(paces) for row in run("edm" if k < 3 else "mine", 5_000, 600_000, pace, k)]
    row = first(score_folder(write(tmp_path / "s", rows), 10.0, baseline="edm"))
    assert (row["pairs"], row["verdict"]) == (0, "faster")
    assert "unpaired" in row["flags"]
    needed = np.log(300_000 / paces)
    welch = stats.ttest_ind(needed[:3], needed[3:], equal_var=False)
    low, high = np.exp(welch.confidence_interval(0.95))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low, rel=2e-3), pytest.approx(high, rel=2e-3))
    assert row["p_value"] == pytest.approx(welch.pvalue / 2, rel=0.02)


def test_one_published_curve_each_says_what_the_grid_says(tmp_path: Path) -> None:
    rows = [{"method": name, "mimg": 50 * (k + 1), "fid": fid} for name, fids in FDM.items() for k, fid in enumerate(fids)]
    scores = score_folder(write(tmp_path / "s", rows), 2.0, baseline="edm")
    row = first(scores)
    assert (row["axis"], row["verdict"], row["speedup"]) == ("Mimg", "no difference shown", pytest.approx(1.18, abs=0.005))
    assert (row["factor_low"], row["factor_high"]) == (pytest.approx(0.5), pytest.approx(2.0))
    (said,) = scores.without_interval
    assert said.startswith(
        "edm-fdm, 1 and 1 runs: between 0.5x and 2x by the grid alone; 1 % more fid in the baseline moves it "
    )
    assert "from 1.18x to 1.26x; 3 seeds a side would show a factor of 1." in said
    assert "published tables 'digits'" in said


def test_a_folder_named_as_the_published_tables_does_not_lend_its_scatter(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = run("baseline", 10_000, 600_000) + run("m", 10_000, 600_000, 1.5)
    detectable_by_seeds.cache_clear()
    write(tmp_path / "digits", rows)
    said = " ".join(fidrace("score", write(tmp_path / "mine", rows), "--target", "10").stdout.split())
    costs = cost_of_published_baselines()
    found = re.search(r"3 seeds a side would show a factor of ([\d.]+)x at 80 % power", said)
    assert found
    rng, deviation = np.random.default_rng(0), np.std(np.log(costs), ddof=1)
    ours, theirs = (rng.normal(mean, deviation, (20_000, 3)) for mean in (0, np.log(float(found[1]))))
    welch = stats.ttest_ind(theirs, ours, axis=1, equal_var=False, alternative="greater")
    assert np.mean(welch.pvalue < 0.025) == pytest.approx(0.8, abs=0.02)


def cost_of_published_baselines() -> list[float]:
    """Iterations to FD 34 of each published baseline run on digits, log-linear between its evaluations, by hand."""
    evals = pd.read_csv(Path(__file__).parents[1] / "results/digits/evals.csv").query("method == 'baseline'")
    return [float(np.interp(-np.log(34), -np.log(one["fd"]), one["iteration"])) for _, one in evals.groupby("seed")]


def test_grids_without_an_evaluation_in_common_leave_what_their_brackets_leave(tmp_path: Path) -> None:
    """Every 70K against every 11K: by interpolation equal runs would be faster, by 1 % and hardly any scatter."""
    rows = [
        row
        for s in range(5)
        for row in run("baseline", 70_000, 600_000, 1 + s / 1e3, s) + run("m", 11_000, 600_000, 1 + s / 2e3, s)
    ]
    row = first(score_folder(write(tmp_path / "s", rows), 10.0, paired=True))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(row["factor_low"]), pytest.approx(row["factor_high"]))
    assert row["factor_low"] < 1 < row["factor_high"]
    assert (row["verdict"], row["p_holm"]) == ("no difference shown", 1)
    assert "grids differ; coarse grid" in row["flags"]


def test_a_claim_between_the_ends_of_two_grids_is_a_wide_bracket(tmp_path: Path) -> None:
    rows = [{"method": name, "iteration": n, "fid": fid} for name, run in REPA.items() for n, fid in run.items()]
    scores = score_folder(write(tmp_path / "s", rows), 8.3)
    row = first(scores)
    assert (
        "between 1x and 46.7x by the grid alone; with 1 % more fid the baseline does not arrive" in scores.without_interval[0]
    )
    assert (row["reached"], row["baseline_reached"]) == (1, 1)  # the row at 7M is not lost to a budget guessed from the other
    assert row["factor_low"] == pytest.approx(1.0)
    assert row["factor_high"] == pytest.approx(7_000 / 150)
    assert (row["verdict"], row["bound"]) == ("no difference shown", ">=")
    assert "baseline: 1 unconfirmed" in row["flags"]
    assert "grids differ" in row["flags"]


@pytest.mark.parametrize(
    ("column", "values"), [("reference_n", (50_000, 2_000)), ("n", (5_000, 50_000)), ("NFE", (35, 18)), ("cfg", (1.0, 1.5))]
)
def test_distances_that_were_measured_in_other_ways_do_not_compare(
    column: str, values: tuple[Any, Any], tmp_path: Path
) -> None:
    rows = [row for k, method in enumerate(("baseline", "m")) for row in run(method, 50_000, 300_000, **{column: values[k]})]
    with pytest.raises(InputError, match=f"{column} is {values[0]:g} for baseline .line 2. and {values[1]:g} for m .line 8."):
        score_folder(write(tmp_path / "s", rows), 20.0)
    one = run("baseline", 50_000, 300_000, **{column: values[0]})
    one[3][column] = values[1]
    grown = [{**row, column: k} for k, row in enumerate(run("baseline", 100_000, 300_000), 1)]  # three values count no training
    for rows in (one, grown):
        with pytest.raises(InputError, match="do not compare"):
            score_folder(write(tmp_path / "s", rows), 20.0)


@pytest.mark.parametrize(
    ("column", "scale", "unit"),
    [
        ("step", 1, "iterations"),
        ("Iteration", 1, "iterations"),
        ("kimg", 1e-3, "kimg"),
        ("nimg", 64, "images"),
        ("epoch", 1e-4, "epochs"),
    ],
)
def test_three_columns_make_a_table_in_their_own_unit(
    column: str, scale: float, unit: str, tmp_path: Path, fidrace: Fidrace
) -> None:
    rows = races({"baseline": SCATTER[:4], "m": [1.5 * pace for pace in SCATTER[:4]]})
    told = [{"method": row["method"], column: row["step"] * scale, "FID": row["fid"], "seed": row["seed"]} for row in rows]
    folder = write(tmp_path / "mine", told)
    shown = fidrace("score", folder, "--target", "10").stdout
    assert f"task: {unit} to fid ≤ 10" in shown
    assert "faster" in shown
    assert pd.read_csv(folder / "speedups.csv")["axis"].unique().tolist() == [unit]
    assert "fid" in fidrace("report", folder, "--target", "10").stderr or (folder / "report.html").exists()
    assert fidrace("check", folder, "--require", "m>=1.2", "--target", "10").returncode == 0
    said = fidrace("score", folder, "--target", "10", "--axis", "seconds", code=2).stderr
    assert said == f"fidrace: seconds were not measured here (choices: {unit})\n"


def test_all_that_is_missing_is_said_at_once_with_the_nearest_names(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path, [{"model": "a", "iters": 1, "fid50k_full": 3.0}])
    said = refused("score", tmp_path, "--target", "2")
    assert "no column of methods (method; did you mean 'model'?) and none of progress (iteration, " in said
    assert "epoch; did you mean 'iters'?) and none" in said
    assert "and none of distances (fd, fid; did you mean 'fid50k_full'?); it has model, iters, fid50k_full" in said


def test_a_target_that_was_declared_beside_the_tables_is_not_post_hoc(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"edm": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    folder = write(tmp_path / "s", rows)
    assert "give --target FD, or write target = FD into" in fidrace("score", folder, "--baseline", "edm", code=2).stderr
    (folder / "study.toml").write_text('target = 10.0\nbaseline = "edm"\npaired = true\ncontrasts = [["m", "edm"]]\n')
    row = first(score_folder(folder))
    assert (row["target"], row["pairs"], row["flags"]) == (10, 3, "")
    assert "post hoc" in first(score_folder(folder, 12.0))["flags"]
    fidrace("score", folder)
    before = (folder / "leaderboard.csv").read_bytes()
    assert "its tables stay as they are" in fidrace("score", folder, "--target", "12").stderr
    assert (folder / "leaderboard.csv").read_bytes() == before
    (folder / "study.toml").write_text("tarrget = 10.0\n")
    assert "study.toml: unknown field 'tarrget'; did you mean 'target'?" in fidrace("score", folder, code=2).stderr


def test_a_baseline_unit_or_axis_that_is_not_there_is_named(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path, [row | {"kimg": row["step"] / 10} for row in run("edm", 10_000, 600_000)])
    ask = ("score", tmp_path, "--target", "10")
    assert "did you mean 'edm'?" in refused(*ask, "--baseline", "edmm")
    assert "--unit kimgs: no column counts that; did you mean 'kimg'?" in refused(*ask, "--baseline", "edm", "--unit", "kimgs")
    assert "--unit fid: no column counts that" in refused(*ask, "--baseline", "edm", "--unit", "fid")
    assert "unknown axis 'step'" in refused(*ask, "--baseline", "edm", "--axis", "step")
    with pytest.raises(NothingToConclude, match="--baseline NAME takes one of edm"):
        score_folder(tmp_path, 10.0)


def test_a_file_in_a_folders_place_or_under_another_name_is_told_where_to_go(refused: Refused, tmp_path: Path) -> None:
    write(tmp_path / "mine", run("baseline", 10_000, 600_000), "fids.csv")
    assert "is a file: put it into a folder, as evals.csv" in refused("score", tmp_path / "mine" / "fids.csv")
    assert "evals.csv: no such file; if it is fids.csv, give it this name" in refused("score", tmp_path / "mine")
    assert "--budget 0: write how much training" in refused(
        "score", write(tmp_path / "s", run("baseline", 1, 9)), "--budget", "0"
    )


def test_a_budget_looks_at_the_beginning_only(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [0.7 * pace for pace in SCATTER[:3]]})
    folder = write(tmp_path / "s", rows)
    assert first(score_folder(folder, 10.0))["reached"] == 3
    row = first(score_folder(folder, 10.0, budget=350_000))
    assert (row["reached"], row["baseline_reached"], row["bound"]) == (0, 3, "<=")
