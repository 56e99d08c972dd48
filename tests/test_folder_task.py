"""The task `folder` end to end, by the command, on crops of two photographs; tests/slow/photographs.py trains it longer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.spec.task import load_task
from tests.conftest import Fidrace
from tests.photographs import crops
from tests.slow.photographs import CHANGES, shuffled, words

SHORT = CHANGES | {"data.heldout": 40, "optimizer.batch": 16, "optimizer.lr": 8e-3, "optimizer.warmup": 0, "ema.decay": 0.8}
SHORT |= {"quality.samples": 100, "sampler.steps": 8, "budget.evaluations": 1, "budget.threads": 1}
RUN = ["run", "folder", "-m", "baseline", "--seeds", "1", "--budget", "40", "--device", "cpu", *words(SHORT)]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path / "cache"))
    crops(tmp_path / "crops", 240, 32, seed=0)
    return tmp_path / "crops"


def test_a_folder_of_images_is_raced_on(fidrace: Fidrace, photographs: Path, tmp_path: Path) -> None:
    """After 80 iterations samples are nearer to the training images than these are with their pixels shuffled among them."""
    where = ["--set", f"data.root={photographs}"]
    own = {"FIDRACE_CACHE": str(tmp_path / "cache")}
    assert "Warning" not in fidrace(*RUN, *where, "--out", "first", environment=own).stderr
    rows = pd.read_csv(tmp_path / "first" / "evals.csv")
    real, noise = shuffled(load_task("folder", SHORT | {"data.root": str(photographs)}))
    assert 0 < real < rows["fd"].iloc[-1] < noise < rows["fd"].iloc[0]
    assert rows["val_loss"].iloc[-1] < 0.3 * rows["val_loss"].iloc[0]
    assert set(rows["metric"]) == {"fd_thumb8"}
    assert len(list((tmp_path / "cache").rglob("reference-*.safetensors"))) == 1
    assert "1 of 1 runs are done already" in fidrace(*RUN, *where, "--out", "first", environment=own).stderr
    (photographs / "china" / "00000.png").unlink()  # another data set is another study
    assert "data.sha256" in fidrace(*RUN, *where, "--out", "first", environment=own, code=2).stderr


def test_a_broken_image_is_named_before_anything_is_trained(fidrace: Fidrace, photographs: Path, tmp_path: Path) -> None:
    broken = photographs / "flower" / "00001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    own = {"FIDRACE_CACHE": str(tmp_path / "cache")}
    said = fidrace(*RUN, "--set", f"data.root={photographs}", "--out", "x", environment=own, code=2).stderr
    assert "flower/00001.png" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_more_classes_than_the_network_knows_are_refused(fidrace: Fidrace, photographs: Path, tmp_path: Path) -> None:
    own = {"FIDRACE_CACHE": str(tmp_path / "cache")}
    where = ["--set", f"data.root={photographs}", "--set", "network.classes=1", "--out", "x"]
    assert "network.classes = 1, and the data have 2" in fidrace(*RUN, *where, environment=own, code=2).stderr
    where[3] = "quality.samples=3"
    assert "precision and recall take more than 3 images" in fidrace(*RUN, *where, environment=own, code=2).stderr
    where[3] = "data.size=4"
    assert "thumb8" in fidrace(*RUN, *where, "--set", "network.multipliers=[1]", environment=own, code=2).stderr
    assert not (tmp_path / "x").exists()


def test_a_reference_of_other_features_is_refused_before_training(fidrace: Fidrace, photographs: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "adm.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    own = {"FIDRACE_CACHE": str(tmp_path / "cache")}
    where = ["--set", f"data.root={photographs}", "--set", f"quality.reference={tmp_path / 'adm.npz'}", "--out", "x"]
    assert "[192]" in fidrace(*RUN, *where, environment=own, code=2).stderr
    assert not (tmp_path / "x").exists()
