"""The packaged tasks: their numbers are those of the repositories that they name, and they fit what races on them."""

import re
from pathlib import Path

import numpy as np
import pytest

from fidrace.method.base import NoiseSchedule
from fidrace.method.noise_schedule import noise_schedule
from fidrace.method.registry import Registry
from fidrace.spec.study import define_study
from fidrace.spec.task import Task, load_task, task_names
from fidrace.storage.manifest import differences
from tests.conftest import Fidrace
from tests.published import excerpt
from tests.test_network import STUDIES

# Flags of two READMEs: improved-diffusion's for CIFAR-10 and ImageNet-64 (L_hybrid, cosine), guided-diffusion's for its
# 64x64 and 128x128 models; then the defaults of their scripts and, for ADM, the paper's training.
IMPROVED = dict(num_heads=4, attention_resolutions="16,8", use_scale_shift_norm=True, ema_rate=0.9999, weight_decay=0.0)
GUIDED = dict(attention_resolutions="32,16,8", use_scale_shift_norm=True, resblock_updown=True, class_cond=True)
GUIDED |= dict(diffusion_steps=1000, learn_sigma=True, ema_rate=0.9999, weight_decay=0.0, num_head_channels=64)
COSINE = dict(num_channels=128, num_res_blocks=3, learn_sigma=True, diffusion_steps=4000, noise_schedule="cosine", lr=1e-4)
PUBLISHED = {
    "cifar10": IMPROVED | COSINE | dict(image_size=32, dropout=0.3, batch_size=128),
    "folder-121m": {**IMPROVED, **COSINE, "image_size": 64, "dropout": 0.0, "ema_rate": 0.999},
    "imagenet64": GUIDED
    | dict(image_size=64, num_channels=192, num_res_blocks=3, dropout=0.1, noise_schedule="cosine", batch_size=2048, lr=3e-4),
    "imagenet128": GUIDED
    | dict(image_size=128, num_channels=256, num_res_blocks=2, dropout=0.0, noise_schedule="linear", batch_size=256, lr=1e-4),
}
MULTIPLIERS = {32: (1, 2, 2, 2), 64: (1, 2, 3, 4), 128: (1, 1, 2, 3, 4)}  # by image size, in both repositories' scripts


def flags(task: Task) -> dict[str, object]:
    """The task's numbers by the names of OpenAI's flags."""
    network, optimizer = task.network, task.optimizer
    return {
        "image_size": task.data.size,
        "num_channels": network.channels,
        "num_res_blocks": network.res_blocks,
        "num_heads": network.heads,
        "num_head_channels": network.head_channels,
        "attention_resolutions": ",".join(map(str, network.attention_resolutions)),
        "use_scale_shift_norm": network.scale_shift,
        "resblock_updown": network.resblock_updown,
        "class_cond": network.classes == 1000,
        "dropout": network.dropout,
        "learn_sigma": task.diffusion.learned_sigma,
        "diffusion_steps": task.diffusion.timesteps,
        "noise_schedule": task.diffusion.schedule,
        "lr": optimizer.lr,
        "batch_size": optimizer.batch,
        "weight_decay": optimizer.weight_decay,
        "ema_rate": task.ema.decay,
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_papers_task_has_the_flags_that_its_repository_published(name: str) -> None:
    task = define_study(name).task
    ours = flags(task)
    assert {flag: ours[flag] for flag in PUBLISHED[name]} == PUBLISHED[name]
    assert task.network.multipliers == MULTIPLIERS[task.data.size or 0]
    assert (task.optimizer.warmup, task.optimizer.beta1, task.optimizer.beta2) == (0, 0.9, 0.999)
    assert task.diffusion.prediction == "eps"
    assert task.data.flip == ("imagenet" in name)  # guided-diffusion's loader flips, improved-diffusion's does not


def test_the_packaged_tasks_are_these() -> None:
    assert task_names() == [*"cifar10 digits digits-dit digits-flow digits-late folder imagenet128 imagenet64 mnist".split()]


def test_no_task_has_a_target_that_nobody_measured() -> None:
    raced = [name for name in task_names() if load_task(name).target.fd != "baseline-final"]
    assert raced == ["digits", "digits-dit", "digits-flow", "digits-late", "mnist"]  # tests/test_target_rule.py has their runs


@pytest.mark.parametrize("name", ["cifar10", "imagenet64", "imagenet128"])
def test_curves_of_the_papers_tasks_are_evaluated_at_whole_equal_steps(name: str) -> None:
    steps = set(np.diff(load_task(name).budget.evaluation_steps()))
    assert len(steps) == 1
    assert name == "imagenet64" or steps == {10_000}


@pytest.mark.parametrize("name", task_names())
def test_the_methods_of_a_task_start_on_its_timesteps(name: str) -> None:
    task = load_task(name)
    abar = noise_schedule(task.diffusion.schedule, task.diffusion.timesteps)
    assert define_study(name).methods == task.defaults.methods
    for method in task.defaults.methods:
        composed = Registry().compose(method)
        composed.prepare(NoiseSchedule(abar, task.diffusion.prediction, task.data.sigma_data, task.budget.iterations))
        density = composed.timestep_density(0)
        assert density is None or np.isclose(density.sum(), 1)


def test_adm128_with_4_heads_differs_from_the_packaged_task_in_its_heads_alone() -> None:
    study = define_study(str(STUDIES / "adm128-4heads.toml"))
    changed = {field for field, *_ in differences(load_task("imagenet128").fixed_part(), study.task.fixed_part())}
    assert changed == {"network.heads", "network.head_channels"}
    assert study.methods == ("baseline", "clts+mdlrc")


def test_the_command_lists_every_task_with_its_summary(fidrace: Fidrace) -> None:
    tasks, _, studies = fidrace("tasks").stdout.partition("\n\n")
    names = re.findall(r"(?m)^  (\S+)", tasks)
    assert names == task_names()
    assert all(load_task(name).summary in " ".join(tasks.split()) for name in names)
    assert re.findall(r"(?m)^  (\S+)", studies) == sorted(file.stem for file in STUDIES.glob("*.toml"))
    assert "multipliers = [1, 1, 2, 3, 4]" in fidrace("tasks", "imagenet128").stdout


def test_a_remark_on_a_packaged_task_is_said_of_that_task_alone() -> None:
    assert "early training" in define_study("digits").task.remark
    for changes in ({"budget.iterations": 4000}, {"diffusion.prediction": "v"}):
        assert define_study("digits", changes=changes).task.remark == ""
    assert define_study("digits", changes={"budget.stop": "crossed"}).task.remark  # the same race, and fewer evaluations


def test_a_race_on_a_packaged_task_ends_with_its_remark(fidrace: Fidrace, tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "finished")  # nothing is left to train
    said = fidrace("run", "digits", "-m", "min-snr", "--out", folder).stderr
    assert said.rstrip().endswith(define_study("digits").task.remark)
