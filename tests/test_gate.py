"""The gate: planted regressions fail it, unchanged code passes, and what was not measured is neither."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fidrace.errors import InputError
from fidrace.score.checks import Check
from fidrace.score.crossings import TargetCost
from fidrace.score.estimates import FAILS, HOLDS, NOTHING, UNDECIDED, outcome
from fidrace.score.gate import check, parse_requirement, parse_share
from fidrace.score.method_comparison import OPEN, MethodComparison
from fidrace.score.regressions import change
from fidrace.score.speedups import speedup
from tests.conftest import COMMAND, ENVIRONMENT, Fidrace, Refused
from tests.curves import study, write
from tests.published import DIGITS, excerpt, silently_the_baseline, without_study
from tests.simulation import too_many

AGAINST = ("--against", DIGITS, "--max-regression", "10%")
REQUIRE = ("--require", "min-snr>=1.1")


def one(checks: list[Check]) -> Check:
    assert len(checks) == 1
    return checks[0]


def test_the_unchanged_study_passes_and_says_what_it_cannot_tell(fidrace: Fidrace, tmp_path: Path) -> None:
    same = excerpt(tmp_path / "same")
    said = fidrace("check", same, *REQUIRE, *AGAINST, "--summary", tmp_path / "summary.md").stdout
    assert "1.00 [1.00, 1.00]" in said
    assert "cannot tell" in said  # three seeds do not show 1.1
    summary = (tmp_path / "summary.md").read_text()
    assert "### fidrace: 1 cannot tell, 1 holds" in summary
    assert "| ✓ | min-snr loses at most 10% | holds |" in summary
    fidrace("check", same, *REQUIRE, *AGAINST, "--strict", code=1)


@pytest.mark.parametrize("asked", [REQUIRE, AGAINST, (*REQUIRE, *AGAINST)])
def test_a_method_that_is_silently_the_baseline_fails(asked: tuple[str, ...], fidrace: Fidrace, tmp_path: Path) -> None:
    planted = excerpt(tmp_path / "planted", evals=silently_the_baseline)
    assert "fails" in fidrace("check", planted, *asked, code=1).stdout


def test_a_study_that_reaches_no_target_measures_nothing(fidrace: Fidrace, tmp_path: Path) -> None:
    short = excerpt(tmp_path / "short", evals=lambda table: table[table["iteration"] <= 100], status="diverged")
    done = fidrace("check", short, *AGAINST, code=3)
    assert "no run reached the target" in done.stdout
    assert done.stderr.count("\n") == 1
    two = excerpt(tmp_path / "two", seeds=(0, 1))
    assert one(check(two, [("min-snr", 1.1)])).outcome == NOTHING
    against = one(check(two, against=DIGITS))
    assert (against.outcome, against.notes) == (NOTHING, ("now: 2 pairs; an interval takes 3",))
    assert one(check(short, against=DIGITS)).notes == ("now: no run reached the target",)
    fidrace("check", excerpt(tmp_path / "alone", ("baseline",)), *REQUIRE, code=3)
    # what fails elsewhere counts more than what was not measured
    lost = excerpt(
        tmp_path / "lost",
        ("baseline", "min-snr", "clts"),
        evals=lambda t: t.query("not (method == 'clts' and iteration > 300)"),
    )
    found = check(lost, [("min-snr", 2.0), ("clts", 1.1)])
    assert [each.outcome for each in found] == [FAILS, NOTHING]
    fidrace("check", lost, "--require", "min-snr>=2", "--require", "clts>=1.1", code=1)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "nothing to check"),
        (("--require", "minsnr>=1.1"), "did you mean 'min-snr'"),
        (("--require", "baseline>=1.1"), "no runs of 'baseline' to compare"),
        (("--require", "min-snr"), "METHOD>=FACTOR"),
        (("--require", "min-snr>=fast"), "METHOD>=FACTOR"),
        (("--require", "min-snr>=-1"), "METHOD>=FACTOR"),
        ((*REQUIRE, "--axis", "hours"), "unknown axis 'hours'"),
        ((*REQUIRE, "--summary", "absent/summary.md"), "no folder absent"),
        (("--against", "absent"), "no folder or published tables 'absent'"),
        (("--against", DIGITS, "--max-regression", "150%"), "--max-regression 150%"),
        (("--against", DIGITS, "--max-regression", "10 percent"), "--max-regression 10 percent"),
    ],
)
def test_wrong_words_are_one_line(words: tuple[str, ...], named: str, refused: Refused, tmp_path: Path) -> None:
    assert named in refused("check", excerpt(tmp_path / "dir"), *words)


def test_folders_that_do_not_compare_are_refused_by_what_differs(refused: Refused, tmp_path: Path) -> None:
    ours = excerpt(tmp_path / "ours", target=30.0)
    assert "the target is 30.0 in" in refused("check", ours, *AGAINST)
    other = excerpt(tmp_path / "other", learning_rate=1e-3)
    assert "optimizer.lr is 0.001 in" in refused("check", other, *AGAINST)
    assert "config_hash is other in" in refused("check", without_study(other, tmp_path / "bare"), *AGAINST)


def test_the_gate_says_what_a_table_would(tmp_path: Path) -> None:
    runs = excerpt(tmp_path / "dir", ("baseline", "p2"), seeds=tuple(range(10)))
    assert one(check(runs, [("p2", 1.01)])).notes[-1] == "loses recall"
    assert "post hoc" in one(check(runs, [("p2", 1.01)], target=25.0)).notes
    assert one(check(runs, against=DIGITS, max_regression=0.025)).asked == "p2 loses at most 2.5%"
    assert one(check(runs, against=DIGITS)).notes == ("paired, 10 seeds", "loses recall")


def test_a_factor_that_is_just_what_is_asked_is_not_lost_to_rounding() -> None:
    just = 1.1 * (1 - 1e-12)  # as exp(mean of logs) may come out
    assert outcome(just, just, 1.1) == HOLDS
    assert outcome(1.0999, 1.0999, 1.1) == FAILS


def test_a_summary_is_appended_and_a_reader_who_leaves_changes_nothing(tmp_path: Path) -> None:
    folder, summary = excerpt(tmp_path / "dir", seeds=tuple(range(10))), tmp_path / "summary.md"
    command = [*COMMAND, "check", str(folder), "--require", "min-snr>=1", "--summary", str(summary)]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=tmp_path) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(timeout=60) == 0
    assert summary.read_text().count("### fidrace: 1 holds") == 2


def test_tables_that_anyone_made_are_gated_at_a_target(fidrace: Fidrace, refused: Refused, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", study())
    assert "give --target" in refused("check", folder, "--require", "fast>=1.5")
    fidrace("check", folder, "--require", "fast>=1.5", "--target", 10)


def test_the_line_of_a_requirement_is_read_from_its_right() -> None:
    assert parse_requirement("clts[sigma=0.3] >= 1.05") == ("clts[sigma=0.3]", 1.05)
    assert (parse_share("10%"), parse_share("0.1"), parse_share("0%")) == (0.1, 0.1, 0.0)
    with pytest.raises(InputError):
        parse_share("")


def test_an_outcome_is_decided_by_the_whole_interval() -> None:
    assert [outcome(low, high, 1.1) for low, high in ((1.1, 2), (0.5, 1.09), (1.0, 1.2), (0, np.inf))] == [
        HOLDS,
        FAILS,
        UNDECIDED,
        UNDECIDED,
    ]


def comparison(d: np.ndarray, seeds: list[int], censored: str = "") -> MethodComparison:
    """A method that is exp(d) times as fast, seed by seed, as a baseline that takes 100."""
    high = {side: np.inf if censored == side else 1.0 for side in ("ours", "theirs")}
    ours = [TargetCost(100 / np.exp(one), 1, high["ours"]) for one in d]
    theirs = [TargetCost(100, 1, high["theirs"]) for _ in d]
    return MethodComparison(seeds, ours, theirs, speedup(theirs, ours))


def test_the_ratio_over_shared_seeds_is_students_and_over_others_welchs() -> None:
    rng = np.random.default_rng(0)
    now, before = rng.normal(0.2, 0.1, 5), rng.normal(0.3, 0.1, 8)
    paired = change(comparison(now, [0, 1, 2, 3, 4]), comparison(before, [4, 3, 2, 1, 0, 7, 8, 9]))
    theirs = stats.ttest_rel(now, before[:5][::-1]).confidence_interval(0.95)
    assert (paired.ci_low, paired.ci_high) == (pytest.approx(np.exp(theirs.low)), pytest.approx(np.exp(theirs.high)))
    apart = change(comparison(now, [10, 11, 12, 13, 14]), comparison(before, [*range(8)]))
    theirs = stats.ttest_ind(now, before, equal_var=False).confidence_interval(0.95)
    assert (apart.ci_low, apart.ci_high) == (pytest.approx(np.exp(theirs.low)), pytest.approx(np.exp(theirs.high)))
    assert apart.factor == pytest.approx(np.exp(now.mean() - before.mean()))


def test_a_side_that_is_identical_to_its_baseline_adds_no_scatter() -> None:
    d = np.array([0.1, 0.2, 0.4])
    same = comparison(np.zeros(3), [0, 1, 2])
    same = replace(same, speedup=speedup(same.theirs, same.ours, identical=True))
    one_sample = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    for found, low, high in (
        (change(comparison(d, [0, 1, 2]), same), one_sample.low, one_sample.high),
        (change(same, comparison(d, [0, 1, 2])), -one_sample.high, -one_sample.low),
    ):
        assert found.how == "identical to its baseline"
        assert (found.ci_low, found.ci_high) == (pytest.approx(np.exp(low)), pytest.approx(np.exp(high)))


@pytest.mark.parametrize(
    ("now", "before", "low", "high"),
    [
        ("ours", "", False, True),  # the method might be slower still
        ("theirs", "", True, False),
        ("", "ours", True, False),
        ("", "theirs", False, True),
        ("ours", "ours", False, False),
    ],
)
def test_censored_runs_leave_the_limits_of_a_ratio_open(now: str, before: str, low: bool, high: bool) -> None:
    d = np.array([0.1, 0.2, 0.3])
    found = change(comparison(d, [0, 1, 2], now), comparison(d[::-1], [0, 1, 2], before))
    assert (found.ci_low > 0, found.ci_high < np.inf) == (low, high)


def test_a_censored_seed_that_is_not_used_does_not_blind_the_gate() -> None:
    d = np.array([0.2, 0.25, 0.3, 0.2])
    before = comparison(d, [0, 1, 2, 9])
    late = replace(before, ours=[*before.ours[:3], TargetCost(500, 500, np.inf)])
    slower = change(comparison(d[:3] - [0.5, 0.51, 0.49], [0, 1, 2]), late)
    assert (slower.ci_high < 0.9, slower.how) == (True, "paired, 3 seeds")
    blind = change(comparison(d - 0.5, [0, 1, 2, 9]), late)
    assert blind.ci_high == np.inf
    assert change(late, late).ci_high == np.inf
    assert change(late, late, unchanged={9}).ci_high == 1


def test_code_that_did_not_change_passes_though_some_runs_never_arrive(tmp_path: Path) -> None:
    def late(table: pd.DataFrame) -> pd.DataFrame:
        held = (table["seed"] == 1) & (table["fd"] < 40)
        return table.assign(fd=table["fd"].where(~held, 40.0))

    ours, theirs = (excerpt(tmp_path / name, evals=late) for name in "ab")
    found = one(check(ours, against=theirs))
    assert (found.outcome, str(found.ratio)) == (HOLDS, "1.00 [1.00, 1.00]")
    open_sided = one(check(ours, [("min-snr", 1.1)]))
    assert (open_sided.outcome, open_sided.notes) == (NOTHING, (OPEN,))


def test_unchanged_code_on_other_seeds_is_seldom_called_a_regression() -> None:
    rng, studies = np.random.default_rng(0), 2000
    alarms = []
    for _ in range(studies):
        now, before = rng.normal(0.2, 0.1, 3), rng.normal(0.2, 0.1, 10)
        alarms.append(change(comparison(now, [0, 1, 2]), comparison(before, [*range(5, 15)])).ci_high < 1)
    assert not too_many(float(np.mean(alarms)), studies, 0.035)


def test_the_fixture_gives_what_the_table_says_and_fails_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_pays(fidrace_speedup):\n"
        "    found = fidrace_speedup('min-snr')\n"
        "    assert (found.pairs, found.verdict) == (10, 'faster')\n"
        "    assert found.ci_low > 1.1\n\n"
        "def test_typo(fidrace_speedup):\n"
        "    fidrace_speedup('minsnr')\n"
    )

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run(f"--fidrace-dir={DIGITS}")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert done.stdout.count("fidrace_speedup: no runs of 'minsnr' to compare; did you mean 'min-snr'?") <= 2  # and the summary
    assert "During handling" not in done.stdout
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfidrace_dir = {DIGITS}\n")
    assert "1 failed, 1 passed" in run().stdout
    (tmp_path / "below").mkdir()
    (tmp_path / "test_it.py").rename(tmp_path / "below/test_it.py")
    assert "1 failed, 1 passed" in run("below", f"--fidrace-dir={os.path.relpath(DIGITS, tmp_path)}").stdout
    (tmp_path / "pytest.ini").unlink()
    assert "give --fidrace-dir=DIR" in run().stdout


def test_an_axis_without_rows_of_its_own_is_checked_all_the_same() -> None:
    def checked(axis: str) -> list[tuple[str, str, str]]:
        checks = check(DIGITS, [("min-snr", 1.1)], DIGITS.parent / "digits-field", axis=axis)
        return [(one.outcome, str(one.now), str(one.ratio)) for one in checks]

    assert checked("images") == checked("iterations")
