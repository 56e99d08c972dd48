"""What generated images are held against: equal however it was come by, kept under its content's name, never trusted."""

import dataclasses
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fidrace.data.base import Data, content_sha256, to_unit_range
from fidrace.data.loading import digits
from fidrace.errors import InputError
from fidrace.evaluate.features import Features, load_features
from fidrace.evaluate.frechet import Moments, Reference
from fidrace.evaluate.guards import Guards
from fidrace.evaluate.reference import load_reference
from fidrace.spec.measurement import QualityConfig
from fidrace.spec.task import load_task
from fidrace.storage.cache import Missing
from tests.hostile import Marking

CPU = torch.device("cpu")
CONFIG = QualityConfig(metric="fd_thumb8", features="thumb8", samples=50, heldout_repeats=1)
TRAIN, HELDOUT = 2300, 60  # more than Features.stream gives at a time
Loaded = tuple[Reference, Guards]


def changed(**fields: Any) -> QualityConfig:
    return CONFIG.model_validate(CONFIG.model_dump() | fields)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    rng = np.random.default_rng(0)
    train, heldout = (rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8) for count in (TRAIN, HELDOUT))
    labels = np.zeros(TRAIN, dtype=np.int64)
    return Data(train, labels, heldout, labels[:HELDOUT], 256, content_sha256(train, heldout), folder=tmp_path / "kept")


class Counted:
    """thumb8 that counts the images it sees."""

    def __init__(self) -> None:
        self.images = 0
        self.features = dataclasses.replace(load_features(CONFIG, CPU), network=self.network)

    def network(self, images: torch.Tensor) -> torch.Tensor:
        self.images += len(images)
        return load_features(CONFIG, CPU).network(images)


def assert_equal(first: Loaded, second: Loaded) -> None:
    for one, other in zip(first, second, strict=True):
        for field in dataclasses.fields(one):
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs, field.name


def files(data: Data) -> list[Path]:
    assert data.folder is not None
    return sorted(data.folder.glob("*.safetensors"))


def thumbs(images: np.ndarray) -> np.ndarray:
    return load_features(CONFIG, CPU)(to_unit_range(torch.from_numpy(images))).double().numpy()


def test_moments_are_those_of_all_training_images(data: Data) -> None:
    reference, guards = load_reference(CONFIG, data, load_features(CONFIG, CPU))
    expected = thumbs(data.train)
    np.testing.assert_allclose(reference.mean, expected.mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(reference.covariance, np.cov(expected, rowvar=False), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(reference.factor @ reference.factor.T, reference.covariance, atol=1e-10)
    assert len(guards.train) == TRAIN


def test_digits_are_held_against_what_their_published_tables_were() -> None:
    task, images = load_task("digits"), digits()
    features = load_features(task.quality, CPU)
    train, heldout = (features(torch.from_numpy(part)) for part in (images.train, images.heldout))
    moments = Moments.of(train)
    expected = Reference.from_moments(moments.mean, moments.covariance), Guards.of(train, heldout, task.quality.samples)
    assert_equal(load_reference(task.quality, images, features), expected)


def test_what_is_kept_equals_what_is_computed_and_is_used_again_without_any_features(data: Data) -> None:
    counted = Counted()
    first = load_reference(CONFIG, data, counted.features)
    assert counted.images == TRAIN + HELDOUT
    assert_equal(load_reference(CONFIG, data, counted.features), first)
    assert counted.images == TRAIN + HELDOUT
    assert_equal(load_reference(CONFIG, dataclasses.replace(data, folder=None), counted.features), first)
    assert len(files(data)) == 1


def flipped(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda path: path.read_bytes()[:-1],
        lambda path: path.read_bytes()[:100],
        lambda path: b"",
        lambda path: b"not safetensors",
        flipped,
        lambda path: path.read_bytes().replace(b"thumb8", b"thumb9"),
        lambda path: path.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 0'),
    ],
    ids=["last byte", "short", "empty", "text", "one bit", "other features", "other format"],
)
def test_a_damaged_or_foreign_file_is_computed_anew_and_mended(damaged: Callable[[Path], bytes], data: Data) -> None:
    counted = Counted()
    first = load_reference(CONFIG, data, counted.features)
    (path,) = files(data)
    whole = path.read_bytes()
    assert damaged(path) != whole
    path.write_bytes(damaged(path))
    assert_equal(load_reference(CONFIG, data, counted.features), first)
    assert counted.images == 2 * (TRAIN + HELDOUT)
    assert path.read_bytes() == whole


def test_what_was_made_of_something_else_is_kept_apart(data: Data) -> None:
    features = load_features(CONFIG, CPU)
    tf1, clean = (dataclasses.replace(features, identity=f"inception {resize} 6726") for resize in ("tf1", "clean"))
    for count, (config, of, by) in enumerate(
        [
            (CONFIG, data, tf1),
            (CONFIG, data, clean),
            (CONFIG, dataclasses.replace(data, sha256="another"), tf1),
            (changed(samples=60), data, tf1),
            (changed(guard_images=100), data, tf1),
        ]
    ):
        load_reference(config, of, by)
        assert len(files(data)) == count + 1


def test_runs_that_start_at_once_compute_it_once(data: Data) -> None:
    counted = Counted()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load_reference(CONFIG, data, counted.features), range(2))
    assert_equal(first, second)
    assert counted.images == TRAIN + HELDOUT


def test_guards_look_at_no_more_images_than_the_task_says_and_the_moments_at_all(data: Data) -> None:
    features = load_features(CONFIG, CPU)
    of_all, all_guards = load_reference(CONFIG, data, features)
    reference, guards = load_reference(changed(guard_images=200), data, features)
    assert torch.equal(reference.covariance, of_all.covariance)
    assert len(guards.train) == 200
    places = [int((all_guards.train == row).all(1).nonzero()) for row in guards.train]
    assert places == sorted(set(places))
    assert places[-1] > TRAIN / 2  # not the first ones
    expected = Guards.of(guards.train, features(to_unit_range(torch.from_numpy(data.heldout))), CONFIG.samples)
    assert_equal((reference, guards), (reference, expected))
    assert_equal(load_reference(changed(guard_images=TRAIN), data, features), (of_all, all_guards))


def published(path: Path, **arrays: np.ndarray) -> dict[str, Any]:
    np.savez(path, **arrays)
    return {"reference": path, "reference_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def moments_of(seed: int = 5) -> dict[str, np.ndarray]:
    features = np.random.default_rng(seed).normal(size=(500, 192))
    return {"mu": features.mean(0), "sigma": np.cov(features, rowvar=False)}


def test_published_moments_replace_the_datas_and_only_the_guards_images_are_looked_at(data: Data, tmp_path: Path) -> None:
    arrays = moments_of() | {"mu_s": np.zeros(3), "arr_0": np.zeros((2, 4, 4, 3), dtype=np.uint8)}
    config = changed(guard_images=200, **published(tmp_path / "ref.npz", **arrays))
    counted = Counted()
    reference, guards = load_reference(config, data, counted.features)
    np.testing.assert_array_equal(reference.mean, arrays["mu"])
    np.testing.assert_allclose(reference.covariance, arrays["sigma"], rtol=1e-12, atol=1e-15)
    assert counted.images == 200 + HELDOUT
    _, of_data = load_reference(changed(guard_images=200), data, counted.features)
    assert_equal((reference, guards), (reference, of_data))


GOOD = moments_of()
SKEW = GOOD["sigma"] + np.triu(np.full((192, 192), 1e-3), 1)
NEGATIVE = GOOD["sigma"] - 0.5 * np.eye(192)
BROKEN = np.where(np.eye(192) == 1, np.nan, GOOD["sigma"])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"mu": GOOD["mu"]}, "no array 'sigma'"),
        (GOOD | {"mu": GOOD["mu"][:100]}, r"mu is float64\[100\], not floats \[192\]"),
        (GOOD | {"mu": GOOD["mu"][None]}, r"mu is float64\[1, 192\]"),
        (GOOD | {"sigma": GOOD["sigma"][:, :100]}, r"sigma is float64\[192, 100\]"),
        (GOOD | {"sigma": GOOD["sigma"].astype(np.complex128)}, "sigma is complex128"),
        (GOOD | {"mu": np.full(192, np.inf)}, "mu holds NaN or infinite"),
        (GOOD | {"sigma": BROKEN}, "sigma holds NaN"),
        (GOOD | {"sigma": SKEW}, "not symmetric"),
        (GOOD | {"sigma": NEGATIVE}, "smallest eigenvalue is -0"),
    ],
)
def test_what_is_no_mean_and_covariance_of_these_features_is_refused(
    arrays: dict[str, np.ndarray], said: str, data: Data, tmp_path: Path
) -> None:
    refused(changed(**published(tmp_path / "ref.npz", **arrays)), data, said)


def refused(config: QualityConfig, data: Data, said: str, features: Features | None = None) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        load_reference(config, data, features or load_features(CONFIG, CPU))
    assert str(refusal.value).startswith(f"{config.reference}: ")
    assert "\n" not in str(refusal.value)
    assert not files(data) if data.folder and data.folder.exists() else True  # before anything is computed


def test_a_published_file_that_is_cut_short_or_no_archive_is_refused(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "ref.npz"
    published(path, **GOOD)
    content = path.read_bytes()
    for spoilt in (
        content[: len(content) // 2],
        content[:-1],
        b"",
        b"<html>404</html>",
        content.replace(b"\x93NUMPY", b"\x93NUMPX"),
    ):
        path.write_bytes(spoilt)
        refused(changed(reference=path), data, "damaged, or no .npz file")
    np.save(tmp_path / "ref.npy", GOOD["mu"])
    refused(changed(reference=tmp_path / "ref.npy"), data, "damaged, or no .npz file")


def test_objects_in_a_published_file_are_not_unpickled(data: Data, tmp_path: Path) -> None:
    objects, marker = np.empty(1, dtype=object), tmp_path / "marker"
    objects[0] = Marking(marker)
    refused(changed(**published(tmp_path / "ref.npz", **GOOD | {"mu": objects})), data, "no .npz file of plain numbers")
    assert not marker.exists()
    with np.load(tmp_path / "ref.npz", allow_pickle=True) as arrays:
        arrays["mu"]
    assert marker.exists()  # or the test would tell nothing


def test_another_published_file_than_the_tasks_is_refused_and_without_a_sha256_any_is_taken(data: Data, tmp_path: Path) -> None:
    fields = published(tmp_path / "ref.npz", **GOOD)
    refused(changed(**fields | {"reference_sha256": "0" * 64}), data, f"the task names {'0' * 64}")
    load_reference(changed(reference=fields["reference"]), data, load_features(CONFIG, CPU))
    with pytest.raises(Missing, match=r"quality\.reference=FILE"):
        load_reference(changed(reference=tmp_path / "none.npz"), data, load_features(CONFIG, CPU))
