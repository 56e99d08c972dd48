"""A folder of images is prepared once, whole or not at all; what is missing, damaged or another set is named."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fidrace.data.base
import fidrace.data.image_folder
from fidrace.data.base import content_sha256, select_images
from fidrace.data.image_folder import labels_of, load_image_folder
from fidrace.data.loading import describe_data, load_data
from fidrace.errors import InputError
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import DataConfig, load_task
from fidrace.storage.cache import Missing
from tests.conftest import ENVIRONMENT
from tests.photographs import crops, read_image
from tests.test_images import shortened


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    crops(tmp_path / "photographs", count=12, size=16, seed=0)
    return tmp_path / "photographs"


def config(root: Path | None, **fields: object) -> DataConfig:
    return DataConfig.model_validate(dict(kind="folder", sigma_data=0.5, size=8, heldout=3, root=root) | fields)


def test_labels_are_places_of_top_folders_and_0_for_images_beside_them() -> None:
    assert labels_of(["b/x.png", "c.png", "d/a/x.png", "d/b/x.png", "b/y.png", "e/x.png"]).tolist() == [0, 0, 1, 1, 0, 2]


def test_every_image_is_in_one_part_and_the_held_out_are_the_first_of_the_permutation(photographs: Path) -> None:
    data = load_image_folder(config(photographs))
    names = sorted(path.relative_to(photographs).as_posix() for path in photographs.rglob("*.png"))
    expected = [(read_image(photographs / name, 8).tobytes(), int(name.startswith("flower"))) for name in names]
    parts = ((data.train, data.train_labels), (data.heldout, data.heldout_labels))
    train, heldout = (Counter((image.tobytes(), int(label)) for image, label in zip(*part, strict=True)) for part in parts)
    assert len(set(expected)) == 12
    assert train + heldout == Counter(expected)
    assert heldout == Counter(expected[i] for i in Streams("heldout-split").at("order").permutation(12)[:3])
    assert isinstance(data.train, np.memmap)
    assert data.levels == 256
    assert data.sha256 == content_sha256(*map(np.array, (data.train, data.train_labels, data.heldout, data.heldout_labels)))
    assert data.folder is not None
    assert data.folder.is_dir()


def test_torch_never_shares_memory_with_an_array_that_cannot_be_written(photographs: Path) -> None:
    """It warns of that, and writing to such a tensor ends the process."""
    data = load_image_folder(config(photographs))
    np.testing.assert_allclose((select_images(data.train, np.arange(2)) + 1) * 127.5, data.train[:2], atol=1e-4)
    floats = np.zeros((3, 1, 2, 2), np.float32)
    floats.setflags(write=False)
    assert not np.shares_memory(select_images(floats, np.arange(2)).numpy(), floats)


def test_the_same_files_elsewhere_have_the_same_content_and_another_file_does_not(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = load_image_folder(config(photographs)).sha256
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path / "another"))
    crops(tmp_path / "copy", count=12, size=16, seed=0)
    assert load_image_folder(config(tmp_path / "copy")).sha256 == here
    crops(tmp_path / "copy", count=12, size=16, seed=1)
    assert load_image_folder(config(tmp_path / "copy")).sha256 != here


def test_a_file_is_decoded_once_until_it_changes(photographs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = load_image_folder(config(photographs)).sha256
    for path in photographs.rglob("*.png"):  # unreadable, but of the same name, size and time
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_image_folder(config(photographs)).sha256 == before
    assert capfd.readouterr().err == ""
    os.utime(path, ns=(0, 0))
    with pytest.raises(InputError, match="12 of 12 images cannot be read"):
        load_image_folder(config(photographs))


def test_sets_unpacked_with_the_same_times_and_sizes_are_not_confused(tmp_path: Path) -> None:
    for root, colour in (("one", "red"), ("other", "blue")):
        (tmp_path / root).mkdir()
        for name in "12":
            Image.new("RGB", (8, 8), colour).save(tmp_path / root / f"{name}.bmp")
            os.utime(tmp_path / root / f"{name}.bmp", ns=(0, 0))
    red, blue = (load_image_folder(config(tmp_path / root, heldout=1)).train for root in ("one", "other"))
    assert red[0, 0, 0, 0] == blue[0, 2, 0, 0] == 255
    assert blue[0, 0, 0, 0] == 0


def test_another_size_or_split_is_prepared_beside(photographs: Path, cache: Path) -> None:
    assert len({load_image_folder(config(photographs, **change)).folder for change in ({}, {"size": 4}, {"heldout": 5})}) == 3
    assert load_image_folder(config(photographs, size=4)).train.shape == (9, 3, 4, 4)


def test_an_interrupted_preparation_leaves_nothing(photographs: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fidrace.data.image_folder.read_images

    def interrupted(paths: list[Path], size: int) -> object:
        yield from real(paths[:5], size)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fidrace.data.image_folder, "read_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_image_folder(config(photographs))
    assert [path for path in cache.rglob("*") if path.suffix != ".lock"] == [cache / "images"]
    assert len(load_image_folder(config(photographs)).train) == 9


COUNTING = """
import itertools, os, signal, sys, time
import fidrace.data.images as images
from fidrace.data.image_folder import load_image_folder
from fidrace.spec.task import DataConfig

real, numbers = images.decode, itertools.count()  # threads never draw the same number

def counted(path, size):
    number = next(numbers)
    time.sleep(0.02)
    if number == {last}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, size)

images.decode = counted
{copies} == 2 and os.fork()
load_image_folder(DataConfig(kind="folder", sigma_data=0.5, size=8, heldout=3, root=sys.argv[1]))
print(next(numbers), flush=True)
"""


def preparing(root: Path, copies: int = 1, last: int = -1) -> subprocess.CompletedProcess[str]:
    """One or two processes that prepare `root` slowly, print how many files they decoded, and die at the `last` of them."""
    command = [sys.executable, "-c", COUNTING.format(copies=copies, last=last), str(root)]
    environment = {**ENVIRONMENT, "FIDRACE_CACHE": os.environ["FIDRACE_CACHE"]}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=100, check=False)


def test_a_killed_preparation_looks_unfinished_and_is_done_anew(photographs: Path, cache: Path) -> None:
    assert preparing(photographs, last=7).returncode == -signal.SIGKILL
    assert not list(cache.glob("images/[!.]*"))
    assert list(cache.glob("images/.*.partial"))
    assert len(load_image_folder(config(photographs)).train) == 9
    assert not list(cache.glob("images/.*.partial"))


def test_two_processes_prepare_once(photographs: Path) -> None:
    assert sorted(map(int, preparing(photographs, copies=2).stdout.split())) == [0, 12]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": 13}, "12 images .* data.images = 13"),
        ({"heldout": 0}, "data.heldout = 0 of the 12"),
        ({"heldout": 12}, "data.heldout = 12 of the 12"),
        ({"size": None}, "needs data.size"),
        ({"size": 10**7}, "GB are free"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    change: dict[str, object], named: str, photographs: Path, cache: Path
) -> None:
    with pytest.raises(InputError, match=named):
        load_image_folder(config(photographs, **change))
    assert not list(cache.glob("images/[!.]*"))
    assert not list(cache.glob("images/.*.partial"))


def test_unreadable_files_are_counted_and_named_in_one_line(photographs: Path, cache: Path) -> None:
    shortened(photographs / "china" / "00004.png")
    (photographs / "flower" / "00001.png").write_bytes(b"")
    with pytest.raises(InputError) as refusal:
        load_image_folder(config(photographs))
    said = str(refusal.value)
    assert said.startswith(f"{photographs}: 2 of 12 images cannot be read: 'china/00004.png' (")
    assert "'flower/00001.png' (empty); remove" in said
    assert not list(cache.glob("images/[!.]*"))
    (photographs / "china" / "00004.png").unlink()
    (photographs / "flower" / "00001.png").unlink()
    assert len(load_image_folder(config(photographs)).train) == 7


def test_many_unreadable_files_are_all_in_a_list(photographs: Path, cache: Path) -> None:
    bad = sorted(photographs.glob("china/*"))
    for path in bad:
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"6 of 12 .*unreadable\.txt"):
        load_image_folder(config(photographs))
    assert (cache / "images" / "unreadable.txt").read_text().splitlines() == list(map(str, bad))


def test_names_that_are_no_text_are_read_and_named(photographs: Path) -> None:
    bad = Path(os.fsdecode(os.fsencode(photographs / "china") + b"/\xff\n.png"))
    (photographs / "china" / "00000.png").rename(bad)
    assert len(load_image_folder(config(photographs)).train) == 9
    bad.write_bytes(b"")
    with pytest.raises(InputError, match=r"\\udcff\\n\.png") as refusal:
        load_image_folder(config(photographs))
    assert "\n" not in str(refusal.value)


def test_long_preparations_say_how_far_they_are(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fidrace.data.image_folder, "PATIENCE", 0)
    load_image_folder(config(photographs))
    assert f"{photographs}: 11 of 12 images prepared\n" in capfd.readouterr().err


def test_a_prepared_byte_that_changed_is_noticed(photographs: Path) -> None:
    folder = load_image_folder(config(photographs)).folder
    assert folder
    with (folder / "train.npy").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(InputError, match="damaged; remove"):
        load_image_folder(config(photographs))


@pytest.mark.parametrize("name", ["train.npy", "heldout_labels.npy", "images.json"])
def test_a_damaged_prepared_folder_is_named(name: str, photographs: Path) -> None:
    folder = load_image_folder(config(photographs)).folder
    assert folder
    shortened(folder / name)
    with pytest.raises(InputError, match=f"{folder.name}.*damaged; remove"):
        load_image_folder(config(photographs))


def test_a_data_set_that_is_not_there_is_missing_with_what_gets_it(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "read.me").touch()
    for kind, root, end in (
        ("folder", tmp_path / "absent", "--set data.root=DIR"),
        ("folder", tmp_path / "empty", "--set data.root=DIR"),
        ("imagenet", None, "--set data.root=DIR"),
        ("cifar10", None, "fidrace doctor cifar10 --fetch"),
    ):
        for look in (load_data, describe_data):
            with pytest.raises(Missing, match=str(root or cache / kind)) as refusal:
                look(config(root, kind=kind, size=8))
            assert str(refusal.value).endswith(end)
    assert not cache.exists()


def test_what_is_found_is_said_without_preparing_it(photographs: Path, cache: Path) -> None:
    assert describe_data(config(photographs)) == f"{photographs}: 12 images in 2 folders"
    assert describe_data(config(photographs / "china")) == f"{photographs / 'china'}: 6 images"
    assert "scikit-learn" in describe_data(load_task("digits").data)
    assert not cache.exists()


def test_imagenet_is_looked_for_in_the_cache_by_default(photographs: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "imagenet").symlink_to(photographs)
    assert len(load_data(config(None, kind="imagenet")).train) == 9


def test_other_images_than_the_task_was_made_for_are_refused(photographs: Path) -> None:
    right = load_data(config(photographs)).sha256
    assert load_data(config(photographs, sha256=right)).sha256 == right
    with pytest.raises(InputError, match=right):
        load_data(config(photographs, sha256="0" * 64))
