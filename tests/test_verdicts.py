"""What a table says beyond its factors: guards, other targets, other axes, runs that ended badly."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fidrace.errors import InputError
from fidrace.report.markdown import markdown
from fidrace.report.publish import publish
from fidrace.score.crossings import cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.leaderboard import score_folder
from tests.conftest import Fidrace
from tests.curves import DECLARED, curve, study, write
from tests.published import DIGITS, excerpt, without_study


def row(folder: Path, axis: str = "iterations") -> pd.Series:
    table = score_folder(folder, target=10.0, axis=axis).speedups
    return table[table["axis"] == axis].iloc[0]


def test_one_seed_is_a_point_and_no_more(tmp_path: Path) -> None:
    found = row(write(tmp_path, [one for one in study() if one.seed == 0]))
    assert found["speedup"] == pytest.approx(2, rel=2e-3)
    assert found[["ci_low", "ci_high", "p_value", "p_holm", "detectable"]].isna().all()
    assert found["flags"] == "post hoc; fewer than 3 pairs"


def test_a_crossing_stands_when_the_run_diverges_after_it(tmp_path: Path) -> None:
    curves = [replace_fd(one, one.fd[:10]) if (one.method, one.seed) == ("fast", 1) else one for one in study()]
    found = row(write(tmp_path / "after", curves, {("fast", 1): "diverged"}))
    assert (found["reached"], found["bound"], found["pairs"]) == (4, "=", 4)
    assert "1 diverged" in found["flags"]
    curves = [replace_fd(one, one.fd[:2]) if (one.method, one.seed) == ("fast", 1) else one for one in study()]
    found = row(write(tmp_path / "before", curves, {("fast", 1): "diverged"}))
    assert (found["reached"], found["bound"], found["pairs"]) == (3, "<=", 4)


def replace_fd(one: Curve, fd: np.ndarray) -> Curve:
    return replace(one, fd=fd, se=one.se[: len(fd)], columns={name: x[: len(fd)] for name, x in one.columns.items()})


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_runs_that_diverge_at_once_are_censored_and_not_dropped(rows: int, tmp_path: Path) -> None:
    early = {("fast", 0): "diverged", ("fast", 1): "diverged"}
    curves = [replace_fd(one, one.fd[:rows]) if (one.method, one.seed) in early else one for one in study()]
    folder = write(tmp_path, curves, early)
    for axis in ("iterations", "images", "seconds", "forwards"):
        found = row(folder, axis)
        assert (found["pairs"], found["reached"], found["bound"], found["ci_low"]) == (4, 2, "<=", 0)
    assert "2 diverged" in found["flags"]


def test_a_run_that_does_not_arrive_stays_so_without_a_clock(tmp_path: Path) -> None:
    late = [replace_fd(one, 80 - np.arange(6.0)) if (one.method, one.seed) == ("fast", 3) else one for one in study()]
    folder = write(tmp_path, late)
    evals = pd.read_csv(folder / "evals.csv")
    evals.loc[(evals["method"] == "fast") & (evals["seed"] == 3), "train_seconds"] = np.nan
    evals.to_csv(folder / "evals.csv", index=False)
    found = row(folder, "seconds")
    assert (found["pairs"], found["bound"], found["ci_low"], found["verdict"]) == (4, "<=", 0, "no difference shown")
    evals.loc[(evals["method"] == "fast") & (evals["seed"] == 2), "train_seconds"] = np.nan
    evals.to_csv(folder / "evals.csv", index=False)
    assert "1 without seconds" in row(folder, "seconds")["flags"]


def test_what_the_baseline_lost_stands_on_the_methods_row(tmp_path: Path) -> None:
    failed = {("baseline", 0): "failed", ("fast", 1): "failed"}
    scores = score_folder(write(tmp_path, study(), failed), target=10.0, contrasts=[("fast", "baseline")])
    flags = scores.speedups.iloc[0]["flags"]
    assert "1 failed; baseline: 1 failed" in flags


def test_a_bound_ranks_behind_what_was_measured(tmp_path: Path) -> None:
    curves = study(factor=1.2) + [curve(80, 70, 60, 50, 40, 35, method="never", seed=seed) for seed in range(4)]
    for one in curves:
        if one.method == "never":
            one.columns["train_seconds"] /= 10
    board = score_folder(write(tmp_path, curves), target=10.0, axis="seconds").leaderboard.set_index("method")
    assert board.loc["never", "speedup"] > board.loc["fast", "speedup"]
    assert list(board.index) == ["fast", "baseline", "never"]
    table = score_folder(tmp_path, target=10.0).speedups.set_index(["method", "axis"])
    assert np.isnan(table.loc[("never", "iterations"), "detectable"])


def test_a_distance_of_nought_is_a_crossing_and_rows_past_the_budget_are_no_final(tmp_path: Path) -> None:
    zero = [curve(80, 0, 0, 0, 0, 0, method="zero", seed=seed) for seed in range(4)]
    late = [replace(one, **past(one)) for one in (curve(80, 70, 60, 50, 40, 35, method="late", seed=seed) for seed in range(4))]
    board = score_folder(write(tmp_path, [*study(), *zero, *late]), target=10.0).leaderboard.set_index("method")
    assert board.loc["zero", "reached"] == 4
    (tmp_path / "study.json").write_text(json.dumps(DECLARED | {"budget": 400}))
    assert np.isnan(score_folder(tmp_path).leaderboard.set_index("method").loc["late", "final_fd"])


def past(one: Curve) -> dict[str, object]:
    """All but the last evaluation are lost."""
    return {"fd": one.fd[-1:], "se": one.se[-1:], "columns": {name: x[-1:] for name, x in one.columns.items()}}


def test_a_method_that_never_arrives_is_not_faster_because_its_steps_are_cheap(tmp_path: Path) -> None:
    curves = study()
    for one in curves:
        if one.method == "fast":
            one.fd[:] = 80 - np.arange(26) / 5 - one.seed / 10
            one.columns["train_seconds"] /= 10
    found = row(write(tmp_path, curves), "seconds")
    assert (found["reached"], found["verdict"], found["bound"], found["p_holm"]) == (0, "no difference shown", "<=", 1)


def test_identical_curves_that_cost_more_time_are_identical_in_iterations_alone(tmp_path: Path) -> None:
    curves = study(factor=1.0)
    for one in curves:
        if one.method == "fast":
            one.columns["train_seconds"] *= 3 + one.seed / 100
    folder = write(tmp_path, curves)
    assert (row(folder)["verdict"], row(folder)["p_holm"]) == ("identical", 1)
    assert row(folder, "seconds")["verdict"] == "slower"
    assert row(folder, "seconds")["ci_high"] < 0.34
    pair = row(write(tmp_path / "pair", [one for one in curves if one.seed == 0]))
    assert (pair["verdict"], pair["speedup"], np.isnan(pair["ci_low"])) == ("identical", 1, True)


def test_nan_may_be_written_as_a_word_and_is_above_the_target(tmp_path: Path) -> None:
    folder = write(tmp_path, study())
    evals = pd.read_csv(folder / "evals.csv", dtype=str)
    evals.loc[(evals["method"] == "fast") & (evals["iteration"] == "120.0"), "fd"] = "NaN"
    evals.to_csv(folder / "evals.csv", index=False)
    found = score_folder(folder, target=10.0).speedups.iloc[0]
    plain = score_folder(write(tmp_path / "plain", study()), target=10.0).speedups.iloc[0]
    assert found["reached"] == 4
    assert found["median_to_target"] == pytest.approx(plain["median_to_target"])  # between its neighbours, on an exponential
    assert found["factor_high"] > plain["factor_high"]
    assert "grids differ" in found["flags"]


def test_a_first_evaluation_after_training_began_is_a_crossing_at_its_end() -> None:
    late = curve(9, 8, 7, 6)
    late = replace(late, columns={name: x + 100 for name, x in late.columns.items()})
    found = cost_of_target(late, 10, "iterations", 400)
    assert (found.cost, found.low, found.may_be_less) == (100, 0, True)
    assert found.crossing
    assert found.crossing.at == 0


def test_identical_runs_that_do_not_arrive_are_no_point(tmp_path: Path) -> None:
    slow = [curve(80 - k, 60, 50, 40, 30, 30, method=method, seed=k) for method in ("baseline", "m") for k in range(3)]
    found = row(write(tmp_path, slow))
    assert (found["verdict"], found["bound"], found["ci_low"], found["ci_high"]) == ("identical", "none", 1, 1)
    assert np.isnan(found["speedup"])


def test_an_axis_that_nobody_measured_is_refused_and_others_are_not(tmp_path: Path) -> None:
    folder = write(tmp_path, study())
    evals = pd.read_csv(folder / "evals.csv").assign(train_seconds="")
    evals.to_csv(folder / "evals.csv", index=False)
    assert row(folder)["pairs"] == 4
    with pytest.raises(InputError, match="seconds were not measured here"):
        row(folder, "seconds")


def test_seconds_of_unlike_devices_are_marked(tmp_path: Path) -> None:
    folder = write(tmp_path, study())
    runs = pd.read_csv(folder / "runs.csv")
    runs.assign(device=np.where(runs["method"] == "fast", "a", "b")).to_csv(folder / "runs.csv", index=False)
    assert "mixed devices" in row(folder, "seconds")["flags"]
    assert "mixed devices" not in row(folder)["flags"]


def test_a_row_lost_in_the_middle_makes_a_run_incomplete(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "dir", evals=lambda table: table.query("seed != 1 or iteration != 250"))
    found = score_folder(folder).speedups.iloc[0]
    assert (found["pairs"], found["flags"]) == (2, "fewer than 3 pairs; 1 incomplete; baseline: 1 incomplete")


def test_a_study_that_does_not_note_its_hash_is_scored_all_the_same(tmp_path: Path) -> None:
    assert score_folder(excerpt(tmp_path / "dir", fixed_hash="")).speedups.iloc[0]["pairs"] == 3


def guarded(folder: Path, recall: float, scatter: float = 0.01) -> Path:
    """Baseline with a recall of 0.8, method with `recall`; real images score 0.9."""
    rng = np.random.default_rng(0)
    folder = write(folder, study())
    evals = pd.read_csv(folder / "evals.csv")
    middle = np.where(evals["method"] == "fast", recall, 0.8)
    # wrong where the runs have not arrived: only what is measured at the crossing counts
    evals["recall"] = np.where(evals["fd"] > 15, 1 - middle, middle + scatter * rng.standard_normal(len(evals)))
    evals["memorised"] = 0.01
    evals.to_csv(folder / "evals.csv", index=False)
    pd.read_csv(folder / "runs.csv").assign(recall_ceiling=0.9).to_csv(folder / "runs.csv", index=False)
    return folder


def test_a_method_that_gains_fd_and_loses_recall_is_marked(tmp_path: Path) -> None:
    scores = score_folder(guarded(tmp_path, recall=0.7), target=10.0)
    best = scores.leaderboard.iloc[0]
    assert (best["method"], best["verdict"], "loses recall" in best["flags"]) == ("fast", "faster", True)
    assert scores.headline().endswith("; it loses recall")
    guard = scores.guards.set_index("guard").loc["recall"]
    assert guard["worse_by"] == pytest.approx(0.1, abs=0.03)
    assert (guard["pairs"], guard["ceiling"], guard["lost"]) == (4, 0.9, True)
    table = markdown(scores)
    assert "| (real images) |  |  | 0.900 | 0.050 |  |  |" in table
    assert "| fast | 4 |  | 0.69" in table or "| fast | 4 |  | 0.70" in table


@pytest.mark.parametrize(("recall", "scatter"), [(0.81, 0.01), (0.785, 0.001), (0.7, 0.2)])
def test_a_loss_that_is_small_or_not_shown_is_not_marked(recall: float, scatter: float, tmp_path: Path) -> None:
    scores = score_folder(guarded(tmp_path, recall, scatter), target=10.0)
    assert "loses" not in scores.leaderboard.iloc[0]["flags"]


def test_a_guards_limit_is_the_one_sided_paired_limit(tmp_path: Path) -> None:
    scores = score_folder(guarded(tmp_path, recall=0.7), target=10.0)
    runs = pd.read_csv(tmp_path / "evals.csv").sort_values("fd").groupby(["method", "seed"])
    at_target = runs.apply(lambda run: np.interp(np.log(10), np.log(run["fd"]), run["recall"]))
    base, fast = at_target["baseline"], at_target["fast"]
    test = stats.ttest_rel(base, fast, alternative="greater")
    found = scores.guards.set_index("guard").loc["recall"]
    assert found["limit"] == pytest.approx(test.confidence_interval(0.95).low)
    assert found["p_value"] == pytest.approx(stats.ttest_rel(base, fast + 0.02, alternative="greater").pvalue)
    assert scores.guards["p_holm"].dropna().max() <= 2 * scores.guards["p_value"].dropna().max()  # of two guards


def test_the_curve_over_targets_shows_an_early_lead_that_vanishes(tmp_path: Path) -> None:
    """A method that is twice as fast down to 20, and stops there."""
    curves = []
    for seed in range(4):
        base = 80 * 2.0 ** (-(1 + seed / 20) * np.arange(8) / 2)
        fast = np.maximum(80 * 2.0 ** (-(1 + seed / 20) * np.arange(8)), 19 + seed / 10)
        curves += [curve(*base, method="baseline", seed=seed), curve(*fast, method="fast", seed=seed)]
    scores = score_folder(write(tmp_path, curves), target=25.0)
    table = scores.curve[scores.curve["axis"] == "iterations"]
    early, late = table[table["target"] > 25], table[table["target"] < 18]
    assert len(early) > 5
    assert len(late) > 2
    assert early["speedup"].to_numpy() == pytest.approx(2, rel=0.2)
    assert set(late["bound"]) <= {"<=", "none"}  # none where baseline runs stay away too
    assert (late["reached"] == 0).all()
    assert (late.iloc[0]["bound"], late.iloc[0]["ci_high"] < 1) == ("<=", True)
    assert table.set_index("target").loc[25.0, "speedup"] == pytest.approx(scores.speedups.iloc[0]["speedup"])
    assert table["target"].is_monotonic_decreasing


def test_a_method_with_a_hostile_name_stays_text_in_markdown(tmp_path: Path) -> None:
    curves = [replace(one, method="<b>a|b" if one.method == "fast" else one.method) for one in study()]
    table = markdown(score_folder(write(tmp_path, curves), target=10.0))
    assert "| &lt;b>a\\|b | 4/4 |" in table


@pytest.mark.parametrize("name", ["digits", "digits-controls", "digits-field", "digits-late", "digits-flow", "digits-dit"])
def test_published_tables_are_made_anew_from_runs_and_evals(name: str, tmp_path: Path) -> None:
    published = DIGITS.parent / name
    copy = without_study(published, tmp_path / name)
    (copy / "study.json").write_bytes((published / "study.json").read_bytes())
    publish(copy, score_folder(copy))
    made = sorted(path.name for path in copy.glob("*.csv"))
    assert made == sorted(path.name for path in published.glob("*.csv") if path.name != "claims.csv")
    for table in made:  # up to the last digits, which differ between types of CPU
        pd.testing.assert_frame_equal(pd.read_csv(copy / table), pd.read_csv(published / table), rtol=1e-9)


def test_scoring_claims_and_the_gate_need_no_torch(fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')\n")
    folder = excerpt(tmp_path / "dir")
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"}
    for words in (("score", folder), ("claims", folder), ("check", folder, "--require", "min-snr>=1")):
        fidrace(*words, environment=environment)
    other = excerpt(tmp_path / "other", ("baseline", "clts"))
    fidrace("merge", folder, other, "--out", tmp_path / "both", environment=environment)
