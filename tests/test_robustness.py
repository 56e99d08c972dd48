"""Robustness: each setting is scored as `fidrace score` scores its folder, at the target of the rule; and what that costs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from fidrace.analyses.robustness.analysis import analyze_robustness, plan_studies
from fidrace.analyses.robustness.effects import mean_effect
from fidrace.analyses.robustness.own_target import read_setting
from fidrace.analyses.robustness.settings import Setting, Settings
from fidrace.analyses.robustness.tables import idle_clip_lines, p_of_slower
from fidrace.cli.main import app
from fidrace.errors import InputError
from fidrace.execute.local import LocalExecutor
from fidrace.execute.study_series import StudySeries
from fidrace.method.base import Floats
from fidrace.score.crossings import TargetCost
from fidrace.score.curves import Curve
from fidrace.score.leaderboard import score_folder
from fidrace.score.speedups import speedup
from fidrace.score.target_rule import target_of
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from tests.conftest import Refused, run_here
from tests.simulation import Side, World, costs, outcome, too_few, too_many

TASK = load_task("digits")
SETTING = ("--lr", "0.01", "--batch", "16", "--schedule", "cosine")
BUDGET = 40
SHORT = {  # a study in which FD falls
    "budget.evaluations": 4,
    "quality.samples": 80,
    "sampler.steps": 4,
    "optimizer.warmup": 0,
    "ema.decay": 0.7,
    "quality.heldout_repeats": 1,
}
STUDIES = 600


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command has raced one setting, by a worker, and then, as after an interruption, another too."""
    folder = tmp_path_factory.mktemp("robustness") / "out"
    assert "6 runs; into" in analyze(folder, "none", workers=True)
    said = analyze(folder, "none,0.05")
    assert "2 studies, 12 runs, 6 of them there already" in said
    return folder


def analyze(folder: Path, clip: str, workers: bool = False) -> str:
    """What the command says; its runs go on in this process unless worker processes are asked for."""
    short = [word for key, value in SHORT.items() for word in ("--set", f"{key}={value}")]
    words = [
        "analyze",
        "robustness",
        "-m",
        "min-snr",
        "--seeds",
        "3",
        "--budget",
        str(BUDGET),
        "--workers",
        "1",
        "--device",
        "cpu",
    ]
    words += ["--out", str(folder), "--clip", clip, *SETTING, *short]
    with pytest.MonkeyPatch.context() as patch:
        if not workers:
            patch.setattr(LocalExecutor, "execute", run_here)
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


def homes(folder: Path) -> list[Path]:
    return [folder / f"lr-0.01,batch-16,cosine,clip-{clip}" for clip in ("none", "0.05")]


def series_of(folder: Path, *clips: float | None) -> tuple[StudySeries, Settings]:
    """The same series, without the command."""
    base = define_study("digits", ["min-snr"], "3", BUDGET, changes=SHORT)
    settings = Settings((0.01,), (16,), ("cosine",), clips)
    return StudySeries.of(folder, plan_studies(base, settings)), settings


def test_every_setting_has_the_factor_that_score_gives_its_folder_at_the_target_of_the_rule(analyzed: Path) -> None:
    table = pd.read_csv(analyzed / "robustness.csv", keep_default_na=False, na_values=[""])
    assert table["clip"].tolist() == ["none", "0.05"]
    assert np.isfinite(table["speedup"]).any()
    for row, folder in zip(table.to_dict("records"), homes(analyzed), strict=True):
        evals = pd.read_csv(folder / "evals.csv").query("method == 'baseline'")
        logs = np.log(evals.pivot_table(index="seed", columns="iteration", values="fd"))
        median = np.median(np.exp([np.interp(0.6 * BUDGET, logs.columns, one) for one in logs.to_numpy()]))
        assert median <= row["target"] < 1.1 * median  # rounded up to two figures
        assert float(f"{row['target']:.2g}") == row["target"]
        theirs = score_folder(folder, row["target"]).speedups.query("axis == 'iterations'").iloc[0]
        for column in ("pairs", "reached", "baseline_reached", "speedup", "ci_low", "ci_high", "p_value"):
            assert row[column] == pytest.approx(float(theirs[column]), rel=1e-9, nan_ok=True), column
        assert row["bound"] == theirs["bound"]
        assert row["flags"].endswith(theirs["flags"])
        assert row["verdict"] == ("no number" if np.isnan(theirs["speedup"]) else theirs["verdict"])
        assert "post hoc" in row["flags"]
        assert row["baseline_final_fd"] == pytest.approx(np.exp(logs[BUDGET]).median())


def test_no_weights_are_kept_for_it(analyzed: Path) -> None:
    assert len([*analyzed.rglob("run.json")]) == 12
    assert not [*analyzed.rglob("weights-*.safetensors")]


def test_the_whole_grid_at_once_has_the_tables_of_one_raced_in_parts(analyzed: Path) -> None:
    before = {path.name: path.read_bytes() for path in analyzed.iterdir() if path.is_file()}
    assert set(before) == {"robustness.csv", "effects.csv", "robustness.png"}
    assert "12 of them there already" in analyze(analyzed, "none,0.05")
    assert {path.name: path.read_bytes() for path in analyzed.iterdir() if path.is_file()} == before


def test_a_setting_that_cannot_be_raced_says_why_and_keeps_no_other_from_its_number(analyzed: Path, tmp_path: Path) -> None:
    shutil.copytree(analyzed, tmp_path / "out")
    healthy = pd.read_csv(analyzed / "robustness.csv", dtype={"clip": str}, keep_default_na=False).query("clip == 'none'")
    for broken, reason in (("flat", "the baseline does not fall"), ("diverged", "no baseline run finished (diverged")):
        for path in homes(tmp_path / "out")[1].glob("runs/*/baseline/*"):
            evals = pd.read_csv(path / "evals.csv")
            if broken == "flat":
                evals["fd"] = 100.0
            evals.to_csv(path / "evals.csv", index=False)
            if broken == "diverged":
                (path / "run.json").write_text((path / "run.json").read_text().replace("finished", "diverged"))
        found = analyze_robustness(*series_of(tmp_path / "out", None, 0.05))
        one, other = found.tables["robustness"].to_dict("records")
        assert one["speedup"] == pytest.approx(float(healthy["speedup"].iloc[0]))
        assert (other["verdict"], np.isnan(other["speedup"])) == ("no number", True)
        assert reason in other["flags"]
        assert any("no number at lr 0.01, batch 16, cosine, clip 0.05: " + reason in line for line in found.lines)
        assert found.picture.startswith(b"\x89PNG")
        assert len(found.tables["effects"]) == 1  # nothing is left to hold clipping against


def test_a_clip_that_never_binds_is_named(analyzed: Path) -> None:
    free, bound = (
        read_setting(folder, Setting(0.01, 16, "cosine", clip))
        for folder, clip in zip(homes(analyzed), (None, 0.05), strict=True)
    )
    assert idle_clip_lines([free, bound]) == []
    idle = replace(free, setting=replace(free.setting, clip=1000.0))
    assert idle_clip_lines([free, idle]) == ["clip 1000 never binds in 1 of 1 cells: the baseline's runs are those without it"]


def test_effects_are_student_intervals_over_seeds_of_the_mean_over_settings() -> None:
    random = np.random.default_rng(0)
    level, against = random.standard_normal((2, 5, 4))
    level[2, 3] = np.nan  # that setting is left out, for every seed
    found = mean_effect(level, against)
    assert found is not None
    means = (level - against)[:, :3].mean(axis=1)
    low, high = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
    assert (found.pairs, found.seeds) == (3, 5)
    assert [found.ratio, found.ci_low, found.ci_high] == pytest.approx(np.exp([means.mean(), low, high]))
    assert mean_effect(np.full((3, 2), np.nan), np.zeros((3, 2))) is None


def test_slower_is_the_other_side_of_the_same_test() -> None:
    def row(theirs: list[float], ours: list[float], high: float = 0.0) -> dict[str, object]:
        sides = ([TargetCost(cost, cost, cost + high) for cost in side] for side in (theirs, ours))
        found = speedup(*sides)
        return {**vars(found), "speedup": found.factor}

    d = np.log([300, 310, 290]) - np.log([330, 350, 300])
    assert p_of_slower(row([300, 310, 290], [330, 350, 300])) == pytest.approx(
        stats.ttest_1samp(d, 0, alternative="less").pvalue
    )
    assert p_of_slower(row([300.0], [330.0])) != p_of_slower(row([300.0], [330.0]))  # NaN: one pair is no interval
    assert p_of_slower({"ci_high": np.inf, "pairs": 3, "speedup": 0.5}) == 1.0


def test_levels_that_cannot_be_used_are_refused_in_one_line(refused: Refused) -> None:
    for option, word, said in (
        ("--lr", "0", "--lr 0: write a number above 0"),
        ("--lr", "fast", "--lr fast: write a number above 0"),
        ("--lr", "nan", "--lr nan"),
        ("--lr", "0.003,3e-3", "--lr: 0.003 is listed twice"),
        ("--batch", "0", "--batch 0: write a whole number above 0"),
        ("--batch", "32.5", "--batch 32.5"),
        ("--batch", "99999999", "optimizer: batch"),
        ("--schedule", "cosin", "did you mean 'cosine'?"),
        ("--schedule", ",", "nothing is listed"),
        ("--clip", "off", "--clip off: write a number above 0 or 'none'"),
        ("--clip", "-1", "--clip -1"),
        ("--clip", "none,none", "--clip: none is listed twice"),
        ("-m", "baseline", "-m: name a method to compare with the baseline"),
    ):
        assert said in refused("analyze", "robustness", option, word)


def test_settings_are_the_tasks_levels_and_their_halves_and_change_nothing_else() -> None:
    settings = Settings.parse(TASK, None, None, "linear,cosine", "none,0.5")
    assert (settings.lr, settings.batch) == ((3e-3, 1.5e-3), (64, 32))
    assert len({setting.home for setting in settings.combinations}) == 16
    assert settings.combinations[1].home == "lr-0.003,batch-64,linear,clip-0.5"
    assert Setting(3e-3, 64, "cosine", None).apply(TASK).fixed_part() == TASK.fixed_part()
    other = Setting(1e-3, 8, "linear", 0.5).apply(TASK).fixed_part()
    expected = TASK.fixed_part()
    expected["optimizer"] |= {"lr": 1e-3, "batch": 8, "clip": 0.5}
    expected["diffusion"] |= {"schedule": "linear"}
    assert other == expected
    with pytest.raises(InputError, match="batch"):
        Setting(1e-3, 2**30, "linear", None).apply(TASK)


def to_own_target(n: Floats, fd: Floats, world: World) -> tuple[Side, Side]:
    """The costs of both to the target that the rule gives for this study's own baseline runs."""
    axes = dict.fromkeys(("iteration", "images", "train_seconds", "forwards"), n)
    curves = [Curve("t", "baseline", seed, "finished", axes, one, one) for seed, one in enumerate(fd[0])]
    target = target_of(curves, world.budget, least=1)
    baseline, method = (costs(n, side, world, target) for side in fd)
    return baseline, method


@pytest.mark.parametrize("family", ["log-linear", "power law", "digits"])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_intervals_hold_the_true_factor_at_a_target_from_the_same_baseline_runs(family: str, correlation: float) -> None:
    world = World(family, 3, correlation=correlation, budget=500.0)
    equal = outcome(world, STUDIES, cost=to_own_target)
    slow = outcome(replace(world, factor=0.8), STUDIES, seed=1, cost=to_own_target)
    fast = outcome(replace(world, factor=1.5), STUDIES, seed=2, cost=to_own_target)
    for found in (equal, slow, fast):
        assert not too_few(found.coverage, STUDIES, 0.935)
    assert not too_many(equal.faster, STUDIES, 0.035)
    assert not too_many(equal.slower, STUDIES, 0.035)
    assert fast.faster > 0.4
