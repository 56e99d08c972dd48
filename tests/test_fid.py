"""`fidrace fid`: the distance of samples that somebody else drew, beside torch-fidelity's and numpy's."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torchvision.utils import save_image

from fidrace.data.base import quantise
from fidrace.data.loading import digits

TRAIN = np.round((digits().train + 1) * 127.5).astype(np.uint8)  # [N, 1, 8, 8]


def noisy(count: int = 300, seed: int = 0, size: int = 8, channels: int = 1) -> np.ndarray:
    """Digits with noise, [N, H, W, C]."""
    rng = np.random.default_rng(seed)
    images = TRAIN[rng.integers(len(TRAIN), size=count)].repeat(size // 8, 2).repeat(size // 8, 3).repeat(channels, 1)
    return (images + rng.integers(0, 40, images.shape)).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "png")
    return buffer.getvalue()


def write_folder(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for n, image in enumerate(images):
        (folder / f"{n:05d}.png").write_bytes(png(image))
    return folder


def measured(fidrace, *words: object) -> dict:
    return json.loads(fidrace("fid", *map(str, words), "--json").stdout)


def test_a_folder_a_zip_and_an_array_of_the_same_images_have_one_distance(tmp_path: Path, fidrace) -> None:
    images = noisy()
    np.savez(tmp_path / "a.npz", arr_0=images)
    np.savez(tmp_path / "flat.npz", arr_0=images[..., 0])
    folder = write_folder(tmp_path / "folder", images)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"00000/{file.name}")
    found = [measured(fidrace, tmp_path / name, "--ref", "digits") for name in ("a.npz", "flat.npz", "folder", "z.zip")]
    assert found[0]["metric"] == "fd_digits"
    assert found[0]["samples"] == 300
    assert {*found[0]} == {*"metric samples fd fd_se precision recall memorised kid kid_sd".split()}
    assert all(one == found[0] for one in found)


def test_the_training_images_have_no_distance_from_themselves_and_are_all_memorised(tmp_path: Path, fidrace) -> None:
    np.savez(tmp_path / "train.npz", arr_0=TRAIN.transpose(0, 2, 3, 1))
    found = measured(fidrace, tmp_path / "train.npz", "--ref", "digits")
    assert abs(found["fd"]) < 1e-6
    assert found["memorised"] == 1


def test_images_as_reference_and_their_moments_give_numpy_s_distance(tmp_path: Path, fidrace) -> None:
    """thumb8 of 16x16 images is the mean of 2x2 boxes, so that numpy can do it all."""
    ours, real = noisy(400, 1, size=16, channels=3), noisy(500, 2, size=16, channels=3) // 2
    np.savez(tmp_path / "ours.npz", arr_0=ours)
    np.savez(tmp_path / "real.npz", arr_0=real)
    f, g = (
        (x / 127.5 - 1).reshape(-1, 8, 2, 8, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2).reshape(len(x), -1) for x in (ours, real)
    )
    a, b = np.cov(f, rowvar=False), np.cov(g, rowvar=False)
    want = ((f.mean(0) - g.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    found = measured(fidrace, tmp_path / "ours.npz", "--ref", tmp_path / "real.npz", "--features", "thumb8")
    assert found["metric"] == "fd_thumb8"
    assert found["fd"] == pytest.approx(want, rel=1e-4)
    assert 0 <= found["precision"] <= 1
    np.savez(tmp_path / "moments.npz", mu=g.mean(0), sigma=b)
    alone = measured(fidrace, tmp_path / "ours.npz", "--ref", tmp_path / "moments.npz", "--features", "thumb8")
    assert alone["fd"] == pytest.approx(want, rel=1e-4)
    assert {*alone} == {"metric", "samples", "fd", "fd_se"}


def test_a_result_is_appended_to_a_log_that_import_reads(tmp_path: Path, fidrace) -> None:
    for step in (100, 200, 300):
        np.savez(tmp_path / "s.npz", arr_0=noisy(200, step))
        for method in ("mine", "theirs"):
            words = ("--run", tmp_path / "run", "--at", str(step), "--method", method, "--seed", "0")
            said = fidrace("fid", tmp_path / "s.npz", "--ref", "digits", *words).stdout
            assert said.startswith("fd_digits ")
            assert said.endswith("; 200 samples\n")
    fidrace("import", "jsonl", tmp_path / "run/fidrace.jsonl", "--out", tmp_path / "tables")
    assert "1.00×" in fidrace("score", tmp_path / "tables", "--baseline", "theirs", "--target", "baseline-final").stdout


def faulty(tmp_path: Path) -> dict[str, tuple[object, ...]]:
    """What is refused, by the words of its line."""
    np.savez(tmp_path / "good.npz", arr_0=noisy(20))
    np.savez(tmp_path / "floats.npz", arr_0=noisy(20).astype(float))
    np.savez(tmp_path / "named.npz", images=noisy(20))
    np.savez(tmp_path / "wide.npz", arr_0=noisy(20, size=16))
    np.savez(tmp_path / "one.npz", arr_0=noisy(1))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:700])
    (tmp_path / "text.txt").write_text("no images")
    (tmp_path / "empty").mkdir()
    mixed = write_folder(tmp_path / "mixed", noisy(3))
    (mixed / "x.png").write_bytes(png(noisy(1, size=16)[0]))
    broken = write_folder(tmp_path / "broken", noisy(3))
    (broken / "00001.png").write_bytes(png(noisy(1)[0])[:60])
    digits, thumbs = ("--ref", "digits"), ("--ref", tmp_path / "good.npz", "--features")
    return {
        "arr_0 is float64[20, 8, 8, 1], not bytes": (tmp_path / "floats.npz", *digits),
        "no array 'arr_0' in it": (tmp_path / "named.npz", *digits),
        "take no images of 1x16x16": (tmp_path / "wide.npz", *digits),
        "one sample has no covariance": (tmp_path / "one.npz", *digits),
        "cut.npz: damaged": (tmp_path / "cut.npz", *digits),
        "samples are a folder of images, a .zip": (tmp_path / "text.txt", *digits),
        "empty: no images": (tmp_path / "empty", *digits),
        "x.png is 16x16, and 00000.png is 8x8": (mixed, *digits),
        "00001.png: not an image that can be read": (broken, *digits),
        "nowhere: no such file or folder": (tmp_path / "nowhere", *digits),
        "and no task; did you mean 'digits'?": (tmp_path / "good.npz", "--ref", "digit"),
        "--features thumb9: not known; did you mean 'thumb8'?": (tmp_path / "good.npz", *thumbs, "thumb9"),
        "the task digits has its own": (tmp_path / "good.npz", *digits, "--features", "thumb8"),
        "give --at STEP too": (tmp_path / "good.npz", *digits, "--run", tmp_path / "r"),
        "--at: says of which run": (tmp_path / "good.npz", *digits, "--at", "3"),
    }


def test_wrong_input_is_one_line(tmp_path: Path, refused) -> None:
    for line, words in faulty(tmp_path).items():
        said = refused("fid", *words)
        assert line in said, said


@pytest.mark.parametrize("levels", [256, 17])
def test_samples_are_rounded_as_an_image_file_would_round_them(levels: int, tmp_path: Path) -> None:
    """256 levels against PNG files that torchvision writes and PIL reads; the 17 of the digits against a list of them."""
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (1, 40, 50)).astype(np.float32)
    if levels == 256:
        save_image(torch.from_numpy(x), tmp_path / "x.png", normalize=True, value_range=(-1, 1))
        with Image.open(tmp_path / "x.png") as image:
            expected = np.asarray(image)[None, :, :, 0] / 127.5 - 1
    else:
        known = np.linspace(-1, 1, levels)
        expected = known[np.abs(x[..., None] - known).argmin(-1)]
    np.testing.assert_allclose(quantise(x, levels), expected, atol=1e-6)
    stored = np.linspace(-1, 1, levels, dtype=np.float32)
    np.testing.assert_allclose(quantise(stored, levels), stored, atol=1e-7)  # the data's own levels stay
