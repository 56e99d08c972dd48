"""Checks before a study starts, so that wrong input is refused before anything is written or trained."""

import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fidrace.data.base import Data, select_images
from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.evaluate.extrapolation import FEWEST
from fidrace.evaluate.features import load_features
from fidrace.evaluate.guards import NEIGHBOURS
from fidrace.evaluate.reference_file import read_reference_file
from fidrace.execute.kept_weights import most_kept
from fidrace.method.registry import Registry
from fidrace.spec.measurement import QualityConfig
from fidrace.spec.study import Study
from fidrace.spec.task import Task
from fidrace.storage.cache import sha256_of
from fidrace.train.architectures import build_network, check_network
from fidrace.train.examples import check_fit
from fidrace.train.optimizers import build_optimizer
from fidrace.train.taps import module_at

MIB = 2**20


def resolve_content(study: Study, data_sha256: str = "") -> Study:
    """The study with the SHA-256 of its data and reference in its fixed part, if the task leaves them open. A known
    `data_sha256` saves reading the data. Raises InputError if data or reference are missing."""
    task = study.own_task
    if not task.data.sha256:
        task = with_fields(task, "data", sha256=data_sha256 or load_data(task.data).sha256)
    if task.quality.reference and not task.quality.reference_sha256:
        task = with_fields(task, "quality", reference_sha256=sha256_of(task.quality.reference))
    return replace(study, task=task)


def with_fields(task: Task, section: str, **fields: str) -> Task:
    return task.model_copy(update={section: getattr(task, section).model_copy(update=fields)})


def check_labels(task: Task, data: Data) -> None:
    """Raise InputError if the number of classes differs between data and network: samples are drawn from every class."""
    classes = int(max(data.train_labels.max(), data.heldout_labels.max())) + 1
    if task.network.classes and classes != task.network.classes:
        raise InputError(f"network.classes = {task.network.classes}, and the data have {classes}")


def check_guards(task: Task, data: Data) -> None:
    """Raise InputError if there are too few images or samples for the nearest neighbours of precision and recall."""
    images = min(len(data.train), task.quality.guard_images or len(data.train)) // 2
    if min(task.quality.samples, images) <= NEIGHBOURS:
        raise InputError(
            f"precision and recall take more than {NEIGHBOURS} images: quality.samples = {task.quality.samples}, and {images} "
            f"are half of the training images (or of quality.guard_images); {task.data.heldout} are held out"
        )


def check_samples(quality: QualityConfig, dimension: int) -> None:
    """Raise InputError if there are too few samples to extrapolate the distance."""
    fewest = FEWEST * dimension
    for name in ("samples", "final_samples"):
        count = getattr(quality, name)
        if quality.extrapolate and count is not None and count < fewest:
            raise InputError(
                f"quality.{name} = {count} is too few to extrapolate the distance: {FEWEST} times the {dimension} dimensions "
                f"of the features are {fewest}"
            )


def check_images(task: Task, data: Data) -> None:
    """Raise InputError if all training images are equal: they have no covariance, and nothing could be learnt from them."""
    first = data.train[0]
    if all(np.array_equal(first, image) for image in data.train):  # ends at the first that differs
        where = f" in {task.data.root}" if task.data.root else ""
        raise InputError(f"all {len(data.train)} training images{where} are the same picture: name a folder of different ones")


def check_startable(study: Study) -> None:
    """Raise InputError if a run of this study could not start."""
    task = study.own_task
    data = load_data(task.data)
    check_network(task.network, data.train.shape[1:], task.diffusion.learned_sigma)
    check_labels(task, data)
    check_guards(task, data)
    check_images(task, data)
    features = load_features(task.quality, torch.device("cpu"))
    features(select_images(data.train, np.arange(1)))
    check_samples(task.quality, features.dimension)
    if task.quality.reference:
        read_reference_file(task.quality.reference, task.quality.reference_sha256 or None, features.dimension)
    check_methods(study)


def check_space(study: Study, folder: Path, runs: int) -> None:
    """Raise InputError if the disk of `folder` lacks the space for the weights that `runs` searched runs keep at a time."""
    task = study.own_task
    if not task.budget.search:
        return
    with torch.device("meta"):
        network = build_network(task.network, task.data.shape, 0, task.diffusion.learned_sigma)
    files = runs * most_kept(task.budget.search_step)
    needed = files * sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(
            f"budget.search keeps up to {files} files of averaged weights in {folder}: {needed / MIB:,.0f} MiB are needed and "
            f"{free / MIB:,.0f} MiB are free; omit it, or choose another --out"
        )


def check_methods(study: Study) -> None:
    """Raise InputError if a method of this study cannot prepare for the task's timesteps, or fails at iteration 0."""
    task, registry = study.own_task, Registry(study.methods_path)
    with torch.device("meta"):
        network = build_network(task.network, task.data.shape, 0, task.diffusion.learned_sigma)
    for name in study.methods:
        method = registry.compose(name)
        check_fit(task.with_settings(method.settings()), method)
        try:
            with np.errstate(all="ignore"), redirect_stdout(sys.stderr):
                method.prepare(task.noise_schedule())
                method.timestep_density(0), method.loss_weight(0), method.optimizer(0), method.decay(1), method.feedback(1)
                if "algorithm" in method.claims:  # torch takes two seconds to make its first AdamW
                    build_optimizer(task.optimizer, method, network, fused=False)
                for place in method.auxiliary.taps:
                    module_at(network, place, method.auxiliary)
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"method {name!r} cannot start: {type(error).__name__}: {error}") from error
