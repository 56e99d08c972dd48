"""`cannot tell: about N seeds would`: N against scipy's intervals, against simulated studies, and where no number would do."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fidrace.score.checks import decide
from fidrace.score.estimates import UNDECIDED, Estimate, estimate_of, outcome, seeds_needed
from fidrace.score.grids import Grids
from fidrace.score.leaderboard import read_run_table
from fidrace.score.rules import Question
from tests.foreign import SCATTER, races, with_statuses
from tests.published import DIGITS, excerpt

BOUND = 1.1


def with_moments(size: int, mean: float, spread: float) -> np.ndarray:
    """`size` numbers of exactly this mean and standard deviation."""
    numbers = np.arange(size, dtype=float)
    return mean + spread * (numbers - numbers.mean()) / numbers.std(ddof=1)


def excludes(interval: "stats._result_classes.ConfidenceInterval") -> bool:
    return bool(interval.low > np.log(BOUND) or interval.high < np.log(BOUND))


@pytest.mark.parametrize("mean", [0.001, 0.08, 0.13, 0.2])
@pytest.mark.parametrize("spread", [0.05, 0.2])
@pytest.mark.parametrize("paired", [True, False], ids=["paired", "groups"])
def test_it_is_the_smallest_number_with_which_scipys_interval_excludes_the_bound(
    mean: float, spread: float, paired: bool
) -> None:
    def excludes(seeds: int) -> bool:
        d, other = with_moments(seeds, mean, spread), with_moments(max(seeds, 12), 0.0, spread / 2)
        test = stats.ttest_1samp(d, 0) if paired else stats.ttest_ind(d, other, equal_var=False)
        low, high = test.confidence_interval(0.95)
        return bool(low > np.log(BOUND) or high < np.log(BOUND))

    expected = next((seeds for seeds in range(5, 201) if excludes(seeds)), np.inf)
    groups = [with_moments(5, mean, spread), *([] if paired else [with_moments(12, 0.0, spread / 2)])]
    found, needed, notes = decide(Estimate(mean, groups, seeds_are="seeds a side"), BOUND)
    if expected == 5:
        assert (found != UNDECIDED, notes) == (True, [])
    else:
        number = f"about {expected}" if expected < np.inf else "more than 200"
        assert (found, needed) == (UNDECIDED, expected)
        assert notes[0].startswith(f"{number} seeds a side would")


@pytest.mark.parametrize(("mean", "spread"), [(0.2, 0.15), (0.0, 0.2), (0.15, 0.1)])
def test_with_that_many_seeds_about_every_second_study_decides_and_with_half_of_them_few_do(mean: float, spread: float) -> None:
    needed = seeds_needed(Estimate(mean, [with_moments(5, mean, spread)]), BOUND)
    rng, studies = np.random.default_rng(0), 1000

    def decided(seeds: int) -> float:
        draws = (rng.normal(mean, spread, seeds) for _ in range(studies))
        return float(np.mean([outcome(*Estimate(d.mean(), [d]).limits(), BOUND) != UNDECIDED for d in draws]))

    assert 0.42 < decided(int(needed)) < 0.65
    assert decided(2 * int(needed)) > 0.75
    assert decided(int(needed) // 2) < 0.42


@pytest.mark.parametrize(
    ("estimate", "why"),
    [
        (Estimate(np.log(BOUND), [with_moments(3, np.log(BOUND), 0.1)]), "the estimate is what is asked"),
        (Estimate(0.2, [with_moments(3, 0.2, 0.1)], is_open=(True, False)), "runs whose cost is not known"),
        (Estimate(0.2, [with_moments(3, 0.2, 0.1)], bracket=(1.05, 1.4), grids=Grids.UNLIKE), "evaluate more often"),
    ],
)
def test_where_no_number_of_seeds_would_tell_it_says_why(estimate: Estimate, why: str) -> None:
    found, needed, notes = decide(estimate, BOUND)
    assert (found, bool(np.isnan(needed))) == (UNDECIDED, True)
    assert notes[0].startswith(f"no number of seeds would tell: {why}")


def test_an_open_limit_on_the_other_side_does_not_matter() -> None:
    below = Estimate(0.0, [with_moments(3, 0.0, 0.1)], is_open=(True, False))
    assert decide(below, BOUND)[1] == decide(Estimate(0.0, [with_moments(3, 0.0, 0.1)]), BOUND)[1] < 20


def test_a_gates_interval_is_the_one_that_the_table_says(tmp_path: Path) -> None:
    paces = {"baseline": SCATTER[:4], "m": [1.1 * pace for pace in SCATTER[4:9]]}
    foreign = with_statuses(tmp_path / "foreign", races(paces, step=50_000))
    late = excerpt(tmp_path / "late", evals=lambda t: t.assign(fd=t["fd"].where((t["seed"] != 1) | (t["fd"] > 40), 40.0)))
    for folder, method, question in (
        (DIGITS, "p2", Question()),
        (late, "min-snr", Question()),
        (foreign, "m", Question(10.0)),
        (foreign, "m", Question(10.0, paired=True)),
    ):
        comparison = read_run_table(folder, question).compare(method, "iterations")
        assert comparison.speedup
        limits = (comparison.speedup.ci_low, comparison.speedup.ci_high)
        assert estimate_of(comparison).limits() == pytest.approx(limits, rel=1e-12)
