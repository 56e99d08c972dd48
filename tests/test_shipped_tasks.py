"""Every packaged task trains and is evaluated as it stands in its file, except its width, depth and numbers of images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fidrace.data.base import Data
from fidrace.data.loading import load_data
from fidrace.evaluate.evaluator import Evaluator
from fidrace.method.registry import Registry, load_method
from fidrace.score.claims import load_claims
from fidrace.spec.task import Task, load_task, task_names
from fidrace.storage.cache import sha256_of
from fidrace.train.flops import step_flops
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup
from tests.inception_weights import write_weights

NARROW = {
    **{
        "network.channels": 32,
        "network.res_blocks": 1,
        "optimizer.batch": 3,
        "quality.samples": 4,
        "sampler.steps": 1,
        "sampler.batch": 3,
    },
    **{"quality.guard_images": 8, "quality.heldout_repeats": 1, "speed.microbatch": 2, "speed.checkpointing": True},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    write_weights(path)
    return path


def images(task: Task) -> Data:
    """Random bytes of the task's shape, with labels of all its classes."""
    if task.data.kind == "digits":
        return load_data(task.data)
    chance = np.random.default_rng(1)
    train, heldout = (chance.integers(0, 256, (count, *task.data.shape), dtype=np.uint8) for count in (9, 3))
    labels = chance.integers(0, task.network.classes or 1, 9)
    return Data(train, labels, heldout, labels[:3], 256, sha256="")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", task_names())
def test_a_reduced_width_trains_a_step_and_is_evaluated(name: str, weights: Path) -> None:
    whole = load_task(name)
    changes = dict(NARROW)
    if whole.network.kind == "dit":
        changes["network.depth"] = changes.pop("network.res_blocks")
    if whole.network.head_channels:
        changes["network.head_channels"] = 32
    if name == "cifar10":
        changes |= {"quality.weights": str(weights), "quality.features_sha256": sha256_of(weights)}
    elif whole.quality.features == "inception":  # once is enough: its 2,048 dimensions cost ten seconds
        changes |= {"quality.features": "thumb8", "quality.metric": "fd_thumb8"}
    if whole.quality.extrapolate:  # four samples are too few; tests/test_extrapolation.py has a run
        changes |= {"quality.extrapolate": False, "quality.metric": "fd_digits"}
    if whole.quality.final_samples:
        changes["quality.final_samples"] = 4 if name == "cifar10" else None
    task = load_task(name, changes)
    data = images(task)
    training = Training(task, Registry().compose("clts+mdlrc"), 0, data, ProcessGroup(torch.device("cpu")))
    before = [parameter.detach().clone() for parameter in training.network.parameters()]
    training.step()
    training.observe_losses()
    after = list(training.network.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    pixels = (task.network.patch or 1) ** 2  # that a transformer's last layer predicts for each token
    assert after[-1].shape[0] == data.train.shape[1] * (2 if task.diffusion.learned_sigma else 1) * pixels
    evaluator = Evaluator(task, data, training)
    columns, pictures = evaluator.measure(lambda: None)
    assert pictures.shape == (3, *data.train.shape[1:])
    not_finite = [name for name, value in columns.items() if not np.isfinite(value)]
    assert all(name.startswith("val_loss_bin") for name in not_finite), columns  # 3 held-out images do not fill 10 bins
    assert ("kid" in columns) == whole.quality.kid
    assert evaluator.measure_final(lambda: None).get("final_samples") == (4 if name == "cifar10" else None)


def test_the_rates_that_claims_are_costed_by_follow_from_the_flops_of_a_step() -> None:
    """CIFAR-10's is ADM-128's published one by the FLOPs of an image; a forward pass is a third of them."""
    tasks = {name: load_task(name) for name in ("cifar10", "imagenet128")}
    flops = {name: step_flops(task, load_method("baseline")) / task.optimizer.batch for name, task in tasks.items()}
    assert flops["cifar10"] / 1e9 == pytest.approx(50.3, rel=1e-3)
    assert flops["imagenet128"] / 1e9 == pytest.approx(1841, rel=1e-3)
    rates = {claim.task: claim.rate for claim in load_claims() if claim.rate}
    assert rates["cifar10"] == pytest.approx(rates["imagenet128"] * flops["imagenet128"] / flops["cifar10"], rel=1e-3)
