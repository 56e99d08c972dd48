"""Costs averaged over a window of targets, against the mean of single crossings at many targets, and in simulated studies."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.errors import InputError
from fidrace.method.base import Floats
from fidrace.score.crossings import cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.leaderboard import score_folder
from fidrace.score.plan import make_plan
from fidrace.score.rules import Question
from fidrace.score.windows import CostOfTargets
from fidrace.spec.study import define_study
from fidrace.storage.study_folder import StudyFolder
from tests.conftest import TINY, Fidrace
from tests.foreign import first, races, run, write
from tests.published import DIGITS, excerpt
from tests.simulation import FAMILIES, World, outcome, over_window, too_few, too_many

STUDIES = 400
BUDGET = 400.0


def curve_of(fd: Floats, start: float = 0.0) -> Curve:
    n = start + 50.0 * np.arange(len(fd))
    columns = {"iteration": n, "images": 64 * n, "forwards": n, "train_seconds": n**1.1}
    return Curve("t", "m", 0, "finished", columns, fd, np.full(len(fd), np.nan))


falls = st.lists(st.one_of(st.floats(0.4, 1.2), st.just(float("nan"))), min_size=4, max_size=10)


@settings(max_examples=60)
@given(
    falls, st.integers(0, 9), st.floats(0.1, 0.9), st.floats(0.05, 1), st.sampled_from(["iterations", "seconds"]), st.booleans()
)
def test_the_mean_over_a_window_is_that_of_the_crossings_at_its_targets(
    falls: list[float], piece: int, place: float, part: float, axis: str, from_zero: bool
) -> None:
    fd = np.append(300, np.where(np.isnan(falls), np.nan, 300 * np.nancumprod(falls)))
    curve = curve_of(fd, 0.0 if from_zero else 50.0)
    found = CostOfTargets.of(curve, axis, BUDGET)
    known = [j for j, (first, _) in enumerate(found.block) if first >= 0]
    assume(known)
    j = known[piece % len(known)]
    target = float(np.exp(-(1 - place) * found.z[j] - place * found.z[j + 1]))
    half = part * found.room(target)
    assume(half > 1e-3)
    # midpoints of equal steps on the log scale; a jump between two grid intervals may fall inside one step
    steps = 500
    targets = target * np.exp(half * (2 * (np.arange(steps) + 0.5) / steps - 1))
    costs = [cost_of_target(curve, float(one), axis, BUDGET) for one in targets]
    assert not any(cost.censored or cost.may_be_less for cost in costs)
    x = curve.axis(axis)
    mean, low, high = found.mean(target, half)
    tolerance = 12 * (x[-1] - x[0]) / steps
    assert mean == pytest.approx(np.mean([cost.cost for cost in costs]), abs=tolerance)
    assert low == pytest.approx(np.mean([cost.low for cost in costs]), abs=tolerance)
    assert high == pytest.approx(np.mean([cost.high for cost in costs]), abs=tolerance)


def cost_near(fd: Floats, n: Floats, target: float, ratio: float) -> float:
    """The mean cost over a window of a run whose FD falls at every evaluation near the target: numpy's interpolation."""
    targets = np.geomspace(target / ratio, target * ratio, 4001)
    return float(np.interp(-np.log(targets), -np.log(fd), n).mean())


def test_the_factor_of_published_runs_is_the_mean_over_the_targets_of_the_window() -> None:
    evals = pd.read_csv(DIGITS / "evals.csv").pivot_table(index=["method", "seed"], columns="iteration", values="fd")
    n = evals.columns.to_numpy(float)
    row = first(score_folder("digits", window=1.2), "min-snr")
    ln = {
        method: [np.log(cost_near(np.minimum.accumulate(evals.loc[method, seed]), n, 34, 1.2)) for seed in range(10)]
        for method in ("baseline", "min-snr")
    }
    d = np.subtract(ln["baseline"], ln["min-snr"])
    assert row["speedup"] == pytest.approx(np.exp(d.mean()), rel=0.005)
    half = stats.t.ppf(0.975, 9) * d.std(ddof=1) / 10**0.5
    assert (row["ci_low"], row["ci_high"]) == (
        pytest.approx(np.exp(d.mean() - half), rel=0.01),
        pytest.approx(np.exp(d.mean() + half), rel=0.01),
    )
    alone = first(score_folder("digits", window=1.0), "min-snr")
    assert (row["window"], row["speedup_alone"]) == (1.2, pytest.approx(alone["speedup"]))
    assert row["factor_low"] < row["speedup"] < row["factor_high"]
    assert row["median_to_target"] == alone["median_to_target"]
    assert "window" not in alone.index


def test_a_window_that_is_asked_for_afterwards_is_post_hoc_and_one_declared_beside_tables_is_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "t", races({"baseline": [1.0, 1.1, 0.95, 1.05], "m": [1.5, 1.6, 1.4, 1.5]}))
    (folder / "study.toml").write_text("target = 10\n")
    assert "post hoc" not in first(score_folder(folder), "m")["flags"]
    asked = score_folder(folder, window=1.3)
    assert "post hoc" in first(asked, "m")["flags"]
    assert asked.rules.replaced
    (folder / "study.toml").write_text("target = 10\nwindow = 1.3\n")
    declared = score_folder(folder)
    assert "post hoc" not in first(declared, "m")["flags"]
    assert first(declared, "m")["speedup"] == first(asked, "m")["speedup"] != first(declared, "m")["speedup_alone"]
    assert "from 7.69 to 13; at 10 alone: m 1." in declared.window_note()
    final = score_folder(folder, "baseline-final")
    assert (final.window_note(), "window" in final.speedups) == ("", False)


def test_a_pair_has_the_window_that_both_of_its_runs_have_by_the_budget_and_the_row_says_how_much_is_left(
    tmp_path: Path,
) -> None:
    rows = races({"baseline": [1.0, 1.1, 0.95, 1.05], "m": [1.5, 1.6, 1.4, 1.5]})
    late = [row for row in rows if row["method"] == "m" or row["step"] <= 340_000 / [1.0, 1.1, 0.95, 1.05][row["seed"]]]
    folder = write(tmp_path / "t", late)
    cut = first(score_folder(folder, 10.0, window=1.35), "m")
    assert "window cut to 1.0" in cut["flags"]
    whole = first(score_folder(write(tmp_path / "w", rows), 10.0, window=1.35), "m")
    assert "cut" not in whole["flags"]
    assert "window cut to 1.0" in first(score_folder(tmp_path / "w", 10.0, window=1.35, budget=340_000), "m")["flags"]
    assert cut["speedup"] == pytest.approx(whole["speedup"], rel=0.03)


def test_a_window_ends_where_its_axis_was_not_measured(tmp_path: Path) -> None:
    """That of the target's own crossing, at 300,000 steps of the baseline, was."""
    rows = races({"baseline": [1.0, 1.0, 1.02], "m": [1.3, 1.35, 1.25]})
    for row in rows:
        row["train_seconds"] = row["step"] / 100 if row["method"] == "m" or not 310_000 < row["step"] < 360_000 else np.nan
    row = score_folder(write(tmp_path / "t", rows), 10.0, axis="seconds", window=1.35, paired=True).speedups
    row = row[row["axis"] == "seconds"].iloc[0]
    assert row["pairs"] == 3
    assert row[["speedup", "ci_low", "ci_high"]].notna().all()
    assert row["ci_low"] < row["speedup"] < row["ci_high"]


def test_a_window_is_not_called_cut_where_nothing_arrives_or_all_is_alike(tmp_path: Path) -> None:
    rows = races({"baseline": [1.0, 1.1, 0.95], "never": [0.3, 0.3, 0.35]})
    rows += [{**row, "method": "same"} for row in rows if row["method"] == "baseline"]
    scores = score_folder(write(tmp_path / "t", rows), 10.0, window=1.35, paired=True)
    assert not scores.speedups["flags"].str.contains("cut").any()
    same = first(scores, "same")
    assert (same["verdict"], same["speedup"], same["p_slower"]) == ("identical", 1, 1)  # it takes no first place in Holm


def test_a_plan_takes_the_scatter_that_the_interval_is_made_of(tmp_path: Path) -> None:
    paces = {"baseline": [1.0, 1.1, 0.95, 1.05, 0.9], "m": [1.3, 1.2, 1.4, 1.5, 1.25]}
    rows = [row for row in races(paces) if row["method"] == "m" or row["step"] % 20_000 == 0]
    folder = write(tmp_path / "t", rows)
    row = first(score_folder(folder, 10.0, window=1.3, paired=True), "m")
    assert "grids differ" in row["flags"]
    half = np.log(row["detectable"])
    (planned, *_) = make_plan(folder, asked=Question(10.0, window=1.3, paired=True)).methods
    assert planned.scatter
    assert planned.scatter.deviation == pytest.approx(half * 5**0.5 / stats.t.ppf(0.975, 4), rel=1e-6)


def test_a_window_in_study_json_is_read_as_strictly_as_anywhere(tmp_path: Path) -> None:
    for window in (0.5, -1, 1000, "wide"):
        folder = excerpt(tmp_path / f"{window}", window=window)
        with pytest.raises(InputError, match="window"):
            score_folder(folder)


def test_a_window_that_was_asked_for_and_leaves_the_curve_stops_the_study(fidrace: Fidrace) -> None:
    """The one that a task declares is cut instead: it was not made for a target that is given by hand."""
    words = ("run", *TINY, "-m", "clts", "--seeds", "1", "--target", "105")
    said = fidrace(*words, "--window", "1.9", "--out", "a", code=2).stderr
    assert "starts inside the window 1.9, from 55.3 to 200 (fd_digits 1" in said
    fidrace(*words, "--out", "b")


@pytest.mark.parametrize("paired", [True, False])
def test_both_sides_have_the_same_window_so_that_its_curvature_cancels(paired: bool, tmp_path: Path) -> None:
    """One curve at two paces, without noise. The baseline ends soon after the target; the method has all of its window."""
    rows = [
        row
        for method, pace in (("baseline", 1.0), ("m", 1.5))
        for seed in range(3)
        for row in run(method, 1000, 320_000, pace * (1 + 0.001 * seed), seed)
    ]
    row = first(score_folder(write(tmp_path / "t", rows), 10.0, window=1.35, paired=paired), "m")
    assert "window cut" in row["flags"]
    assert row["speedup"] == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize("window", ["0.9", "2.5", "nan"])
def test_a_window_is_a_ratio_from_1_to_2(window: str) -> None:
    result = CliRunner().invoke(app, ["score", "digits", "--window", window])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"fidrace: --window {window}: write a ratio from 1")


def test_a_study_records_its_window_and_a_folder_keeps_its_own(tmp_path: Path) -> None:
    new, old = (
        StudyFolder(tmp_path / "new"),
        StudyFolder(excerpt(tmp_path / "old", ("baseline", "clts"), (0, 1, 2), window=1.0)),
    )
    for folder in (new, old):
        folder.path.mkdir(exist_ok=True)
        folder.declare(define_study("digits"))
    assert (new.manifest().window, old.manifest().window) == (define_study("digits").window, 1.0)
    assert new.manifest().window > 1
    assert "window" not in json.loads((old.path / "study.json").read_text())
    for folder, asked in ((new, 1.2), (old, 1.35)):
        with pytest.raises(InputError, match="has the window"):
            folder.declare(define_study("digits", window=asked))
    assert define_study("digits", window=1.0).window == 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("paired", [True, False])
def test_intervals_over_a_window_hold_the_true_factor(family: str, paired: bool) -> None:
    world = World(family, 5, correlation=0.8 if paired else 0.0, budget=500.0 if family == "digits" else 700.0)
    cost = over_window(1.35, paired)
    equal, faster = (outcome(replace(world, factor=factor), STUDIES, cost=cost) for factor in (1.0, 1.25))
    assert not any(too_few(one.coverage, STUDIES, 0.935) for one in (equal, faster))
    assert not too_many(equal.faster, STUDIES, 0.035)
    alone = outcome(replace(world, factor=1.25), STUDIES)
    assert faster.faster >= alone.faster - 0.02
