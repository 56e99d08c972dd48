"""The task `folder`: raced end to end on crops of two photographs, and refused in one line if the pictures cannot be raced on.

tests/slow/folder.py runs it with its own defaults, tests/slow/photographs.py trains it longer.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.execute.local import LocalExecutor
from fidrace.spec.random_streams import VERSION
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from tests.conftest import Refused, run_here
from tests.photographs import crops
from tests.slow.photographs import set_options, shuffled_distances

SMALL: dict[str, object] = {
    **{"data.size": 16, "data.heldout": 20, "network.channels": 8, "network.multipliers": [1, 2], "network.norm_groups": 4},
    **{"network.attention_resolutions": [], "optimizer.lr": 8e-3, "optimizer.warmup": 0, "ema.decay": 0.8},
    **{"sampler.steps": 4, "quality.samples": 50, "quality.heldout_repeats": 1, "budget.evaluations": 1},
}
RUN = ["run", "folder", "-m", "gaussian", "--seeds", "1", "--budget", "40", "--device", "cpu", "--workers", "1"]
RUN += set_options(SMALL)

# Today's study folder-121m, which was the task itself, in the numbers of improved-diffusion (see tests/test_tasks.py).
IMPROVED_DIFFUSION = {
    "data": {"kind": "folder", "size": 64, "heldout": 100, "sigma_data": 0.5, "flip": False, "sha256": ""},
    "network": {
        **{"kind": "unet", "channels": 128, "multipliers": [1, 2, 3, 4], "res_blocks": 3, "attention_resolutions": [16, 8]},
        **{"heads": 4, "head_channels": None, "scale_shift": True, "resblock_updown": False, "dropout": 0.0},
        **{"classes": None, "norm_groups": 32},
    },
    "diffusion": {"schedule": "cosine", "timesteps": 4000, "prediction": "eps", "learned_sigma": True},
    "optimizer": {"batch": 32, "lr": 1e-4, "warmup": 0, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0},
    "ema": {"decay": 0.999},
    "sampler": {"kind": "ddim", "steps": 50, "batch": 250},
    "quality": {
        **{"metric": "fd_thumb8", "features": "thumb8", "features_sha256": "", "samples": 2000, "heldout_repeats": 2},
    },
    "budget": {"iterations": 20_000, "evaluations": 20, "threads": 4},
}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """120 crops of 32x32 in two folders, and a cache of their own."""
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path / "cache"))
    crops(tmp_path / "crops", 120, 32, seed=0)
    return tmp_path / "crops"


def race(*words: str | Path) -> str:
    """What the command says on stderr, its runs in this process; it must end with 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalExecutor, "execute", run_here)
        result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result.stderr


def test_a_folder_of_images_is_raced_on(pictures: Path, tmp_path: Path, refused: Refused) -> None:
    """After 80 iterations samples are nearer to the training images than these are with their pixels shuffled among them."""
    where = ["--set", f"data.root={pictures}", "--out", tmp_path / "first"]
    assert "ema.decay" not in race(*RUN, *where)
    rows = pd.read_csv(tmp_path / "first" / "evals.csv")
    real, noise = shuffled_distances(load_task("folder", SMALL | {"data.root": str(pictures)}))
    for method in ("baseline", "gaussian"):
        fd, loss = (rows.loc[rows["method"] == method, column].to_list() for column in ("fd", "val_loss"))
        assert 0 < real < fd[-1] < noise < fd[0]
        assert loss[-1] < 0.3 * loss[0]
    assert rows.groupby("method")["fd"].last().nunique() == 2
    assert set(rows["metric"]) == {"fd_thumb8"}
    assert set(pd.read_csv(tmp_path / "first" / "leaderboard.csv")["method"]) == {"baseline", "gaussian"}
    assert len(list((tmp_path / "cache").rglob("reference-*.safetensors"))) == 1
    assert "2 of 2 runs are done already" in race(*RUN, *where)
    (pictures / "china" / "00000.png").unlink()  # another data set is another study
    assert "data.sha256" in refused(*RUN, *where)


def one_colour(folder: Path) -> None:
    for image in folder.rglob("*.png"):
        Image.new("RGB", (32, 32), "red").save(image)


def keep(count: int) -> Callable[[Path], None]:
    """Remove all but `count` pictures."""

    def remove(folder: Path) -> None:
        for image in sorted(folder.rglob("*.png"))[count:]:
            image.unlink()

    return remove


def truncate(folder: Path) -> None:
    image = folder / "flower" / "00001.png"
    image.write_bytes(image.read_bytes()[:200])


def write_text(folder: Path) -> None:
    for image in folder.rglob("*.png"):
        image.write_text("no picture")


def link_to_nowhere(folder: Path) -> None:
    (folder / "china" / "lost.png").symlink_to(folder / "nowhere.png")


def lay_a_video_beside(folder: Path) -> None:
    keep(0)(folder)
    (folder / "china" / "film.mp4").write_bytes(b"\0" * 100)


def replace_by_a_file(folder: Path) -> None:
    keep(0)(folder)
    (folder / "china").rmdir()
    (folder / "flower").rmdir()
    folder.rmdir()
    folder.write_text("no folder")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (keep(0), "no images (.jpg"),
        (lay_a_video_beside, "no images (.jpg"),
        (replace_by_a_file, "no folder"),
        (keep(20), "data.heldout = 20 of the 20 images"),
        (keep(27), "precision and recall take more than 3 images: quality.samples = 50, and 3 are half of the training images"),
        (one_colour, "all 100 training images in"),
        (truncate, "1 of 120 images cannot be read: 'flower/00001.png'"),
        (write_text, "120 of 120 images cannot be read"),
        (link_to_nowhere, "'china/lost.png' (a link to nowhere)"),
    ],
)
def test_pictures_that_cannot_be_raced_on_are_refused_before_training(
    pictures: Path, tmp_path: Path, refused: Refused, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(pictures)
    assert message in refused(*RUN, "--set", f"data.root={pictures}", "--out", "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("network.classes=1",), "network.classes = 1, and the data have 2"),
        (("quality.samples=3",), "precision and recall take more than 3 images"),
        (("data.size=4", "network.multipliers=[1]"), "thumb8"),
        (("data.size=15",), "image size 15 cannot be halved"),
        (("data.heldout=0",), "data.heldout = 0 of the 120 images"),
        (("data.images=121",), "the task says data.images = 121"),
        (("quality.reference=adm.npz",), "[192]"),  # of Inception's features, not thumb8's
    ],
)
def test_settings_that_do_not_fit_the_pictures_are_refused_before_training(
    pictures: Path, tmp_path: Path, refused: Refused, changes: tuple[str, ...], message: str
) -> None:
    np.savez(tmp_path / "adm.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    words = [word for change in changes for word in ("--set", change)]
    assert message in refused(*RUN, "--set", f"data.root={pictures}", *words, "--out", "x")
    assert not (tmp_path / "x").exists()


def test_pictures_of_mixed_sizes_can_be_raced_on(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, image in enumerate(sorted(pictures.rglob("*.png"))):
        Image.open(image).resize((8 + number, 70 - number % 50)).save(image)
    assert "2 runs" in race(*RUN, "--set", f"data.root={pictures}", "--dry-run")


def test_folder_121m_is_the_task_that_folder_was() -> None:
    assert define_study("folder-121m").task.fixed_part() == IMPROVED_DIFFUSION | {"random_streams": VERSION}
    assert define_study("folder-121m").target == "baseline-final"


def test_the_defaults_of_folder_suit_200_pictures() -> None:
    """A fifth held out, and then more training images than precision and recall need; controls among the methods."""
    study = define_study("folder")
    training = 200 - study.task.data.heldout
    assert study.task.data.heldout == 40
    assert training // 2 > 20  # the guards' images; they need more than 3
    assert study.task.optimizer.batch < training
    assert {"baseline", "gaussian", "min-snr"} <= {*study.methods}
    assert len(study.seeds) == 3


@pytest.mark.parametrize(
    ("task", "budget", "decay", "warned"),
    [
        ("digits", None, None, ""),
        ("digits", 250, None, ""),  # its 50 iterations are a fifth
        ("digits", 249, None, "--set ema.decay=0.979 is a fifth"),
        ("folder", 200, None, "remembers 100 iterations, more than a fifth of the budget of 200"),
        ("folder", 50, 0.9, ""),  # 1 / (1 - 0.9) is 10.000000000000002
        ("cifar10", 500_000, 0.9999, ""),
        ("cifar10", 40_000, 0.9999, "--set ema.decay=0.99987 "),
        ("digits", 12, 0.5, ""),
        ("digits", 9, 0.5, "--set ema.decay=0.44 "),
        ("digits", 4, 0.5, "--set ema.decay=0.0 "),
    ],
)
def test_an_average_that_remembers_more_than_a_fifth_of_the_budget_is_warned_about(
    task: str, budget: int | None, decay: float | None, warned: str
) -> None:
    changes = {"budget.evaluations": 2} | ({} if decay is None else {"ema.decay": decay})
    warning = define_study(task, budget=budget, changes=changes).task.ema_warning()
    assert warned in (warning or "") if warned else warning is None


@pytest.mark.parametrize("budget", [5, 6, 17, 50, 99, 1000, 12_345, 10**6])
def test_the_decay_that_the_warning_names_is_not_warned_about(budget: int) -> None:
    warning = define_study(
        "digits", budget=budget, changes={"ema.decay": 0.9999999, "budget.evaluations": 2}
    ).task.ema_warning()
    assert warning
    decay = float(warning.partition("ema.decay=")[2].split()[0])
    assert (
        define_study("digits", budget=budget, changes={"ema.decay": decay, "budget.evaluations": 2}).task.ema_warning() is None
    )
    assert 1 / (1 - decay) > budget / 5 * 0.85 - 1  # and it is no shorter than it need be


def test_the_warning_is_one_line_of_what_a_run_says_at_its_start(pictures: Path) -> None:
    said = race(*RUN, "--set", f"data.root={pictures}", "--dry-run", "--set", "ema.decay=0.95")
    lines = [line for line in said.splitlines() if "ema.decay" in line]
    assert lines == [
        "warning: ema.decay = 0.95 remembers 20 iterations, more than a fifth of the budget of 40: FD lags behind the weights; "
        "--set ema.decay=0.87 is a fifth"
    ]
