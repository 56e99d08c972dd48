"""What can be known to be wrong before anything is written: data, network sizes, feature weights, methods."""

import sys
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import torch

from bench.cache import sha256_of
from bench.data.base import Data, unit
from bench.data.loading import load
from bench.grid import schedule
from bench.quality.features import load_features
from bench.quality.guards import NEIGHBOURS
from bench.quality.published import published_moments
from bench.study import Study
from bench.task import Task
from bench.train.architectures import check_network
from methods.base import Grid, InputError
from methods.registry import Registry


def resolved(study: Study, data_sha256: str = "") -> Study:
    """The study with the content of its data (unless known already) and reference noted in its fixed part, where the task
    leaves that open. Raises InputError where they are not there."""
    task = study.task
    if not task.data.sha256:
        task = changed(task, "data", sha256=data_sha256 or load(task.data).sha256)
    if task.quality.reference and not task.quality.reference_sha256:
        task = changed(task, "quality", reference_sha256=sha256_of(task.quality.reference))
    return replace(study, task=task)


def changed(task: Task, section: str, **fields: str) -> Task:
    return task.model_copy(update={section: getattr(task, section).model_copy(update=fields)})


def check_labels(task: Task, data: Data) -> None:
    """Raises InputError where the data have other classes than the network has embeddings: samples are drawn of each."""
    found = int(max(data.train_labels.max(), data.heldout_labels.max())) + 1
    if task.network.classes and found != task.network.classes:
        raise InputError(f"network.classes = {task.network.classes}, and the data have {found}")


def check_guards(task: Task, data: Data) -> None:
    """Raises InputError where there are too few images or samples for balls around nearest neighbours."""
    images = min(len(data.train), task.quality.guard_images or len(data.train)) // 2
    if min(task.quality.samples, images) <= NEIGHBOURS:
        raise InputError(
            f"precision and recall take more than {NEIGHBOURS} images: quality.samples = {task.quality.samples}, and {images} "
            "are half of the training images (or of quality.guard_images)"
        )


def check(study: Study) -> None:
    """Raises InputError where a run of this study could not start."""
    task = study.task
    data = load(task.data)
    check_network(task.network, data.train.shape[1:], task.diffusion.learned_sigma)
    check_labels(task, data)
    check_guards(task, data)
    features = load_features(task.quality, torch.device("cpu"))
    features(unit(torch.from_numpy(data.train[:1])))
    if task.quality.reference:
        published_moments(task.quality.reference, task.quality.reference_sha256 or None, features.dimension)
    registry = Registry(study.methods_path)
    abar = schedule(task.diffusion.schedule, task.diffusion.timesteps)
    for name in study.methods:
        method = registry.compose(name)
        try:
            with np.errstate(all="ignore"), redirect_stdout(sys.stderr):
                method.prepare(Grid(abar, task.diffusion.prediction, task.data.sigma_data, task.budget.iterations))
                method.timestep_density(0), method.loss_weight(0), method.optimizer(0)
        except (Exception, SystemExit) as error:
            raise InputError(f"method {name!r} cannot start: {type(error).__name__}: {error}") from error
