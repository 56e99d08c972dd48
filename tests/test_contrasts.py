"""Methods against their controls: the same statistics as against the baseline, with another reference."""

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
from fidrace.score.curves import Curve
from fidrace.score.leaderboard import Scores, score_folder
from fidrace.spec.study import define_study
from tests.conftest import Fidrace, Refused
from tests.curves import DECLARED, curve, write

RATES = {"baseline": 1.0, "control": 2.0, "fast": 3.0, "same": 2.0}


def curves(noise: float = 0.03) -> list[Curve]:
    """Five seeds; FD halves `rate` times as fast as the baseline's, with the scatter of a seed and of a run."""
    rng = np.random.default_rng(0)
    made = []
    for seed in range(5):
        of_seed = rng.normal(0, 0.1)
        for method, rate in RATES.items():
            speed = rate * np.exp(of_seed + rng.normal(0, noise)) / 2
            made.append(curve(*(80 * 2.0 ** (-speed * np.arange(60) / 5)), method=method, seed=seed, step=20))
    return made


def scored(folder: Path, *contrasts: tuple[str, str]) -> Scores:
    return score_folder(write(folder, curves()), target=10.0, contrasts=contrasts)


def row(scores: Scores, number: int = 0) -> pd.Series:
    return scores.contrasts[scores.contrasts["axis"] == "iterations"].iloc[number]


def test_a_contrast_is_the_paired_ratio_of_method_and_control(tmp_path: Path) -> None:
    found = row(scored(tmp_path, ("fast", "control")))
    assert found["speedup"] == pytest.approx(1.5, rel=0.05)
    assert (found["verdict"], found["pairs"], found["reached"], found["control_reached"]) == ("faster", 5, 5, 5)
    needed = {}
    for one in curves():  # a clean exponential crosses at log2(80 / 10) halvings
        needed.setdefault(one.method, []).append(3 / -np.log2(one.fd[1] / one.fd[0]))
    test = stats.ttest_rel(np.log(needed["control"]), np.log(needed["fast"]), alternative="greater")
    assert found["p_value"] == pytest.approx(test.pvalue, rel=1e-6)


def test_a_contrast_and_its_reverse_are_inverse(tmp_path: Path) -> None:
    scores = scored(tmp_path, ("fast", "control"), ("control", "fast"))
    there, back = row(scores, 0), row(scores, 1)
    assert there["speedup"] * back["speedup"] == pytest.approx(1)
    assert there["ci_low"] * back["ci_high"] == pytest.approx(1)
    assert (there["verdict"], back["verdict"]) == ("faster", "slower")


def test_holm_adjusts_over_the_contrasts_alone(tmp_path: Path) -> None:
    scores = scored(tmp_path, ("fast", "control"), ("same", "control"))
    assert row(scores, 0)["p_holm"] == pytest.approx(min(1, 2 * row(scores, 0)["p_value"]))
    assert row(scores, 1)["p_holm"] == pytest.approx(max(row(scores, 1)["p_value"], row(scores, 0)["p_holm"]))
    assert row(scores, 1)["verdict"] == "no difference shown"
    alone = score_folder(tmp_path, target=10.0)
    pd.testing.assert_frame_equal(alone.speedups, scores.speedups)


def test_contrasts_at_the_baselines_final_fd_need_its_seed_too(tmp_path: Path) -> None:
    write(tmp_path, [one for one in curves() if (one.method, one.seed) != ("baseline", 4)])
    assert row(score_folder(tmp_path, target="baseline-final", contrasts=[("fast", "control")]))["pairs"] == 4


def test_a_contrast_warns_of_its_control_and_of_being_asked_for_afterwards(tmp_path: Path) -> None:
    folder = write(tmp_path, curves(), status={("control", 0): "failed", ("control", 1): "failed", ("control", 2): "failed"})
    known = {"control": {"horizon": True, "evidence": "reconstructed"}, "fast": {}}
    (folder / "study.json").write_text(json.dumps({**DECLARED, "budget": 1000, "target": 10.0, "methods": known}))
    flags = row(score_folder(folder, contrasts=[("fast", "control"), ("fast", "control")]))["flags"].split("; ")
    assert {"post hoc", "fewer than 3 pairs", "control: horizon", "control: as reconstructed", "control: 3 failed"} <= {*flags}
    assert (
        len(score_folder(folder, contrasts=[("fast", "control"), ("fast", "control")]).contrasts) == 2
    )  # iterations and seconds


def test_a_study_declares_its_contrasts_and_those_without_runs_wait(tmp_path: Path) -> None:
    folder = write(tmp_path, curves())
    declared = {**DECLARED, "budget": 1000, "target": 10.0, "contrasts": [["fast", "control"], ["fast", "not yet"]]}
    (folder / "study.json").write_text(json.dumps(declared))
    scores = score_folder(folder)
    assert set(scores.contrasts["control"]) == {"control"}
    publish(folder, scores)
    written = pd.read_csv(folder / "contrasts.csv")
    assert written.loc[written["axis"] == "iterations", "speedup"].item() == pytest.approx(1.5, rel=0.05)
    assert "| fast | control | 5 | 1.5" in (folder / "leaderboard.md").read_text()
    assert "its control" not in markdown(replace(scores, contrasts=scores.contrasts[:0]))


@pytest.mark.parametrize("contrasts", [[["fast"]], ["fast/control"], [1], {"fast": "control"}, [["fast", 1]]])
def test_contrasts_that_are_no_pairs_are_named(contrasts: object, tmp_path: Path) -> None:
    folder = write(tmp_path, curves())
    (folder / "study.json").write_text(json.dumps({**DECLARED, "contrasts": contrasts}))
    with pytest.raises(InputError, match=r"study\.json: contrasts"):
        score_folder(folder)


def test_contrasts_of_a_study_file_take_any_spelling_of_a_method(tmp_path: Path) -> None:
    text = 'task = "digits"\nmethods = ["clts+mdlrc", "clts[sigma=0.50]+lr-decay"]\n'
    (tmp_path / "mine.toml").write_text(text + 'contrasts = ["mdlrc+clts / lr-decay+clts", "clts+mdlrc/baseline"]\n')
    study = define_study(str(tmp_path / "mine.toml"))
    assert study.contrasts == (("clts+mdlrc", "clts+lr-decay"), ("clts+mdlrc", "baseline"))
    assert define_study(str(tmp_path / "mine.toml"), ["p2"]).contrasts == ()


@pytest.mark.parametrize(
    ("contrast", "named"),
    [
        ("clts", "METHOD/CONTROL"),
        ("clts/clts", "two different"),
        ("/clts", "METHOD/CONTROL"),
        ("clts/p2", "'p2' is not among the study's methods"),
        ("clts/gausian", "did you mean 'gaussian'"),
    ],
)
def test_a_contrast_that_cannot_be_made_is_refused(contrast: str, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'task = "digits"\nmethods = ["clts"]\ncontrasts = ["{contrast}"]\n')
    assert named in refused("run", "mine.toml")


def test_scoring_with_a_contrast_shows_it_and_leaves_the_tables(refused: Refused, fidrace: Fidrace, tmp_path: Path) -> None:
    folder = write(tmp_path / "s", curves())
    declared = {**DECLARED, "budget": 1000, "target": 10.0}
    (folder / "study.json").write_text(json.dumps(declared))
    fidrace("score", folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    shown = fidrace("score", folder, "--contrast", "fast/control")
    assert "each method against its control" in shown.stdout
    assert "stay as they are" in shown.stderr
    assert "did you mean 'control'" in refused("score", folder, "--contrast", "fast/contrl")
    assert "METHOD/CONTROL" in refused("score", folder, "--contrast", "fast")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
