"""What no machine of this project has run yet: each test here waits for what it needs, and docs/unproven.md lists them all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
import torch

from fidrace.data.loading import load_data
from fidrace.evaluate.features import load_features
from fidrace.evaluate.frechet import Moments, Reference, frechet_with_error
from fidrace.evaluate.inception import weights_path
from fidrace.method.base import Floats
from fidrace.method.registry import Registry
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import load_task
from fidrace.storage.cache import cache_path
from fidrace.train.loop import OBSERVE_EVERY, Training
from fidrace.train.noise import draw_normals
from fidrace.train.process_group import ProcessGroup
from tests.conftest import Fidrace

CUDA = torch.cuda.is_available()
IMAGENET = os.environ.get("FIDRACE_IMAGENET", "")  # a folder of class folders
UNPROVEN: dict[str, str] = {}  # name in docs/unproven.md -> its test

F = TypeVar("F", bound=Callable[..., None])


def needs(name: str, there: bool) -> Callable[[F], F]:
    """Skip the test unless what it needs is `there`; it goes by `name` in docs/unproven.md."""

    def mark(test: F) -> F:
        assert name not in UNPROVEN
        UNPROVEN[name] = test.__name__
        return pytest.mark.skipif(not there, reason=f"unproven: {name}")(test)

    return mark


def losses(device: str, steps: int = 20, **speed: object) -> Floats:
    """The losses [steps, B] of a run on digits."""
    task = load_task("digits", {f"speed.{key}": value for key, value in speed.items()})
    training = Training(task, Registry().compose("uncertainty"), 0, load_data(task.data), ProcessGroup(torch.device(device)))
    found = []
    for _ in range(steps):
        training.step()
        found.append(training.pending_losses()[-1].double().cpu().numpy())
        training.observe_losses()
    return np.array(found)


@needs("cuda-training", CUDA)
def test_cuda_trains_as_the_cpu_does() -> None:
    np.testing.assert_allclose(losses("cuda:0"), losses("cpu"), rtol=1e-2)


@needs("cuda-no-sync", CUDA)
def test_no_step_waits_for_the_device() -> None:
    task = load_task("digits", {"network.dropout": 0.1})
    training = Training(task, Registry().compose("clts+mdlrc"), 0, load_data(task.data), ProcessGroup(torch.device("cuda:0")))
    training.advance(OBSERVE_EVERY)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(OBSERVE_EVERY - 1):
            training.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs("cuda-noise", CUDA)
def test_noise_on_cuda_is_the_cpus_but_for_rounding() -> None:
    cuda, cpu = (draw_normals(Streams(0), "noise", 3, (256, 3, 64, 64), torch.device(name)).cpu() for name in ("cuda:0", "cpu"))
    torch.testing.assert_close(cuda, cpu, rtol=1e-4, atol=1e-5)


@needs("cuda-attention", CUDA)
def test_attention_on_cuda_takes_a_fast_kernel() -> None:
    for precision, fast in (("bf16", ("flash", "cudnn")), ("fp32", ("flash", "cudnn", "efficient"))):  # flash: no float32 there
        task = load_task("digits", {"network.channels": 64, "network.norm_groups": 32, "speed.precision": precision})
        group = ProcessGroup(torch.device("cuda:0"))
        training = Training(task, Registry().compose("baseline"), 0, load_data(task.data), group)
        with torch.profiler.profile() as profile:
            training.advance(1)
        kernels = {event.key for event in profile.key_averages() if "attention" in event.key}
        assert any(name in kernel for name in fast for kernel in kernels)
        assert "aten::_scaled_dot_product_attention_math" not in kernels


@needs("cuda-bf16", CUDA)
def test_bf16_on_cuda_is_near_fp32() -> None:
    np.testing.assert_allclose(losses("cuda:0", precision="bf16").mean(1), losses("cuda:0").mean(1), rtol=0.05)


@needs("cuda-tf32", CUDA)
def test_tf32_on_cuda_is_near_fp32() -> None:
    np.testing.assert_allclose(losses("cuda:0", precision="tf32").mean(1), losses("cuda:0").mean(1), rtol=0.01)


@needs("cuda-channels-last", CUDA)
def test_channels_last_on_cuda_is_near_the_usual_layout() -> None:
    np.testing.assert_allclose(losses("cuda:0", channels_last=True), losses("cuda:0"), rtol=1e-2)


@needs("cuda-compile", CUDA)
def test_a_compiled_network_on_cuda_trains_as_the_other_does() -> None:
    np.testing.assert_allclose(losses("cuda:0", compile=True), losses("cuda:0"), rtol=1e-2)


@needs("cuda-streamed", CUDA)
def test_images_streamed_to_cuda_are_those_that_live_there() -> None:
    np.testing.assert_allclose(losses("cuda:0", resident=False), losses("cuda:0"), rtol=1e-2)


@needs("cuda-two-gpus", torch.cuda.device_count() > 1)
def test_two_gpus_are_one(tmp_path: Path, fidrace: Fidrace) -> None:
    from tests.test_ranks import torchrun

    words = "run digits -m baseline --seeds 1 --budget 50 --device cuda --target 60 --out".split()
    torchrun(tmp_path, "fidrace", *words, "two")
    fidrace(*words, "one")
    two, one = (pd.read_csv(tmp_path / side / "evals.csv") for side in ("two", "one"))
    np.testing.assert_allclose(two["val_loss"], one["val_loss"], rtol=1e-2)


@needs("inception-weights", weights_path().is_file())
def test_the_published_weights_load_and_see_no_distance_between_an_image_set_and_itself() -> None:
    features = load_features(load_task("cifar10").quality, torch.device("cpu"))
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = features(images)
    assert seen.shape == (64, 2048)
    moments = Moments.of(seen)
    assert frechet_with_error(Reference.from_moments(moments.mean, moments.covariance), seen)[0] == pytest.approx(0, abs=1e-3)


@needs("cifar10-data", cache_path("cifar10").is_dir())
def test_the_published_cifar10_loads() -> None:
    data = load_data(load_task("cifar10").data)
    assert (data.train.shape, data.heldout.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    assert (np.bincount(data.train_labels) == 5_000).all()
    assert data.train.mean() / 255 == pytest.approx(0.4734, abs=1e-3)


@needs("cifar10-fid", cache_path("cifar10").is_dir() and weights_path().is_file())
def test_fid_between_cifar10s_training_and_test_images_is_the_known_one() -> None:
    """3.15 in the literature, with 50,000 against 10,000 images."""
    task = load_task("cifar10")
    data, features = load_data(task.data), load_features(task.quality, torch.device("cuda:0" if CUDA else "cpu"))
    moments = Moments.empty(2048)
    for chunk in (found for _, found in features.stream(data.train)):
        moments.add(chunk)
    heldout = torch.cat([found for _, found in features.stream(data.heldout)])
    fd, _ = frechet_with_error(Reference.from_moments(moments.mean, moments.covariance), heldout)
    assert fd == pytest.approx(3.15, abs=0.05)


@needs("imagenet-data", bool(IMAGENET))
def test_imagenet_is_prepared_from_its_folders() -> None:
    task = load_task("imagenet64", {"data.root": IMAGENET})
    data = load_data(task.data)
    assert len(data.train) + len(data.heldout) == task.data.images
    assert len(np.unique(data.train_labels)) == task.network.classes
