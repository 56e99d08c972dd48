"""Features without weights, and features of images that lie in a file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fidrace.data.base import to_unit_range
from fidrace.data.loading import digits
from fidrace.errors import InputError
from fidrace.evaluate.features import ROWS, load_features
from fidrace.spec.measurement import QualityConfig
from fidrace.spec.task import load_task
from fidrace.train.precision import full_precision

THUMB8 = load_features(QualityConfig(metric="fd_thumb8", features="thumb8", samples=10, heldout_repeats=1), torch.device("cpu"))


def test_thumb8_is_the_mean_of_each_box() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (3, 3, 32, 16)).astype(np.float32)
    blocks = images.reshape(3, 3, 8, 4, 8, 2).astype(np.float64).mean((3, 5))
    found = THUMB8(torch.from_numpy(images))
    assert found.shape == (3, 192)
    np.testing.assert_allclose(found, blocks.reshape(3, 192), atol=1e-6)


def test_thumb8_sees_grey_images_as_three_equal_channels_and_8x8_as_they_are() -> None:
    images = digits().heldout[:5]
    np.testing.assert_array_equal(THUMB8(torch.from_numpy(images)), images.reshape(5, 64).repeat(3, axis=0).reshape(5, 192))


@pytest.mark.parametrize(("shape", "said"), [((2, 3, 8, 7), "8x8 or more, not 8x7"), ((2, 4, 8, 8), "1 or 3 channels, not 4")])
def test_images_without_thumbs_are_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        THUMB8(torch.zeros(shape))


def test_a_stream_over_a_file_gives_the_features_of_all_of_it_a_batch_in_memory_at_a_time(tmp_path: Path) -> None:
    count, seen = ROWS + 30, []
    stored = np.memmap(tmp_path / "images", dtype=np.uint8, mode="w+", shape=(count, 1, 8, 8))
    stored[:] = np.random.default_rng(0).integers(0, 256, stored.shape)

    def watched(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return THUMB8.network(images)

    features = dataclasses.replace(THUMB8, network=watched, batch=100)
    expected = THUMB8(to_unit_range(torch.from_numpy(np.array(stored))))
    index, found = zip(*features.stream(stored), strict=True)
    assert np.concatenate(index).tolist() == list(range(count))
    assert torch.equal(torch.cat(found), expected)
    assert [len(part) for part in index] == [ROWS, 30]
    assert max(seen) == 100
    chosen = np.array([5, 17, 2001])
    assert torch.equal(next(features.stream(stored, chosen))[1], expected[chosen])


def test_floats_are_streamed_as_they_are() -> None:
    task, images = load_task("digits"), digits().train
    features = load_features(task.quality, torch.device("cpu"))
    assert torch.equal(next(features.stream(images))[1], features(torch.from_numpy(images)))


def test_weights_other_than_the_tasks_are_refused() -> None:
    quality = load_task("digits", {"quality.features_sha256": "0" * 64}).quality
    with pytest.raises(InputError, match=f"the task names {'0' * 64}"):
        load_features(quality, torch.device("cpu"))


def test_features_are_computed_in_float32_whatever_training_chose_and_leave_its_choice() -> None:
    rule = torch.backends.cudnn.conv
    before = rule.fp32_precision
    try:
        rule.fp32_precision = "tf32"
        with full_precision():
            assert rule.fp32_precision == "ieee"
        assert rule.fp32_precision == "tf32"
    finally:
        rule.fp32_precision = before
