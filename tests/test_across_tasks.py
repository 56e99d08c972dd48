"""One leaderboard over several tasks, against hand computation, scipy, and simulations with known truth."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.errors import InputError, NothingToConclude
from fidrace.method.base import Floats
from fidrace.report.across_tasks import csv_files
from fidrace.score.across_tasks import AcrossTasks, average, compare_tasks
from fidrace.score.estimates import Estimate
from fidrace.score.rules import Question
from tests.browser import browser, opened
from tests.curves import curve, write
from tests.published import DIGITS

BASE = (290.0, 300.0, 310.0, 305.0)  # iterations that the baseline's seeds need
ONE = {"quick": (1.9, 2.0, 2.2, 2.1), "slow": (0.7, 0.72, 0.69, 0.71), "middle": (1.2, 1.3, 1.25, 1.22)}
TWO = {"quick": (1.4, 1.5, 1.7, 1.5), "slow": (1.1, 1.2, 1.15, 1.19), "middle": (1.3, 1.5, 1.2, 1.3)}


def task(
    folder: Path, factors: Mapping[str, Sequence[float]], costs: Sequence[float] | Floats = BASE, budget: int = 500
) -> Path:
    """A folder whose curves are straight lines of ln FD, so that each seed needs exactly its cost over its factor."""
    curves = []
    for method, own in {"baseline": [1.0] * len(costs), **factors}.items():
        for seed, (cost, factor) in enumerate(zip(costs, own, strict=False)):
            steps = np.arange(budget // 20 + 2) * 20.0
            curves.append(curve(*80 * 8.0 ** (-steps * factor / cost), method=method, seed=seed, step=20))
    write(folder, curves)
    (folder / "study.toml").write_text("target = 10\nbudget = 500\npaired = true\n")
    return folder


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return task(tmp_path / "one", ONE), task(tmp_path / "two", TWO, costs=(400, 390, 410, 420), budget=700)


def mean_of(across: AcrossTasks, method: str) -> pd.Series:
    return across.means.set_index("method").loc[method]


def test_mean_and_interval_are_those_of_scipys_welch_test(two: tuple[Path, Path]) -> None:
    across = compare_tasks(two)
    assert across.tasks == ("one", "two")
    for method in ONE:
        found = mean_of(across, method)
        logs = np.log(ONE[method]), -np.log(TWO[method])
        limits = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
        assert found["speedup"] == pytest.approx(stats.gmean([*ONE[method], *TWO[method]]), rel=1e-9)
        assert (found["ci_low"], found["ci_high"]) == pytest.approx(np.exp(np.array(limits) / 2), rel=1e-9)
    assert [*across.means["method"]] == ["quick", "middle", "slow"]


def test_orders_are_compared_by_scipys_rank_correlation_and_verdicts_counted(two: tuple[Path, Path], tmp_path: Path) -> None:
    shuffled = {"quick": ONE["middle"], "slow": ONE["quick"], "middle": ONE["slow"]}
    across = compare_tasks([*two, task(tmp_path / "three", shuffled, costs=(200, 210, 190, 195))])
    factors = across.factors.pivot_table(index="method", columns="task", values="speedup")
    for row in across.orders.to_dict("records"):
        assert row["correlation"] == pytest.approx(stats.kendalltau(factors[row["task"]], factors[row["other"]]).statistic)
        assert -1 <= row["ci_low"] <= row["correlation"] <= row["ci_high"] <= 1
    counted = across.orders.set_index(["task", "other"])[["alike", "opposed"]]
    assert counted.loc[("one", "two")].tolist() == [2, 1]  # slow is slower on one and faster on two
    assert counted.loc[("one", "three")].tolist() == [1, 2]


def test_an_order_that_is_not_shown_leaves_the_correlation_open(tmp_path: Path) -> None:
    close = {"quick": (1.5, 1.6, 1.5, 1.6), "slow": (1.5, 1.4, 1.6, 1.55), "middle": (1.1, 1.11, 1.12, 1.1)}
    folders = [task(tmp_path / "one", ONE), task(tmp_path / "two", close, (207, 213, 199, 203))]
    logs = [np.log(close[name]) for name in ("quick", "slow")]
    assert abs(stats.ttest_rel(*logs).pvalue) > 0.05
    for paired in ("true", "false"):
        for folder in folders:
            declared = (folder / "study.toml").read_text().rpartition("paired")[0]
            (folder / "study.toml").write_text(f"{declared}paired = {paired}\n")
        row = compare_tasks(folders).orders.iloc[0]
        # quick and middle are in the same order on both; middle and slow in the other; quick and slow are not decided on `two`
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((-1 / 3, 1 / 3))
        assert row["correlation"] == pytest.approx(stats.kendalltau([2, 0, 1], [2, 1, 0]).statistic)


def test_profiles_and_their_scores_are_those_of_a_hand_computation(tmp_path: Path) -> None:
    one = task(tmp_path / "one", {"a": (2.0, 2.0, 2.0), "b": (1.5, 1.5, 1.5)}, BASE[:3])
    two = task(tmp_path / "two", {"a": (0.2, 0.2, 0.2), "b": (1.25, 1.25, 1.25)}, (301.0, 302.0, 303.0))  # a never arrives
    across = compare_tasks([one, two])
    steps = {method: rows[["ratio", "share"]].to_numpy() for method, rows in across.profiles.groupby("method")}
    assert steps["a"] == pytest.approx(np.array([[1, 0.5]]))
    assert steps["b"] == pytest.approx(np.array([[1, 0.5], [2 / 1.5, 1]]))
    assert steps["baseline"] == pytest.approx(np.array([[1, 0], [1.25, 0.5], [2, 1]]))
    assert mean_of(across, "a")["profile_score"] == pytest.approx(0.5)
    assert mean_of(across, "b")["profile_score"] == pytest.approx((1 / 3 * 0.5 + (4 - 4 / 3) * 1) / 3)


def test_a_bound_on_one_task_makes_the_mean_a_bound_with_an_open_limit(tmp_path: Path) -> None:
    never = task(tmp_path / "never", {"a": (0.3, 0.31, 0.32, 0.3)}, (301, 311, 321, 331))
    across = compare_tasks([task(tmp_path / "one", {"a": ONE["quick"]}), never])
    found = mean_of(across, "a")
    assert (found["bound"], found["ci_low"]) == ("<=", 0)
    assert 0 < found["speedup"] < found["ci_high"] < np.inf


def test_a_profile_counts_who_arrives_whatever_the_bound(tmp_path: Path) -> None:
    others = {"a": (1.5, 1.6, 1.5, 1.6), "b": (0.3, 0.3, 0.3, 0.3)}
    plain = task(tmp_path / "plain", {"a": ONE["middle"], "b": ONE["slow"]})
    late = task(tmp_path / "late", others, (520.0, 530.0, 540.0, 525.0))  # of both sides: only a arrives within 500
    early = task(
        tmp_path / "early", {"a": (0.9, 0.9, 0.9, 0.8), "b": (0.7, 0.7, 0.7, 0.7)}, (0.5, 0.6, 0.7, 0.8)
    )  # all, at once
    share = {
        name: rows.groupby("method")["share"].max()
        for name, rows in (("late", compare_tasks([plain, late]).profiles), ("early", compare_tasks([plain, early]).profiles))
    }
    assert share["late"].to_dict() == {"a": 1.0, "b": 0.5, "baseline": 0.5}
    assert share["early"].to_dict() == {"a": 1.0, "b": 1.0, "baseline": 1.0}


def test_another_baseline_is_the_reference_of_the_profiles_by_its_own_name(two: tuple[Path, Path]) -> None:
    across = compare_tasks(two, Question(baseline="middle"))
    assert set(across.profiles["method"]) == {"middle", "baseline", "quick", "slow"}
    assert np.isfinite(mean_of(across, "baseline")["profile_score"])


def test_no_interval_of_a_mean_before_the_first_look_in_any_order() -> None:
    known, early = Estimate(0.1, [np.array([0.1, 0.2, 0.0])]), Estimate(0.2, [np.array([0.1, 0.3, 0.2])], level=np.nan)
    for pair in ([known, early], [early, known]):
        assert np.isnan(average(pair).limits()).all()


def test_tasks_may_differ_in_unit_and_metric_and_a_method_may_be_missing(two: tuple[Path, Path], tmp_path: Path) -> None:
    rows = [
        {"method": method, "seed": seed, "kimg": 10 * k, "fid": 100 * 0.5 ** (k * rate * (1 + seed / 50))}
        for method, rate in {"edm": 1.0, "quick": 1.5}.items()
        for seed in range(3)
        for k in range(9)
    ]
    logs = tmp_path / "logs"
    logs.mkdir()
    pd.DataFrame(rows).to_csv(logs / "evals.csv", index=False)
    (logs / "study.toml").write_text('target = 20\nbaseline = "edm"\n')
    across = compare_tasks([*two, logs])
    found = mean_of(across, "quick")
    assert (found["tasks"], found["of"]) == (3, 3)
    assert found["speedup"] == pytest.approx(stats.gmean([stats.gmean(ONE["quick"]), stats.gmean(TWO["quick"]), 1.5]), rel=1e-3)
    assert np.isnan(mean_of(across, "slow")["profile_score"])
    assert any("slow" in remark for remark in across.remarks)
    alone = compare_tasks([two[0], task(tmp_path / "alone", {}, (201, 211, 221))])
    assert "alone: no method was raced beside the baseline" in alone.remarks
    assert np.isnan(mean_of(alone, "quick")["speedup"])  # a mean of one task says nothing new


def test_what_cannot_be_compared_is_refused_in_one_line(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two folders or more"):
        compare_tasks(two[:1])
    with pytest.raises(InputError, match="named twice"):
        compare_tasks([two[0], two[0]])
    with pytest.raises(InputError, match=r"digits and digits-field hold the same run \(.*\), which would count twice"):
        compare_tasks(["digits", "digits-field"])
    bare = [task(tmp_path / name, {}, costs=(cost, cost + 1, cost + 2)) for name, cost in (("a", 250), ("b", 280))]
    with pytest.raises(NothingToConclude, match="a, b: no method"):
        compare_tasks(bare)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["digits"], 2, "two folders or more"),
        (["digits", "digits-lat"], 2, "did you mean 'digits-late'"),
        (["digits", "digits-late", "--target", "34"], 2, "a distance belongs to one task"),
        (["digits", "digits-late", "--target", "final"], 2, "baseline-final"),
        (["digits", "digits-late", "--baseline", "mdlc"], 2, "did you mean 'mdlrc'"),
        (["digits", "digits-late", "--out", str(DIGITS)], 2, "holds runs"),
        ([], 2, "Missing argument"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(app, ["leaderboard", *arguments])
    assert result.exit_code == code
    assert said in result.output + str(result.exception)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_table_is_whole_on_any_width_with_any_names(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["mean", "tasks", "a rather long name of a task", *(f"task{k}" for k in range(5))]
    folders = [task(tmp_path / name, {"$\\frac$": ONE["quick"]}, np.array(BASE) + k) for k, name in enumerate(names)]
    monkeypatch.setattr("fidrace.report.terminal.PIPED_WIDTH", width)
    result = CliRunner().invoke(app, ["leaderboard", *map(str, folders), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for name in names:
        assert name in result.output
    low, high = np.exp(stats.ttest_1samp(np.log(ONE["quick"]), 0).confidence_interval())
    assert result.output.count(f"{stats.gmean(ONE['quick']):.2f}× {low:.2f} – {high:.2f}") == len(names)


def test_page_shows_each_factor_of_each_task_and_hides_a_method(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["leaderboard", *map(str, two), "--out", str(out)])
    assert result.exit_code == 0, result.output
    written = {path.name for path in out.iterdir()}
    tables = {"factors.csv", "means.csv", "profiles.csv", "orders.csv"}
    assert written == tables | {"across-tasks.md", "across-tasks.png", "across-tasks.html"}
    with browser() as chromium:
        page = opened(chromium, out / "across-tasks.html")
        drawn = {trace["method"]: trace for trace in page.charts("factors")}
        assert {method: [*trace["x"]] for method, trace in drawn.items()} == {key: ["one", "two"] for key in ONE}
        for method, trace in drawn.items():
            assert trace["y"] == pytest.approx([stats.gmean(ONE[method]), stats.gmean(TWO[method])])
        page.page.click('#methods button[data-method="slow"]')
        assert {trace["method"] for trace in page.charts("factors") if trace["visible"]} == {"quick", "middle"}
        page.page.click('#means th:has-text("mean") button')
        assert [row["method"][0] for row in page.table("means")] == ["slow", "middle", "quick"]
        assert not page.said
        assert all(url.startswith(("file:", "data:", "blob:")) for url in page.asked)


def test_the_published_leaderboard_over_tasks_is_made_anew(tmp_path: Path) -> None:
    merged = tmp_path / "digits"
    assert CliRunner().invoke(app, ["merge", "digits", "digits-field", "--out", str(merged)]).exit_code == 0
    made = csv_files(compare_tasks([merged, "digits-flow", "digits-dit", "digits-late"]))
    published = DIGITS.parent / "across"
    assert {*made} == {path.name for path in published.glob("*.csv")}
    for name, text in made.items():
        pd.testing.assert_frame_equal(pd.read_csv(StringIO(text)), pd.read_csv(published / name), rtol=1e-9)


@pytest.mark.parametrize("seeds", [(3, 3), (3, 10), (3, 3, 3, 5)])
def test_interval_of_the_mean_holds_the_truth_in_95_of_100_simulated_leaderboards(seeds: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    held, studies = 0, 2000
    for _ in range(studies):
        truths = rng.normal(0.1, 0.3, len(seeds))  # ln factors, which differ from task to task
        scatter = rng.choice([0.05, 0.1, 0.2], len(seeds))
        groups = [rng.normal(truth, spread, n) for truth, spread, n in zip(truths, scatter, seeds, strict=True)]
        estimate = average([Estimate(float(group.mean()), [group]) for group in groups])
        held += estimate.ci_low <= np.exp(truths.mean()) <= estimate.ci_high
    assert stats.binomtest(held, studies, 0.95, alternative="less").pvalue > 0.001, held / studies
