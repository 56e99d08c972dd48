"""The task `folder` end to end, by the command, on crops of two photographs; tests/slow/photographs.py trains it in earnest."""

from pathlib import Path

import pandas as pd
import pytest

from bench.task import load_task
from tests.conftest import Fidrace
from tests.photographs import crops
from tests.slow.photographs import CHANGES, shuffled, words

SHORT = CHANGES | {"quality.samples": 50, "optimizer.batch": 8, "sampler.steps": 3, "budget.threads": 1, "ema.decay": 0.9}
SHORT |= {"budget.evaluations": 1, "optimizer.warmup": 0, "data.heldout": 40}
RUN = ["run", "folder", "-m", "baseline", "--seeds", "1", "--budget", "12", "--device", "cpu"]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    crops(tmp_path / "crops", 240, 32, seed=0)
    return tmp_path / "crops"


def test_a_folder_of_images_is_raced_on_and_keeps_what_it_computed(fidrace: Fidrace, photographs: Path, tmp_path: Path) -> None:
    own = {"FIDRACE_CACHE": str(tmp_path / "cache")}
    command = [*RUN, *words(SHORT), "--set", f"data.root={photographs}"]
    fidrace(*command, "--out", "first", environment=own)
    kept = sorted((tmp_path / "cache").rglob("reference-*.safetensors"))
    assert len(kept) == 1
    rows = pd.read_csv(tmp_path / "first" / "evals.csv")
    assert set(rows["metric"]) == {"fd_thumb8"}
    assert rows["val_loss"].iloc[-1] < rows["val_loss"].iloc[0]
    again = fidrace(*command, "--out", "second", environment=own)  # the kept reference gives the same distances
    assert rows["fd"].equals(pd.read_csv(tmp_path / "second" / "evals.csv")["fd"]), again.stderr
    (photographs / "china" / "00000.png").unlink()  # another data set is another study
    said = fidrace(*command, "--out", "first", environment=own, code=2).stderr
    assert "data.sha256" in said


def test_shuffling_pixels_across_images_moves_them_away(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the slow script holds the last samples against: real images are far nearer."""
    monkeypatch.setenv("FIDRACE_CACHE", str(photographs.parent / "cache"))
    real, noise = shuffled(load_task("folder", SHORT | {"data.root": str(photographs)}))
    assert real < noise / 3


def test_a_broken_image_is_named_before_anything_is_trained(fidrace: Fidrace, photographs: Path, tmp_path: Path) -> None:
    broken = photographs / "flower" / "00001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    own = {"FIDRACE_CACHE": str(tmp_path / "cache")}
    said = fidrace(*RUN, *words(SHORT), "--set", f"data.root={photographs}", "--out", "x", environment=own, code=2).stderr
    assert "flower/00001.png" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x").exists()
