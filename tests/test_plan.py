"""`fidrace plan`: its seeds against simulated verdicts and the noncentral t, its scatter against published tables."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from scipy import stats

from fidrace.report.plan import Ask, print_plan
from fidrace.score.crossings import TargetCost
from fidrace.score.plan import make_plan
from fidrace.score.power import Scatter, family_level
from fidrace.score.speedups import FASTER, LEVEL, holm, speedup
from tests.conftest import Fidrace, Refused
from tests.foreign import SCATTER, races, write
from tests.published import DIGITS, excerpt

TEXT = (Path(__file__).parents[1] / "docs" / "plan.md").read_text(encoding="utf-8")
STUDIES = 4000
ERROR = 3 * (0.8 * 0.2 / STUDIES) ** 0.5  # three binomial standard errors of a share of 80 %


def costs(logs: Any) -> list[TargetCost]:
    return [TargetCost(cost, cost, cost) for cost in np.exp(logs)]


def share_faster(factor: float, seeds: int, scatter: tuple[float, ...], methods: int) -> float:
    """The share of simulated studies whose verdict is faster, of one method whose `methods` - 1 others show nothing."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(STUDIES):
        theirs = rng.normal(0, scatter[1] if len(scatter) == 2 else 0.3, seeds)  # what pairs share does not matter
        noise = rng.normal(0, scatter[0], seeds)
        ours = noise - np.log(factor) + (theirs if len(scatter) == 1 else 0)
        one = speedup(costs(theirs), costs(ours), paired=len(scatter) == 1)
        adjusted = holm(np.array([one.p_value, *[1.0] * (methods - 1)]))[0]
        found += one.verdict == FASTER and bool(adjusted < LEVEL)
    return found / STUDIES


@pytest.mark.parametrize("methods", [1, 7])
@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("scatter", [(0.1,), (0.1, 0.1), (0.05, 0.2)], ids=["pairs", "groups", "groups that differ"])
def test_as_many_simulated_verdicts_are_faster_as_the_power_says(scatter: tuple[float, ...], seeds: int, methods: int) -> None:
    plan = Scatter(tuple(one**2 for one in scatter), 9)
    factor = plan.smallest_factor(seeds, 0.8, family_level(methods))
    assert share_faster(factor, seeds, scatter, methods) == pytest.approx(0.8, abs=ERROR)


@pytest.mark.parametrize("level", [0.025, 0.05 / 7, 0.0005])
@pytest.mark.parametrize("seeds", [3, 4, 10, 100, 1000])
def test_of_pairs_the_power_is_that_of_the_noncentral_t(seeds: int, level: float) -> None:
    for effect in (0.5, 2.0, 3.0, 6.0):
        expected = stats.nct.sf(stats.t.ppf(1 - level, seeds - 1), seeds - 1, effect)
        factor = np.exp(0.1 * effect / seeds**0.5)
        assert Scatter((0.01,), 9).power(factor, seeds, level) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("variances", [(0.01,), (0.01, 0.04)], ids=["pairs", "groups"])
@pytest.mark.parametrize("wanted", [0.8, 0.9])
def test_the_seeds_for_a_factor_are_the_fewest_that_have_the_power(variances: tuple[float, ...], wanted: float) -> None:
    scatter = Scatter(variances, 9)
    for factor in (1.1, 1.2, 1.5):
        seeds = int(scatter.seeds_for(factor, wanted))
        assert scatter.power(factor, seeds) >= wanted
        assert scatter.smallest_factor(seeds, wanted) <= factor
        if seeds > 3:
            assert scatter.power(factor, seeds - 1) < wanted
            assert scatter.smallest_factor(seeds - 1, wanted) > factor
    assert scatter.seeds_for(1.0001, wanted) == np.inf


@pytest.mark.parametrize(("sizes", "spreads"), [((3,), (0.1,)), ((10,), (0.1,)), ((4, 6), (0.1, 0.1))])
def test_four_pilots_of_five_have_the_true_scatter_below_their_upper_limit(
    sizes: tuple[int, ...], spreads: tuple[float, ...]
) -> None:
    rng, truth = np.random.default_rng(0), float(np.linalg.norm(spreads))
    pilots = [[rng.normal(0, s, n) for s, n in zip(spreads, sizes, strict=True)] for _ in range(STUDIES)]
    held = np.mean([Scatter.of(groups).upper.deviation > truth for groups in pilots])
    assert held == pytest.approx(0.8, abs=ERROR + 0.01 * (len(sizes) - 1))  # Satterthwaite's freedom is an approximation


def planned(fidrace: Fidrace, *words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fidrace("plan", *words, "--json").stdout)
    return found


def test_scatter_and_time_are_those_of_the_published_tables(fidrace: Fidrace) -> None:
    found = planned(fidrace)
    rows = pd.read_csv(DIGITS / "speedups.csv").query("axis == 'iterations'").set_index("method")
    runs = pd.read_csv(DIGITS / "runs.csv")
    seconds = runs.assign(all=runs["train_seconds"] + runs["eval_seconds"]).groupby("method")["all"].mean()
    *methods, typical = found["methods"]
    assert {one["method"] for one in methods} == {*rows.index}
    for one in methods:
        row = rows.loc[one["method"]]
        scatter = np.log(row["detectable"]) / stats.t.ppf(0.975, 9) * 10**0.5
        assert one["scatter"] == pytest.approx(scatter, rel=1e-9)
        assert one["scatter_upper"] == pytest.approx(scatter * (9 / stats.chi2.ppf(0.2, 9)) ** 0.5, rel=1e-9)
        assert one["correlation"] == pytest.approx(row["correlation"], rel=1e-9)
        assert one["seconds_per_seed"] == pytest.approx(seconds[one["method"]] + seconds["baseline"], rel=1e-9)
        need = one["seeds_needed"][0]
        assert need["hours"] == pytest.approx(need["seeds"] * one["seconds_per_seed"] / 3600, rel=1e-9)
    assert typical["method"] == "like these"
    assert typical["scatter"] == pytest.approx(np.median([one["scatter"] for one in methods]))
    assert (found["methods_in_family"], found["level"]) == (7, pytest.approx(0.05 / 7))


def test_what_is_asked_is_what_is_answered(fidrace: Fidrace) -> None:
    words = ("digits", "-m", "min-snr", "--factor", "1.25", "--power", "0.9", "--seeds", "8", "--methods-in-family", "1")
    found = planned(fidrace, *words)
    (one,) = found["methods"]
    ((need,), (shown,)) = one["seeds_needed"], one["smallest_factor"]
    assert (need["factor"], need["power"], shown["seeds"], shown["power"], found["level"]) == (1.25, 0.9, 8, 0.9, 0.025)

    def powers(seeds: int, factor: float, scatter: float) -> float:
        effect = np.log(factor) / scatter * seeds**0.5
        return float(stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, effect))

    for seeds, scatter in ((need["seeds"], one["scatter"]), (need["seeds_upper"], one["scatter_upper"])):
        assert powers(seeds, 1.25, scatter) >= 0.9 > powers(seeds - 1, 1.25, scatter)
    assert powers(8, shown["factor"], one["scatter"]) == pytest.approx(0.9, abs=1e-4)
    assert powers(8, shown["factor_upper"], one["scatter_upper"]) == pytest.approx(0.9, abs=1e-4)


def test_more_methods_take_more_seeds(fidrace: Fidrace) -> None:
    needed = [
        planned(fidrace, "digits", "-m", "min-snr", "--factor", "1.1", "--methods-in-family", str(count))["methods"][0]
        for count in (2, 7, 50)
    ]
    seeds = [one["seeds_needed"][0]["seeds"] for one in needed]
    assert seeds == sorted({*seeds})


def test_the_tables_fit_eighty_columns_and_one_too_narrow_keeps_its_numbers_whole() -> None:
    ask = Ask((1.1, 1.2, 1.3, 1.5, 2.0), (0.8, 0.9), (3, 5, 10, 20))
    shown = {}
    for width in (50, 80):
        console = Console(width=width, markup=False, emoji=False)
        with console.capture() as capture:
            print_plan(make_plan("digits"), ask, console)
        shown[width] = capture.get()
        assert max(map(len, shown[width].splitlines())) <= width
    headings = [line for line in shown[80].splitlines() if line.startswith("┃ method")]
    assert [line.split("┃")[-2].strip() for line in headings] == ["20 seeds", "2×", "2×", "2×"]  # none has left
    cells = re.findall(r"│ min-snr +│(.*)│", shown[80])
    for narrow, wide in zip(re.findall(r"│ min-snr +│(.*)│", shown[50]), cells, strict=True):
        assert wide.split()[: len(narrow.split())] == narrow.split()


def test_the_document_shows_what_the_command_prints(fidrace: Fidrace) -> None:
    found = re.search(r"^    fidrace (plan digits)\n\n```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found
    printed = fidrace(*found[1].split()).stdout.splitlines()
    assert [line.rstrip() for line in printed] == found[2].splitlines()


def test_the_picture_is_a_png_and_the_same_each_time(fidrace: Fidrace, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        fidrace("plan", "--out", name, "--factor", "1.2")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.format == "PNG"
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_one_seed_is_refused_and_two_are_shown_with_how_little_they_know(fidrace: Fidrace, tmp_path: Path) -> None:
    said = fidrace("plan", excerpt(tmp_path / "one", seeds=(0,)), code=3).stderr
    assert "one seed has no scatter; 2 runs" in said
    assert said.endswith("take the published scatter: fidrace plan digits\n")
    assert said.count("\n") == 1
    told = " ".join(fidrace("plan", excerpt(tmp_path / "two", seeds=(0, 1))).stdout.split())
    assert f"up to {stats.chi2.ppf(0.2, 1) ** -0.5:.2f} times as large; plan by these" in told


def test_a_run_that_does_not_arrive_is_in_no_scatter_and_is_said_to_leave_the_verdict_open(
    fidrace: Fidrace, tmp_path: Path
) -> None:
    def late(table: pd.DataFrame) -> pd.DataFrame:
        slow = (table["seed"] == 1) & (table["method"] == "min-snr") & (table["fd"] < 40)
        return table.assign(fd=table["fd"].where(~slow, 40.0))

    folder = excerpt(tmp_path / "late", seeds=(0, 1, 2, 3, 4), evals=late)
    without = excerpt(tmp_path / "without", seeds=(0, 2, 3, 4))
    (one,), (other,) = (planned(fidrace, which)["methods"] for which in (folder, without))
    assert (one["scatter"], one["known"], one["open"]) == (pytest.approx(other["scatter"], rel=1e-12), 4, 1)
    told = " ".join(fidrace("plan", folder).stdout.split())
    assert "then no number of seeds decides" in told
    assert f"1 of 5 runs did not arrive, or not for certain; at this rate {100 * 0.8**10:.0f} % of studies of 10 seeds" in told
    assert "give an easier --target" in fidrace("plan", "digits", "--target", "5", code=3).stderr


def test_the_baseline_alone_stands_for_a_method_that_shares_nothing_with_it(fidrace: Fidrace) -> None:
    (one,) = planned(fidrace, "digits-target")["methods"]
    evals = pd.read_csv(DIGITS.parent / "digits-target" / "evals.csv")
    logs = [
        np.log(np.interp(-np.log(34), -np.log(run["fd"]), run["iteration"])) for _, run in evals.groupby("seed")
    ]  # by hand; no run comes back above 34
    assert (one["method"], one["paired"], one["known"]) == ("like baseline", False, 10)
    assert one["scatter"] == pytest.approx(2**0.5 * np.std(logs, ddof=1), rel=1e-6)
    assert one["scatter_upper"] == pytest.approx(one["scatter"] * (9 / stats.chi2.ppf(0.2, 9)) ** 0.5, rel=1e-9)


def test_other_peoples_tables_are_two_groups_without_a_time(fidrace: Fidrace, tmp_path: Path) -> None:
    paces = {"edm": SCATTER[:4], "m": [1.1 * pace for pace in SCATTER[4:9]]}
    folder = write(tmp_path / "theirs", races(paces, step=20_000))
    words = (folder, "--baseline", "edm", "--target", "10")
    (one,) = planned(fidrace, *words)["methods"]
    logs = [np.log(paces["edm"]), np.log(paces["m"])]
    assert one["scatter"] == pytest.approx(np.sqrt(sum(group.var(ddof=1) for group in logs)), rel=0.1)  # and some noise
    assert (one["paired"], one["known"], one["seconds_per_seed"]) == (False, 4, None)
    told = " ".join(fidrace("plan", *words).stdout.split())
    assert "seeds are seeds a side" in told
    assert "time: not known" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--factor", "0.8"), "ask for 1/0.8 = 1.25"),
        (("--factor", "1"), "write a factor above 1"),
        (("--factor", "nan"), "write a factor above 1"),
        (("--power", "0.5"), "between 0.5 and 1"),
        (("--power", "1"), "between 0.5 and 1"),
        (("--seeds", "1"), "takes 3 seeds or more"),
        (("-m", "minsnr"), "did you mean 'min-snr'?"),
        (("--axis", "secs"), "did you mean 'seconds'?"),
        (("--out", "plan.jpg"), "ends in .png"),
        (("--out", "absent/plan.png"), "no folder absent"),
        (("absent",), "no folder or published tables 'absent'"),
        ((".",), "evals.csv: no such file"),
    ],
)
def test_what_no_plan_has_is_refused_in_one_line(words: tuple[str, ...], said: str, refused: Refused, tmp_path: Path) -> None:
    assert said in refused("plan", *words)
    assert list(tmp_path.iterdir()) == []


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from fidrace.cli.main import app;"
        "result = CliRunner().invoke(app, ['plan', 'digits']); assert result.exit_code == 0, result.output;"
        "print(sorted({'torch', 'scipy.stats'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
