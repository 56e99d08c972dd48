"""What an image file becomes, against a slow reading of the rule, and which files are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fidrace.data.images import Unreadable, image_files, read_images
from tests.photographs import crops, read_image

Pixels = NDArray[np.uint8]
GREY = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


def cubic(x: float) -> float:
    """Keys' cubic convolution kernel with a = -1/2 (IEEE Trans. ASSP 29, 1981, eq. 15)."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0


def box(x: float) -> float:
    return float(-0.5 < x <= 0.5)


def resampled(lines: NDArray[np.float64], length: int, kernel: Callable[[float], float]) -> NDArray[np.float64]:
    """The first axis brought to `length`: each output is a mean of all inputs, weighted by a kernel that is stretched to the
    output's pixel where that is the larger one."""
    ratio = len(lines) / length
    stretch = max(ratio, 1)
    out = []
    for place in range(length):
        centre = (place + 0.5) * ratio
        weights = np.array([kernel((index + 0.5 - centre) / stretch) for index in range(len(lines))])
        out.append(np.tensordot(weights / weights.sum(), lines, 1))
    return np.clip(np.floor(np.array(out) + 0.5), 0, 255)  # PIL keeps bytes between its two passes, and rounds halves up


def by_the_rule(pixels: Pixels, size: int) -> NDArray[np.float64]:
    """Slowly, from the words of the rule: [H, W, 3] to [3, size, size]."""
    image = pixels.astype(float)

    def resized(height: int, width: int, kernel: Callable[[float], float]) -> NDArray[np.float64]:
        return resampled(resampled(image.swapaxes(0, 1), width, kernel).swapaxes(0, 1), height, kernel)

    while min(image.shape[:2]) >= 2 * size:
        image = resized(image.shape[0] // 2, image.shape[1] // 2, box)
    short = min(image.shape[:2])
    image = resized(round(image.shape[0] * size / short), round(image.shape[1] * size / short), cubic)
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size].transpose(2, 0, 1)


@pytest.mark.parametrize("shape", [(13, 19), (19, 13), (16, 16), (47, 35), (64, 31), (5, 7), (8, 8), (1, 9), (9, 1)])
def test_a_photograph_becomes_what_a_slow_reading_of_the_rule_gives(shape: tuple[int, int], tmp_path: Path) -> None:
    crops(tmp_path, count=1, size=64, seed=1)
    with Image.open(tmp_path / "china" / "00000.png") as photograph:
        pixels = np.asarray(photograph)[: shape[0], : shape[1]]
    Image.fromarray(pixels).save(tmp_path / "x.png")
    ours = read_image(tmp_path / "x.png", 8)
    assert ours.dtype == np.uint8
    assert ours.shape == (3, 8, 8)
    assert np.abs(ours - by_the_rule(pixels, 8)).max() <= 1  # PIL's weights are fixed-point


def test_halving_is_integer_means_of_pairs_and_the_crop_leaves_the_smaller_half_before(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 44, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    expected = pixels.astype(int)
    for _ in range(2):  # 32 x 44, 16 x 22, 8 x 11; half a level is rounded up, along each axis
        expected = (expected[:, ::2] + expected[:, 1::2] + 1) // 2
        expected = (expected[::2] + expected[1::2] + 1) // 2
    assert np.array_equal(read_image(tmp_path / "x.png", 8), expected[:, 1:9].transpose(2, 0, 1))


def palette_with_alpha(path: Path) -> None:
    image = Image.frombytes("P", (8, 8), bytes(range(64)))
    image.putpalette(COLOUR.tobytes())
    image.save(path, transparency=bytes(range(64)))


def rotated_by_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.fromarray(COLOUR).save(path, exif=exif)


def animation(path: Path) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    red.save(path, save_all=True, append_images=[blue])


def deep_ppm(path: Path) -> None:
    path.write_bytes(b"P5 8 8 65535\n" + (GREY.astype(np.uint16) * 257).astype(">u2").tobytes())


ALPHA = np.uint8(255) - GREY
RED = np.array([255, 0, 0], np.uint8) * np.ones((8, 8, 1), np.uint8)
KINDS: dict[str, tuple[Callable[[Path], object], Pixels]] = {
    "grey.png": (lambda path: Image.fromarray(GREY).save(path), GREY),
    "grey-alpha.png": (lambda path: Image.merge("LA", [Image.fromarray(band) for band in (GREY, ALPHA)]).save(path), GREY),
    "alpha.png": (lambda path: Image.fromarray(np.dstack([COLOUR, ALPHA])).save(path), COLOUR),
    "palette.png": (palette_with_alpha, COLOUR),
    "one-transparent-colour.png": (lambda path: Image.fromarray(COLOUR).save(path, transparency=(0, 0, 255)), COLOUR),
    "bilevel.png": (lambda path: Image.fromarray(GREY > 100).save(path), np.uint8(255) * (GREY > 100)),
    "deep.png": (lambda path: Image.fromarray(np.maximum(GREY.astype(np.uint16) * 257, 120) - 120).save(path), GREY),
    "deep.tif": (lambda path: Image.fromarray(GREY.astype(np.uint16) * 257).save(path), GREY),
    "deep.ppm": (deep_ppm, GREY),
    "orientation.png": (rotated_by_exif, COLOUR),
    "animation.gif": (animation, RED),
    "UPPER.PNG": (lambda path: Image.fromarray(COLOUR).save(path), COLOUR),
    "größe 画像.png": (lambda path: Image.fromarray(COLOUR).save(path), COLOUR),
    "lossless.webp": (lambda path: Image.fromarray(COLOUR).save(path, lossless=True), COLOUR),
    "plain.bmp": (lambda path: Image.fromarray(COLOUR).save(path), COLOUR),
    "a png called.jpg": (lambda path: Image.fromarray(COLOUR).save(path, format="png"), COLOUR),
    "small.png": (lambda path: Image.new("RGB", (2, 3), "red").save(path), RED),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_is_converted(name: str, tmp_path: Path) -> None:
    write, expected = KINDS[name]
    write(tmp_path / name)
    channels = expected if expected.ndim == 3 else np.stack([expected] * 3, axis=-1)
    assert image_files(tmp_path) == [name]
    assert np.array_equal(read_image(tmp_path / name, 8), channels.transpose(2, 0, 1))


def test_cmyk_becomes_the_colour_that_its_inks_leave(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 128, 255, 51)).save(tmp_path / "x.jpg", quality=100)
    expected = np.array([255, 127, 0]) * (255 - 51) / 255  # (1 - ink)(1 - black)
    assert np.abs(read_image(tmp_path / "x.jpg", 8) - expected.reshape(3, 1, 1)).max() <= 2


def shortened(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])


def truncated(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    shortened(path)


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        *((f"x.{kind}", truncated, r"\w") for kind in ("jpg", "png", "gif", "bmp", "ppm", "webp", "tif")),
        ("x.png", lambda path: path.write_bytes(b""), "empty"),
        ("x.png", lambda path: path.write_text("no image at all"), "not an image"),
        ("x.png", lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"), "not an image"),
        ("x.tif", lambda path: Image.fromarray(GREY.astype(np.float32)).save(path), "floating-point"),
        ("x.tif", lambda path: Image.fromarray(GREY.astype(np.int32)).save(path), "32-bit"),
        ("x.png", lambda path: path.symlink_to("nowhere"), "link to nowhere"),
        ("x.png", lambda path: os.mkfifo(path), "not a regular file"),
        ("x.png", lambda path: Image.new("1", (1, 10**6)).save(path), "too long and narrow"),
        ("x.png", lambda path: None, "no such file"),
    ],
)
def test_what_gives_no_whole_image_is_refused(name: str, write: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(Unreadable, match=reason):
        read_image(tmp_path / name, 32)


@pytest.mark.parametrize(("most", "refused"), [(60, True), (200, False)])
def test_a_bomb_is_refused_and_a_large_image_is_not(
    most: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "x.png")  # PIL warns from `most` pixels, and raises from twice as many
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    (image,) = read_images([tmp_path / "x.png"], 4)
    assert isinstance(image, Unreadable) is refused
    if refused:
        with pytest.raises(Unreadable, match="bomb"):
            read_image(tmp_path / "x.png", 4)
    else:
        assert np.array_equal(read_image(tmp_path / "x.png", 4), image)


def test_many_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops(tmp_path, count=12, size=16, seed=0)
    monkeypatch.setattr("fidrace.data.images.BLOCK", 5)
    paths = [tmp_path / name for name in image_files(tmp_path)]
    assert np.array_equal(np.stack(list(read_images(paths, 8))), np.stack([read_image(path, 8) for path in paths]))


def test_images_are_found_at_any_depth_but_not_where_hidden_or_in_circles(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/deep/er/1.JPEG", "a.jpg", "b/.2.png", ".git/3.png", "b/notes.txt", "b/jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "4.png").touch()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "b" / "up").symlink_to(tmp_path / "set")
    assert image_files(tmp_path / "set") == ["a.jpg", "b/2.png", "b/deep/er/1.JPEG", "linked/4.png"]


def test_a_link_to_a_folder_that_contains_it_is_not_followed_and_fidraces_output_is_not_read(tmp_path: Path) -> None:
    """Neither one above the root, nor one above a folder that was itself reached by a link."""
    for name in ("home/set/1.png", "home/holiday/2.png", "disk/far/away/3.png", "disk/4.png", "home/set/out/runs/samples.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    root = tmp_path / "home" / "set"
    (root / "out" / "study.json").touch()
    (root / "parent").symlink_to("..")
    (root / "everything").symlink_to("/")
    (root / "away").symlink_to(tmp_path / "disk" / "far" / "away")
    (tmp_path / "disk" / "far" / "away" / "back").symlink_to(tmp_path / "disk")
    (tmp_path / "entry").symlink_to(root)  # the root may be a link itself
    for start in (root, tmp_path / "entry"):
        assert image_files(start) == ["1.png", "away/3.png"]
    assert image_files(root / "out") == ["runs/samples.png"]  # unless it is asked for
