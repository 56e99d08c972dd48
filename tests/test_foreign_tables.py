"""Other people's tables: a method, a count of training and a distance; what may be said of them, and what may not.

The curves named in tests are simulated or published; a published one stands with its source.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.leaderboard import Scores, score_folder
from tests.conftest import Fidrace, Refused

Rows = list[dict[str, Any]]
# FDM (github.com/sail-sg/FDM @5129e728, README.md:19-32): FID on CIFAR-10 by million images, one number a cell.
FDM = {"edm": (5.76, 1.99, 1.92, 1.88), "edm-fdm": (2.17, 1.93, 1.83, 1.79)}
# REPA (arXiv 2410.06940) Table 3, SiT-XL/2 on ImageNet 256; the paper divides 7M by 400K.
REPA = {"baseline": {400_000: 17.2, 7_000_000: 8.3}, "repa": {150_000: 13.6, 400_000: 7.9, 1_000_000: 6.4, 4_000_000: 5.9}}


def write(folder: Path, rows: Rows, name: str = "evals.csv") -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return folder


def run(method: str, step: float, end: float, pace: float = 1.0, seed: int | None = None, rng: Any = None, **more: Any) -> Rows:
    """FID of a power law every `step` iterations to `end`: 10 at 300,000 / pace, with 1 % of noise if there is a `rng`."""
    n = np.arange(step, end + step / 2, step)
    fid = 5 + 295 * (1 + 14.15 * pace * n / 300_000) ** -1.5 * np.exp(0.0 if rng is None else rng.normal(0, 0.01, len(n)))
    told = {"method": method, **({} if seed is None else {"seed": seed}), **more}
    return [{**told, "step": int(at), "fid": value} for at, value in zip(n, fid, strict=True)]


def first(scores: Scores, method: str | None = None) -> "pd.Series[Any]":
    table = scores.speedups
    return table[table["method"] == (method or table["method"].iloc[0])].iloc[0]


# What was tried on foreign tables, and what was said of it ------------------------------------------------------------


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
    assert "from 1.18x to 1.26x; 3 seeds a side would show a factor above 1." in said
    assert "published tables 'digits'" in said


def test_a_claim_between_the_ends_of_two_grids_is_a_wide_bracket(tmp_path: Path) -> None:
    rows = [{"method": name, "iteration": n, "fid": fid} for name, run in REPA.items() for n, fid in run.items()]
    row = first(score_folder(write(tmp_path / "s", rows), 8.3))
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
    with pytest.raises(InputError, match="do not compare"):
        score_folder(write(tmp_path / "s", one), 20.0)


# Evidence that is none ------------------------------------------------------------------------------------------------


def races(paces: dict[str, list[float]], step: int = 10_000, end: int = 600_000) -> Rows:
    """Runs at these paces, by seed, with noise of their own."""
    rng = np.random.default_rng(7)
    return [
        row for name, one in paces.items() for seed, pace in enumerate(one) for row in run(name, step, end, pace, seed, rng)
    ]


def with_statuses(folder: Path, rows: Rows, statuses: dict[tuple[str, int], str] = {}) -> Path:
    """The tables of `rows`, in which every run is finished but for `statuses`."""
    runs = pd.DataFrame(rows)[["method", "seed"]].drop_duplicates()
    keys = runs.itertuples(index=False, name=None)
    write(folder, rows)
    runs.assign(status=[statuses.get(key, "finished") for key in keys]).to_csv(folder / "runs.csv", index=False)
    return folder


SCATTER = [0.95, 1.0, 1.05, 0.97, 1.03, 1.01, 0.99, 1.04, 0.96, 1.02]


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
    for last in (600_000, 400_000):  # in the last evaluation, or for long
        climbed = [{**row, "fid": 40.0 if row["method"] == "m" and row["step"] >= last else row["fid"]} for row in rows]
        row = first(score_folder(write(tmp_path / "s", climbed), 10.0, paired=True))
        assert (row["verdict"], row["ci_low"], row["p_holm"]) == ("no difference shown", 0, 1)
        assert "10 relapsed" in row["flags"]


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


# What a stranger has is enough ----------------------------------------------------------------------------------------


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


# Tables in other dress ------------------------------------------------------------------------------------------------


def test_a_spreadsheet_in_german_says_the_same(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    plain = first(score_folder(write(tmp_path / "plain", rows), 10.0))
    german = pd.DataFrame(rows).assign(
        step=lambda table: table["step"].map(lambda n: f"{n:,}".replace(",", ".")),
        fid=lambda table: table["fid"].map(lambda fid: f"{fid:,.12f}".translate({ord(","): ".", ord("."): ","})),
    )
    text = "# exported by hand\n" + german.to_csv(index=False, sep=";")
    (tmp_path / "german").mkdir()
    (tmp_path / "german" / "evals.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    done = fidrace("score", "german", "--target", "10")
    assert "semicolons between cells and commas as decimal points" in done.stderr
    row = first(score_folder(tmp_path / "german", 10.0))
    assert row["speedup"] == pytest.approx(plain["speedup"], rel=1e-9)
    mixed = text.replace("\r", "").replace(german["fid"][0], "0.98", 1)
    (tmp_path / "german" / "evals.csv").write_text(mixed)
    assert "0.98 has a decimal point, and other numbers have decimal commas" in fidrace("score", "german", code=2).stderr


GOOD = [
    "method,seed,step,fid",
    *(f"{m},{s},{n},{100 - n / 10 - s}" for m in ("baseline", "m") for s in (0, 1) for n in (0, 400, 800)),
]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("m,1,800,19.5", "two different rows for m seed 1 at step 800 (lines 13 and 14); of a log that was restarted keep"),
        ("m,1,,19.5", "line 14: step is blank"),
        ("m,1,inf,19.5", "line 14: step is inf"),
        ("m,1,-5,19.5", "line 14: step is -5"),
        ("m,1,900,-1", "m seed 1 has a distance below 0"),
        ('m,1,900,"1.234,5"', "line 14: fid is '1.234,5', not a number; write it with a decimal point"),
        ("m,1.5,900,3", "line 14: a seed is a whole number from 0 or blank, not 1.5"),
        ("=cmd(),1,900,3", "'=cmd()' cannot be a method"),
        ("m,1,900,3,4", "not a CSV file"),
        ("m,1,1e300,3", "step = 1e+300 is too large"),
    ],
)
def test_a_row_without_sense_is_named_by_its_line_and_nothing_is_written(
    line: str, named: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "evals.csv").write_text("\n".join([*GOOD, line]) + "\n")
    assert named in refused("score", tmp_path, "--target", "50")
    assert [path.name for path in tmp_path.iterdir()] == ["evals.csv"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("method;step;fid\nbaseline;250;20\nbaseline;1.000;9\n", "line 3: step is 1.000: a thousand or a fraction?"),
        ("method;step;fid;lr\nbaseline;250;20.125;0,1\nbaseline;500;9.362;0,1\n", "line 2: fid is 20.125: a thousand or"),
        ("method,seed,step,fid\nbaseline,13298127398127398127,1,9\n", "is too large to be told apart"),
        ("method,seed,step,fid\nbaseline,-1,1,9\n", "a seed is a whole number from 0 or blank, not -1"),
    ],
)
def test_what_may_mean_two_things_is_refused(text: str, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "evals.csv").write_text(text)
    assert named in refused("score", tmp_path, "--target", "10")


def test_blank_and_equal_descriptions_spaces_and_old_line_ends_make_no_difference(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    plain = score_folder(write(tmp_path / "plain", rows), 10.0).speedups
    dressed = [
        {**row, "method": f"{row['method']} ", "n": "", "cfg": k % 2 or "1.0", "metric": ""} for k, row in enumerate(rows)
    ]
    folder = write(tmp_path / "dressed", dressed)
    (folder / "evals.csv").write_text((folder / "evals.csv").read_text().replace("\n", "\r"))
    pd.testing.assert_frame_equal(score_folder(folder, 10.0).speedups, plain)


def test_a_task_of_ours_by_name_does_not_lend_its_budget(tmp_path: Path) -> None:
    rows = [{**row, "task": "digits"} for row in races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})]
    scores = score_folder(write(tmp_path / "s", rows), 10.0)
    assert (first(scores)["reached"], scores.rules.budget) == (3, np.inf)


def test_runs_and_axes_of_which_nothing_was_measured_are_told(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:4], "m": [1.5 * pace for pace in SCATTER[:4]]})
    rows = [{**row, "train_seconds": row["step"] / 100 if row["method"] == "m" else ""} for row in rows]
    rows = [{**row, "fid": ""} if (row["method"], row["seed"]) == ("m", 3) else row for row in rows]
    folder = write(tmp_path / "s", rows)
    assert "1 without evaluations" in first(score_folder(folder, 10.0))["flags"]
    shown = fidrace("score", folder, "--target", "10", "--axis", "seconds").stdout
    assert "not measured" in shown
    assert "4 without seconds" in " ".join(shown.split())


def test_guards_are_paired_as_the_factor_is(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:5]}) + [
        {**row, "seed": row["seed"] + 4} for row in races({"m": [1.5 * pace for pace in SCATTER[:5]]})
    ]
    rows = [{**row, "recall": (0.8 if row["method"] == "baseline" else 0.6) + row["seed"] / 1000} for row in rows]
    assert "loses recall" in first(score_folder(write(tmp_path / "s", rows), 10.0, paired=True))["flags"].split("; ")


def test_units_that_are_mixed_are_refused_by_their_columns(refused: Refused, tmp_path: Path) -> None:
    lines = ["method,step,kimg,fid", "baseline,100,,50", "baseline,200,,40", "m,,6.4,50", "m,,12.8,30"]
    (tmp_path / "evals.csv").write_text("\n".join(lines))
    assert "line 4: step is blank, and kimg is 6.4: convert all rows to one unit" in refused(
        "score", tmp_path, "--target", "45"
    )


def test_rows_out_of_order_are_sorted_and_said(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:3], "m": SCATTER[:3]})
    plain = score_folder(write(tmp_path / "plain", rows), 10.0).speedups
    write(tmp_path / "shuffled", [*rows[30:], *rows[:30]])
    said = fidrace("score", "shuffled", "--target", "10").stderr
    assert "the rows of baseline seed 0 are not in the order of training, first on line" in said
    shuffled = score_folder(tmp_path / "shuffled", 10.0).speedups
    pd.testing.assert_frame_equal(plain, shuffled)


def test_blank_distances_of_a_training_log_are_no_evaluations(tmp_path: Path) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    plain = score_folder(write(tmp_path / "s", rows), 10.0).speedups
    log = [part for row in rows for part in ({**row, "step": row["step"] - 5_000, "fid": ""}, row)]
    pd.testing.assert_frame_equal(score_folder(write(tmp_path / "s", log), 10.0).speedups, plain)


def test_runs_without_a_seed_are_one_chance_each(tmp_path: Path, refused: Refused) -> None:
    rows = run("baseline", 10_000, 600_000) + run("m", 10_000, 600_000, 1.5)
    row = first(score_folder(write(tmp_path / "s", rows), 10.0))
    assert (row["pairs"], np.isnan(row["ci_low"]), row["speedup"]) == (0, True, pytest.approx(1.5, rel=1e-3))
    assert "fewer than 3 runs a side; unpaired" in row["flags"]
    twice = [*rows, *run("m", 10_000, 600_000, 1.6)]
    assert "if they are of two runs, tell them apart in a column seed" in refused(
        "score", write(tmp_path / "t", twice), "--target", "10"
    )


def test_a_million_rows_are_read_in_moments(tmp_path: Path) -> None:
    """One pass over the text: a table a hundred times as long takes about a hundred times as long, not ten thousand."""
    n = np.arange(0, 1_000_000)
    fid = 5 + 295 * (1 + n / 20_000.0) ** -1.5
    table = pd.DataFrame({"method": np.where(n < 500_000, "baseline", "m"), "step": n % 500_000, "fid": fid})
    (tmp_path / "s").mkdir()
    table.to_csv(tmp_path / "s" / "evals.csv", index=False)
    assert first(score_folder(tmp_path / "s", 6.0))["method"] == "m"


# The gate -------------------------------------------------------------------------------------------------------------


def test_a_method_that_is_dead_in_two_of_three_seeds_fails_the_gate(tmp_path: Path, fidrace: Fidrace) -> None:
    rows = races({"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]})
    folder = with_statuses(tmp_path / "s", rows)
    ask = ("check", folder, "--target", "10", "--require", "m>=1.1", "--paired")
    fidrace(*ask)
    dead = [{**row, "fid": 300.0 + row["step"] / 1e4} if row["method"] == "m" and row["seed"] else row for row in rows]
    with_statuses(folder, dead)
    assert "2 of 3 runs diverged or end no lower than they" in " ".join(fidrace(*ask, code=1).stdout.split())
    with_statuses(folder, rows, {("m", 0): "diverged"})
    fidrace(*ask, code=1)


def test_two_sides_that_both_slow_down_hold_their_factor_and_fail_the_absolute_gate(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:5], "m": [1.3 * pace for pace in SCATTER[:5]]}
    before = with_statuses(tmp_path / "before", races(paces))
    now = with_statuses(
        tmp_path / "now", races({name: [pace / 1.5 for pace in one] for name, one in paces.items()}, end=900_000)
    )
    ask = ("check", now, "--against", before, "--target", "10", "--paired")
    fidrace(*ask)
    failed = fidrace(*ask, "--absolute", code=1).stdout
    assert "baseline itself slows" in failed
    assert "m itself slows" in failed
    assert failed.count("✗") == 2
    fidrace("check", before, "--against", before, "--target", "10", "--paired", "--absolute")
    assert "give --against" in fidrace("check", now, "--require", "m>=1", "--absolute", code=2).stderr


def test_a_gate_between_unlike_grids_or_measures_does_not_judge_by_them(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:5], "m": [1.5 * pace for pace in SCATTER[:5]]}
    before = with_statuses(tmp_path / "before", races(paces, step=10_000))
    now = with_statuses(tmp_path / "now", races(paces, step=100_000))
    ask = ("check", now, "--against", before, "--target", "10", "--paired")
    said = fidrace(*ask, "--absolute").stdout
    assert "fails" not in said
    assert "evaluated at different iterations" in " ".join(said.split()).replace("│ ", "")
    with_statuses(now, [{**row, "num_samples": 5000} for row in races(paces)])
    assert "num_samples is 5000 in" in fidrace(*ask, code=2).stderr
    final = fidrace("check", before, "--against", before, "--absolute", "--paired", "--target", "baseline-final", code=2)
    assert "the target moves with the baseline" in final.stderr


def test_a_gate_counts_failed_and_copied_runs_as_the_table_does(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:5], "m": [1.5 * pace for pace in SCATTER[:5]]}
    rows = races(paces)
    before = with_statuses(tmp_path / "before", rows)
    lost = with_statuses(tmp_path / "lost", rows, {("m", 0): "failed", ("baseline", 1): "failed"})
    ask = ("--against", before, "--target", "10", "--paired", "--absolute")
    said = fidrace("check", lost, *ask, code=3).stdout
    assert "holds" not in said
    one = [{**row, "seed": seed} for seed in range(4) for row in rows if row["seed"] == 0]
    assert "not measured" in fidrace("check", with_statuses(tmp_path / "one", one), *ask, code=3).stdout


def test_foreign_tables_are_not_merged_by_halves(refused: Refused, tmp_path: Path) -> None:
    folders = [write(tmp_path / name, run("baseline", 10_000, 60_000)) for name in "ab"]
    assert "runs.csv" in refused("merge", *folders, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
