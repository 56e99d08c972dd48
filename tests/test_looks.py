"""Looks: tables of a study that is raced until it is decided, against the rule."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fidrace.errors import InputError
from fidrace.score import gate
from fidrace.score.curves import Curve
from fidrace.score.decisions import decide_at
from fidrace.score.leaderboard import score_folder
from fidrace.score.merge import merge_folders
from fidrace.score.sequential import look_at, resolve, sequential_p
from fidrace.spec.looks import Design, Looks
from tests.curves import DECLARED, curve, write
from tests.sequential_simulation import look_of

LOOKS = resolve(Looks())
SHORT = resolve(Looks(looks=(3, 5, 8)))
PLAIN = {**DECLARED, "declared_seeds": list(range(8)), "seeds": list(range(8))}


def declared(design: Design = SHORT, methods: Sequence[str] = ("baseline", "m")) -> dict[str, object]:
    return {**PLAIN, "methods": {name: {} for name in methods}, "until_decided": design.model_dump()}


def runs(method: str, factors: Sequence[float]) -> list[Curve]:
    """A run for each factor, so many times as fast as a curve that halves every 100 iterations."""
    return [
        curve(*80 * 2.0 ** (-factor * np.arange(26) / 5), method=method, seed=seed, step=20)
        for seed, factor in enumerate(factors)
    ]


def save(folder: Path, curves: list[Curve], manifest: dict[str, object], status: dict[tuple[str, int], str] = {}) -> Path:
    write(folder, curves, status)
    (folder / "study.json").write_text(json.dumps(manifest))
    return folder


def first(folder: Path) -> pd.Series:
    return score_folder(folder).speedups.iloc[0]


PACES = [1.0, 1.1, 0.95, 1.05, 0.9, 1.02, 0.97, 1.08, 0.99, 1.04]
GAINS = [1.2, 1.45, 1.3, 1.25, 1.5, 1.28, 1.33, 1.22, 1.3, 1.41]


def pair(ours: int, theirs: int) -> list[Curve]:
    """So many runs of m, and of the baseline."""
    fast = [pace * gain for pace, gain in zip(PACES, GAINS, strict=True)]
    return runs("baseline", PACES[:theirs]) + runs("m", fast[:ours])


def test_the_interval_is_students_at_the_level_of_the_look(tmp_path: Path) -> None:
    row = first(save(tmp_path, pair(5, 5), declared()))
    d = np.log(GAINS[:5])
    half = stats.t.isf(SHORT.levels[1], 4) * d.std(ddof=1) / 5**0.5
    assert np.log([row["ci_low"], row["ci_high"]]) == pytest.approx([d.mean() - half, d.mean() + half], rel=1e-6)
    nominal = stats.ttest_1samp(d, 0, alternative="greater").pvalue
    assert row["p_value"] == pytest.approx(sequential_p(SHORT, 2, nominal), rel=1e-9)
    assert "sequential, look 2 of 3" in row["flags"]


@pytest.mark.parametrize(
    ("ours", "theirs", "look", "pairs"),
    [
        pytest.param(5, 8, "look 2 of 3", 5, id="decided at an earlier look than others"),
        pytest.param(6, 8, "look 2 of 3", 5, id="between two looks"),
        pytest.param(7, 4, "look 1 of 3", 3, id="the baseline is behind"),
        pytest.param(8, 8, "look 3 of 3", 8, id="the last look"),
        pytest.param(10, 10, "look 3 of 3", 10, id="beyond the last look"),
    ],
)
def test_a_comparison_is_that_of_the_last_look_that_both_sides_have_raced(
    ours: int, theirs: int, look: str, pairs: int, tmp_path: Path
) -> None:
    row = first(save(tmp_path, pair(ours, theirs), declared()))
    assert look in row["flags"]
    assert row["pairs"] == pairs
    assert ("extended" in row["flags"]) == (ours > 8)


def test_two_groups_have_the_same_look_as_pairs(tmp_path: Path) -> None:
    row = score_folder(save(tmp_path, pair(4, 8), declared()), paired=False).speedups.iloc[0]
    assert "unpaired" in row["flags"]
    assert "look 1 of 3" in row["flags"]
    assert (row["reached"], row["baseline_reached"]) == (3, 3)


def test_a_look_decides_the_same_whether_or_not_there_are_later_runs(tmp_path: Path) -> None:
    early, late = (save(tmp_path / str(seeds), pair(seeds, seeds), declared()) for seeds in (3, 8))
    assert decide_at(early, 3) == decide_at(late, 3)
    assert decide_at(late, 3) != decide_at(late, 8)


def test_a_run_that_is_still_going_on_keeps_the_look_from_being_over_and_one_that_failed_does_not(tmp_path: Path) -> None:
    going = first(save(tmp_path / "a", pair(5, 5), declared(), {("m", 4): "running"}))
    failed = first(save(tmp_path / "b", pair(5, 5), declared(), {("m", 4): "failed"}))
    assert ("look 1 of 3" in going["flags"], going["pairs"]) == (True, 3)
    assert ("look 2 of 3" in failed["flags"], failed["bound"], failed["ci_low"]) == (True, "<=", 0)


def test_before_the_first_look_there_is_a_factor_and_no_interval(tmp_path: Path) -> None:
    design = resolve(Looks(looks=(5, 8)))
    folder = save(tmp_path, pair(4, 4), declared(design))
    row = first(folder)
    assert row["speedup"] > 1.2
    assert row[["ci_low", "ci_high", "p_value", "p_holm"]].isna().all()
    assert "sequential, before the first look" in row["flags"]
    (check,) = gate.check(folder, [("m", 1.0)])
    assert (check.outcome, check.notes) == ("not measured", ("no look is over yet",))


def test_curve_and_contrasts_follow_the_same_look_and_level(tmp_path: Path) -> None:
    manifest = {**declared(methods=("baseline", "m", "c")), "contrasts": [["m", "c"]]}
    control = runs("c", PACES[:3])  # the baseline's own runs: the contrast is what m against the baseline was at that look
    scores = score_folder(save(tmp_path, pair(5, 5) + control, manifest))
    of_m = "method == 'm' and axis == 'iterations'"
    at_target = scores.curve.query(f"{of_m} and target == 10").iloc[0]
    assert at_target["ci_low"] == scores.speedups.query(of_m).iloc[0]["ci_low"]
    contrast = scores.contrasts.iloc[0]
    assert "look 1 of 3" in contrast["flags"]
    assert (contrast["pairs"], contrast["ci_low"]) == (3, first(save(tmp_path / "s", pair(3, 3), declared()))["ci_low"])


def test_the_gate_takes_a_methods_own_cost_at_its_look_too(tmp_path: Path) -> None:
    folder = save(tmp_path, pair(7, 8), declared())  # looks at 3, 5 and 8
    *_, cost = gate.check(folder, against=folder, absolute=True)
    assert "paired, 5 seeds" in cost.notes


def test_methods_that_have_no_look_yet_count_in_holms_family(tmp_path: Path) -> None:
    alone = first(save(tmp_path / "a", pair(3, 3), declared()))
    more = first(save(tmp_path / "b", pair(3, 3), declared(methods=("baseline", "m", "n", "o"))))
    assert more["p_holm"] == pytest.approx(min(1, 3 * alone["p_holm"]))


def test_what_a_look_decides_is_never_taken_back_by_later_looks_of_other_methods(tmp_path: Path) -> None:
    """A decided method keeps its own p, and Holm lets it depend on smaller ones only, whose methods are decided too."""
    rng, kept = np.random.default_rng(3), 0
    names = ("m0", "m1", "m2")
    for study in range(8):
        paces = np.exp(rng.normal(0, 0.02, 8))
        all_runs = {"baseline": runs("baseline", [*paces])}
        for name, factor in zip(names, (1.0, 1.06, 1.1), strict=True):
            all_runs[name] = runs(name, [*paces * factor * np.exp(rng.normal(0, 0.03, 8))])
        raced, decided = {}, {}
        for seeds in SHORT.looks:
            raced |= {name: seeds for name in all_runs if name not in decided}
            curves = [one for name, count in raced.items() for one in all_runs[name][:count]]
            folder = save(tmp_path / str(study), curves, declared(methods=("baseline", *names)))
            found = {one.method: one for one in decide_at(folder, seeds)}
            for name, before in decided.items():
                kept += 1
                assert (found[name].verdict, found[name].ci_low) == (before.verdict, before.ci_low)
            decided |= {name: one for name, one in found.items() if one.is_made}
        final = score_folder(folder).speedups.query("axis == 'iterations'").set_index("method")
        assert {name: one.verdict for name, one in decided.items()} == final["verdict"].loc[[*decided]].to_dict()
    assert kept > 4


def test_a_method_that_is_too_little_faster_is_decided_and_said_to_be(tmp_path: Path) -> None:
    even = [pace * gain for pace, gain in zip(PACES, [1.01, 1.0, 0.99] * 3, strict=False)]
    folder = save(tmp_path, runs("baseline", PACES[:5]) + runs("m", even[:5]), declared())
    row = first(folder)
    assert row["verdict"] == "no difference shown"
    assert "less than 1.05x" in row["flags"]
    (decision,) = decide_at(folder, 5)
    assert decision.is_made
    assert str(decision).startswith("m less than 1.05x, 1.00x (0.9")


def test_the_gate_judges_by_the_interval_of_the_look(tmp_path: Path) -> None:
    plain, looked = (save(tmp_path / name, pair(5, 5), what) for name, what in (("a", PLAIN), ("b", declared())))
    between = (first(plain)["ci_low"] + first(looked)["ci_low"]) / 2
    outcomes = [gate.check(folder, [("m", between)])[0].outcome for folder in (plain, looked)]
    assert outcomes == ["holds", "cannot tell"]


def test_the_gate_judges_a_methods_own_cost_at_the_level_of_its_look(tmp_path: Path) -> None:
    before = save(tmp_path / "before", pair(5, 5), PLAIN)
    now = [one for one in pair(5, 5) if one.method == "baseline"] + runs("m", [*np.multiply(PACES, GAINS[::-1])[:5]])
    ratios = []
    for name, manifest in (("plain", PLAIN), ("looks", declared()), ("early", declared(resolve(Looks(looks=(6, 8)))))):
        checks = gate.check(save(tmp_path / name, now, manifest), against=before, absolute=True)
        ratios.append(next(one for one in checks if one.kind == "cost" and one.method == "m"))
    plain, looks, early = ratios
    assert plain.ratio is not None
    assert looks.ratio is not None
    widths = [np.log(one.ci_high / one.ci_low) for one in (plain.ratio, looks.ratio)]
    assert widths[1] / widths[0] == pytest.approx(stats.t.isf(SHORT.levels[1], 4) / stats.t.isf(0.025, 4))
    assert (early.outcome, early.notes) == ("not measured", ("no look is over yet",))


def test_folders_with_other_looks_are_not_merged(tmp_path: Path) -> None:
    halves = [save(tmp_path / "a", runs("baseline", PACES[:3]), declared()), save(tmp_path / "b", runs("m", GAINS[:3]), PLAIN)]
    with pytest.raises(InputError, match="the looks are 3, 5, 8 in"):
        merge_folders(halves, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "damage", [3, {}, {"looks": [5, 3]}, {"levels": [0.01]}, {"levels": [0.1, 0.1, 0.9]}, {"spending": [0.5, 0.2, 1]}]
)
def test_a_damaged_design_is_named(damage: object, tmp_path: Path) -> None:
    whole = declared()["until_decided"]
    assert isinstance(whole, dict)
    what = {**whole, **damage} if isinstance(damage, dict) and damage else damage
    folder = save(tmp_path, pair(3, 3), {**declared(), "until_decided": what})
    with pytest.raises(InputError, match=r"study\.json: until_decided"):
        score_folder(folder)


def test_a_look_takes_the_seeds_below_its_number() -> None:
    look = look_at(LOOKS, 6)
    assert (str(look), [seed for seed in range(9) if seed in look]) == ("look 2 of 5", [0, 1, 2, 3, 4])
    assert look.level == look_of(LOOKS, 2).level == LOOKS.levels[1]
