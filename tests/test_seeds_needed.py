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


@pytest.mark.parametrize("mean", [0.001, 0.08, 0.13, 0.2])
@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_of_pairs_it_is_the_smallest_number_at_which_the_noncentral_t_has_80_percent(mean: float, spread: float) -> None:
    def share_of_studies(seeds: int) -> float:
        effect = abs(mean - np.log(BOUND)) / (spread / seeds**0.5)
        return float(stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, effect))

    expected = next((seeds for seeds in range(6, 201) if share_of_studies(seeds) >= 0.8), np.inf)
    found, needed, notes = decide(Estimate(mean, [with_moments(5, mean, spread)], seeds_are="seeds in both folders"), BOUND)
    low, high = stats.ttest_1samp(with_moments(5, mean, spread), 0).confidence_interval(0.95)
    if low > np.log(BOUND) or high < np.log(BOUND):
        assert (found != UNDECIDED, notes) == (True, [])
    else:
        number = f"about {expected} seeds" if expected < np.inf else "more than 200 seeds"
        assert (found, needed) == (UNDECIDED, expected)
        assert notes[0].startswith(f"{number} in both folders would ")
        assert notes[0].endswith(" at 80 % power")


@pytest.mark.parametrize(
    ("mean", "spreads", "sizes"),
    [(0.3, (0.15,), (5,)), (0.0, (0.2,), (5,)), (0.15, (0.1, 0.05), (5, 12)), (0.3, (0.1, 0.1, 0.05, 0.1), (3, 3, 3, 3))],
    ids=["pairs above", "pairs below", "two groups", "four groups"],
)
def test_with_that_many_seeds_80_percent_of_simulated_studies_decide(
    mean: float, spreads: tuple[float, ...], sizes: tuple[int, ...]
) -> None:
    groups = [with_moments(size, 0.0, spread) for size, spread in zip(sizes, spreads, strict=True)]
    needed = int(seeds_needed(Estimate(mean, groups), BOUND))
    rng, studies = np.random.default_rng(0), 4000

    def share_decided(seeds: int) -> float:
        decided = 0
        for _ in range(studies):
            draws = [rng.normal(0, spread, max(size, seeds)) for size, spread in zip(sizes, spreads, strict=True)]
            decided += outcome(*Estimate(mean + sum(one.mean() for one in draws), draws).limits(), BOUND) != UNDECIDED
        return decided / studies

    error = (0.8 * 0.2 / studies) ** 0.5
    assert share_decided(needed) > 0.8 - 3 * error
    assert share_decided(needed - 1) < 0.8 + 3 * error


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
