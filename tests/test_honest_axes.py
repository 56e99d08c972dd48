"""A method that costs more than iterations is judged on that too."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fidrace.method.registry import Registry
from fidrace.score.decisions import decide_at
from fidrace.score.leaderboard import score_folder
from tests.curves import DECLARED, study, write


def tables(folder: Path, axes: list[str], price: dict[str, float], keeps_noise: bool = True) -> Path:
    """Method `fast` takes half the iterations; a step of it costs `price` times the baseline's on an axis."""
    curves = [
        replace(one, columns=one.columns | {axis: one.columns[axis] * factor for axis, factor in price.items()})
        if one.method == "fast"
        else one
        for one in study(2.0)
    ]
    write(folder, curves)
    record = {"axes": axes} if axes else {}
    record |= {} if keeps_noise else {"keeps_noise": False}
    content = DECLARED | {"budget": 500, "seeds": [0, 1, 2, 3], "declared_seeds": [0, 1, 2, 3]}
    (folder / "study.json").write_text(json.dumps(content | {"methods": {"baseline": {}, "fast": record}}))
    return folder


@pytest.mark.parametrize(
    ("axes", "price", "verdict"),
    [
        ([], {"train_seconds": 3.0}, "faster"),  # slow code is not the method's claim
        (["seconds"], {"train_seconds": 1.5}, "faster"),
        (["seconds"], {"train_seconds": 3.0}, "faster per iteration only"),
        (["images"], {}, "faster"),  # the factors of iterations themselves
        (["images"], {"images": 4.0}, "faster per iteration only"),
    ],
)
def test_faster_holds_on_the_honest_axis_too(tmp_path: Path, fidrace, axes, price, verdict: str) -> None:
    folder = tables(tmp_path / "t", axes, price)
    said = fidrace("score", folder).stdout
    rows = pd.read_csv(folder / "speedups.csv").set_index("axis")
    assert rows.loc["iterations", "verdict"] == verdict
    assert ("fastest: fast" in said) == (verdict == "faster")
    fidrace("leaderboard", folder, "digits", "--out", tmp_path / "across")
    across = pd.read_csv(tmp_path / "across/factors.csv")
    assert across[across["method"] == "fast"]["verdict"].to_list() == [verdict]
    code = 0 if verdict == "faster" else 1
    fidrace("check", folder, "--require", "fast>=1.1", code=code)
    fidrace("check", folder, "--require", "fast>=1.1", "--axis", "iterations")  # on the axis that is asked for alone


def test_noise_that_is_not_standard_is_a_note(tmp_path: Path, fidrace) -> None:
    fidrace("score", tables(tmp_path / "t", [], {}, keeps_noise=False))
    assert pd.read_csv(tmp_path / "t/speedups.csv")["flags"].str.contains("noise not N(0, I)", regex=False).all()


def test_a_composition_has_the_axes_of_its_parts(tmp_path: Path, fidrace) -> None:
    composition = Registry().compose("muon+stable-target+offset-noise")
    assert composition.axes() == ("images", "seconds")
    assert not composition.keeps_noise()
    method = ("-m", "stable-target[n=80]+scaled-noise")
    small = "--seeds 1 --budget 4 --set budget.evaluations=2 --set quality.samples=80 --set sampler.steps=2 --device cpu"
    fidrace("run", "digits", *method, "--out", tmp_path / "s", *small.split(), "--workers", "1")
    content = json.loads((tmp_path / "s/study.json").read_text())["methods"]
    assert content["scaled-noise+stable-target[n=80]"] | {"hash": ""} == {
        "hash": "", "horizon": False, "evidence": "inferred", "axes": ["images"], "keeps_noise": False,
    }  # fmt: skip
    evals = pd.read_csv(tmp_path / "s/evals.csv").set_index(["method", "iteration"])["images"]
    assert evals["baseline", 4] == 4 * 64
    assert evals["scaled-noise+stable-target[n=80]", 4] == 4 * 80


@pytest.mark.parametrize("axis", ["images", "forwards"])
def test_no_other_axis_is_a_way_round(tmp_path: Path, fidrace, axis: str) -> None:
    """Images and forward passes repeat the factors of iterations."""
    folder = tables(tmp_path / "t", ["seconds"], {"train_seconds": 3.0})
    assert "fastest: fast" not in fidrace("score", folder, "--axis", axis).stdout
    rows = score_folder(folder, axis=axis).speedups.set_index("axis")
    assert rows.loc[axis, "verdict"] == "faster per iteration only"


def test_seconds_of_different_devices_show_nothing(tmp_path: Path, fidrace) -> None:
    folder = tables(tmp_path / "t", ["seconds"], {})
    runs = pd.read_csv(folder / "runs.csv")
    runs.assign(device=["fast one" if method == "fast" else "slow one" for method in runs["method"]]).to_csv(
        folder / "runs.csv", index=False
    )
    assert "fastest: fast" not in fidrace("score", folder).stdout
    row = pd.read_csv(folder / "speedups.csv").set_index("axis").loc["iterations"]
    assert row["verdict"] == "faster per iteration only"
    assert "mixed devices" in row["flags"]
    said = fidrace("check", folder, "--require", "fast>=1.1", code=3).stdout
    assert "fast >= 1.1x in seconds" in said
    assert "mixed devices: their seconds do not compare" in said


def test_a_look_decides_on_the_honest_axes(tmp_path: Path) -> None:
    for price, verdict in ((1.5, "faster"), (3.0, "faster per iteration only")):
        folder = tables(tmp_path / str(price), ["seconds"], {"train_seconds": price})
        content = json.loads((folder / "study.json").read_text())
        looks = {"looks": [3, 4], "spending": [0.7, 1.0], "futility": 1.05, "levels": [0.015, 0.02]}
        (folder / "study.json").write_text(json.dumps(content | {"until_decided": looks}))
        (decision,) = decide_at(folder, 3)
        assert decision.verdict == verdict
        assert decision.is_made == (verdict == "faster")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("axis = 'second'", "axis 'second'; did you mean 'seconds'"),
        ("keeps_noise = 'no'", "keeps_noise is True or False"),
        ("taps = 'middle'", "taps is a tuple of places"),
    ],
)
def test_what_a_method_says_of_itself_is_read(line: str, named: str, tmp_path: Path, refused) -> None:
    (tmp_path / "mine").mkdir()
    text = f"from fidrace.method import Method\n\nclass X(Method, name='x', source='', evidence='inferred'):\n    {line}\n"
    (tmp_path / "mine" / "x.py").write_text(text + "    def loss_weight(self, progress):\n        return None\n")
    assert named in refused("methods", "x", "--methods-path", "mine")
