"""A method that costs more than iterations is judged on that too."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fidrace.method.registry import Registry
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
