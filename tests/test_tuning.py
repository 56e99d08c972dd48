"""Tuning: the same settings for every method, the planted optimum found, and what is raced afterwards."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from fidrace.data.loading import load_data
from fidrace.method.registry import Registry
from fidrace.score.tuning import read_tuning, tabulate
from fidrace.spec.task import load_task
from fidrace.spec.tuning import Range, parse_range, points, trials_of
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup
from tests.conftest import TINY, Fidrace, Refused

TASK, REGISTRY = load_task("digits"), Registry()
LR = "optimizer.lr=log:1e-4:1e-2"
SEEDS = (200, 201)


def test_settings_fill_the_range_evenly_and_more_trials_keep_the_earlier_ones() -> None:
    lr, warmup = parse_range(LR), parse_range("optimizer.warmup=lin:0:400")
    many = np.array(points([lr, warmup], 257))
    logs = np.log(many[:, 0] / 1e-4) / np.log(100)
    assert stats.kstest(logs, "uniform").statistic < 0.02  # of 256 random points it is 0.05
    assert stats.kstest(many[:, 1] / 400, "uniform").statistic < 0.02
    assert abs(np.corrcoef(logs, many[:, 1])[0, 1]) < 0.02
    assert points([lr, warmup], 9) == [tuple(row) for row in many[:8]]


def test_every_method_gets_the_settings_of_the_baseline() -> None:
    trials = trials_of(
        ["baseline", "muon", "clts+mdlrc"], [parse_range(LR), parse_range("ema.decay=lin:0.9:0.99")], 5, TASK, REGISTRY
    )
    values = {name: [one.values for one in trials if one.method == name] for name in ("baseline", "muon", "clts+mdlrc")}
    assert values["baseline"] == values["muon"] == values["clts+mdlrc"]
    assert values["baseline"][0] == (TASK.optimizer.lr, TASK.ema.decay)
    assert len({*values["baseline"]}) == 5
    assert [one.raced_as for one in trials[:3]] == ["baseline", "muon", "clts+mdlrc"]
    lr, decay = values["muon"][1]
    assert trials[4].raced_as == f"muon+tuned[lr={lr},ema={decay}]"


def test_a_tuned_method_trains_as_the_task_with_that_setting() -> None:
    def trained(name: str, changes: dict[str, float]) -> Training:
        task = load_task("digits", {"optimizer.batch": 8, **changes})
        one = Training(task, REGISTRY.compose(name), 0, load_data(task.data), ProcessGroup(torch.device("cpu")))
        one.advance(4)
        return one

    tuned = trained("mdlrc+tuned[lr=0.01,warmup=2,beta2=0.9,ema=0.5]", {})
    plain = trained("mdlrc", {"optimizer.lr": 0.01, "optimizer.warmup": 2, "optimizer.beta2": 0.9, "ema.decay": 0.5})
    other = trained("mdlrc", {})
    for network in ("network", "ema"):
        ours, theirs, own = (list(getattr(one, network).parameters()) for one in (tuned, plain, other))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(ours, own, strict=True))


def write_landscape(folder: Path, best: dict[str, float], rng: np.random.Generator) -> list:
    """Runs whose iterations to FD 34 rise with the squared distance of ln lr from each method's best, and scatter by 2 %."""
    ranges = [parse_range(LR)]
    trials = trials_of([*best], ranges, 8, TASK, REGISTRY)
    runs, rows = [], []
    for trial in trials:
        for seed in SEEDS:
            cost = 200 * np.exp(0.3 * np.log(trial.values[0] / best[trial.method]) ** 2 + 0.02 * rng.standard_normal())
            about = {"task": "digits", "method": trial.raced_as, "seed": seed}
            runs.append({**about, "status": "finished", "iterations": 550})
            fd = {n: 110 * np.exp(-n / cost * np.log(110 / 34)) for n in range(0, 551, 50)}
            rows += [{**about, "iteration": n, "metric": "fd_digits", "fd": value} for n, value in fd.items()]
    folder.mkdir()
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(rows).to_csv(folder / "evals.csv", index=False)
    (folder / "study.toml").write_text("target = 34\n")
    return trials


def test_the_planted_optimum_is_found_by_each_method_for_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for study in range(20):
        best = {
            "baseline": float(np.exp(rng.uniform(np.log(2e-4), np.log(8e-3)))),
            "lion": float(np.exp(rng.uniform(np.log(2e-4), np.log(8e-3)))),
        }
        folder = tmp_path / str(study)
        trials = write_landscape(folder, best, rng)
        table = tabulate(folder, trials, [parse_range(LR)], SEEDS)
        best_rows = table[table["chosen"] == "yes"]
        found = dict(zip(best_rows["method"], best_rows["raced_as"], strict=True))
        for method, optimum in best.items():
            away = {one.raced_as: abs(np.log(one.values[0] / optimum)) for one in trials if one.method == method}
            assert away[found[method]] < min(away.values()) + 0.15  # of two as near as each other the scatter decides
        spent = table.groupby("method")["spent"].sum()
        assert spent["baseline"] == spent["lion"] == 8 * 2 * 550
        lr = np.array([trial.values[0] for trial in trials])
        np.testing.assert_array_equal(table["at_edge"] == "optimizer.lr", (lr == lr.min()) | (lr == lr.max()))
        best_of_baseline = table.loc[(table["method"] == "baseline") & (table["chosen"] == "yes"), "iterations"].item()
        np.testing.assert_allclose(
            table["factor"] * table["iterations"], np.where(table["reached"] > 0, best_of_baseline, np.nan)
        )


def test_a_method_that_never_arrives_is_chosen_by_its_final_distance(tmp_path: Path) -> None:
    trials = write_landscape(tmp_path / "s", {"baseline": 1e-3, "lion": 100.0}, np.random.default_rng(1))
    table = tabulate(tmp_path / "s", trials, [parse_range(LR)], SEEDS)
    lion = table[table["method"] == "lion"]
    assert (lion["reached"] == 0).all()
    assert lion["iterations"].isna().all()
    assert lion.loc[lion["chosen"] == "yes", "final_fd"].item() == lion["final_fd"].min()


def test_a_study_is_tuned_resumed_and_raced(fidrace: Fidrace, tmp_path: Path) -> None:
    words = (
        "tune",
        "digits",
        "-m",
        "lion",
        "--over",
        LR,
        "--trials",
        "2",
        "--seeds",
        "1",
        "--target",
        "115",
        *TINY,
        "--out",
        "t",
    )
    first = fidrace(*words)
    assert "2 methods x 2 trials" in first.stderr
    assert "the lowest or highest that was tried: baseline: optimizer.lr; lion: optimizer.lr." in " ".join(first.stdout.split())
    table = pd.read_csv(tmp_path / "t" / "tuning.csv")
    assert table["seeds"].tolist() == [200] * 4
    assert "4 of them there already" in fidrace(*words).stderr
    race = ("run", "digits", *TINY, "--target", "115", "--tuned", "t")
    fidrace(*race, "-m", "clts", "--seeds", "1", "--out", "r")
    chosen = read_tuning(tmp_path / "t").chosen
    board = pd.read_csv(tmp_path / "r" / "leaderboard.csv").set_index("method")
    assert {*board.index} == {"baseline", "clts", *chosen.values()}
    assert "tuned by 2 trials" in board.loc[chosen["lion"], "flags"]
    assert "untuned" in board.loc["clts", "flags"]
    assert ("untuned" in board.loc["baseline", "flags"]) == (chosen["baseline"] != "baseline")
    contrasts = tmp_path / "r" / "contrasts.csv"
    if chosen["baseline"] != "baseline":
        assert pd.read_csv(contrasts)[["method", "control"]].to_numpy().tolist()[0] == [chosen["lion"], chosen["baseline"]]
    assert "200 was a tuning seed" in fidrace(*race, "--seeds", "200,", "--out", "other", code=2).stderr
    assert "seed 200 was a tuning seed" in fidrace(*race[:-2], "--seeds", "200,", "--out", "r", code=2).stderr
    assert "tuned to the target 115.0" in fidrace(*race[:-4], "--target", "114", *race[-2:], "--out", "o", code=2).stderr
    assert "another fixed part" in fidrace(*race, "--budget", "13", "--out", "o", code=2).stderr
    fidrace(*words[:-2], "--seeds", "200,201,", "--out", "t")
    again = fidrace(*words)
    assert pd.read_csv(tmp_path / "t" / "tuning.csv")["seeds"].astype(str).tolist() == ["200"] * 4, (
        again.stdout
    )  # not unequal ones
    assert "race into another --out" in fidrace(*race, "--seeds", "1", "--out", "t", code=2).stderr
    assert "not the tuning tune-digits" in fidrace(*words[:-1], "r", code=2).stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--over", "optimizer.lr=log:1e-2:1e-4"), "no range from 0.01 to 0.0001"),
        (("--over", "optimizer.lr=log:0:1"), "which log needs above 0"),
        (("--over", "optimizer.lr=1:2"), "write optimizer.lr=log:LOW:HIGH"),
        (("--over", "optimizer.rl=log:1:2"), "did you mean 'optimizer.lr'"),
        (("--over", "optimizer.beta2=lin:0.9:1.5"), "outside [0, 1]"),
        (("--over", LR, "--over", LR), "given twice"),
        (("--over", LR, "--trials", "1"), "two at least"),
        (("--over", LR, "--trials", "99999999"), "at most 1000"),
        (("--over", "ema.decay=lin:0.98:0.981"), "too narrow for 8 trials"),
        ((), "name at least one range"),
        (("--over", "ema.decay=lin:0.5:0.9", "-m", "power-ema"), "both claim the average"),
        (("--over", LR, "--target", "baseline-final"), "known before"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(words: tuple[str, ...], named: str, refused: Refused, tmp_path: Path) -> None:
    assert named in refused("tune", "digits", *words)
    assert not list(tmp_path.iterdir())


def test_a_table_that_is_no_tuning_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert "`fidrace tune` writes it" in refused("run", "digits", "--tuned", "absent")
    (tmp_path / "tuning.csv").write_text("a,b\n1,2\n")
    assert "not a table of `fidrace tune`" in refused("run", "digits", "--tuned", ".")


def test_without_a_setting_the_method_changes_nothing_and_says_so(fidrace: Fidrace) -> None:
    assert "tuned changes nothing" in fidrace("methods", "tuned", "--check", code=1).stdout


def test_a_range_says_what_it_is() -> None:
    assert str(parse_range(LR)) == "optimizer.lr=log:0.0001:0.01"
    assert parse_range(LR) == Range("optimizer.lr", "log", 1e-4, 1e-2)
