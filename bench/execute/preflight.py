"""What can be known to be wrong before anything is written: data, network sizes, feature weights, methods."""

import numpy as np
import torch

from bench.data.loading import load
from bench.grid import schedule
from bench.quality.features import load_features
from bench.study import Study
from bench.train.loop import build_network
from methods.base import Grid, InputError
from methods.registry import Registry


def check(study: Study) -> None:
    """Raises InputError where a run of this study could not start."""
    task = study.task
    data = load(task.data)
    with torch.device("meta"):
        build_network(task.network, data.train.shape[1:], seed=0)
    load_features(task.quality.features, task.quality.features_sha256, torch.device("cpu"))
    registry = Registry(study.methods_path)
    abar = schedule(task.diffusion.schedule, task.diffusion.timesteps)
    for name in study.methods:
        method = registry.compose(name)
        try:
            with np.errstate(all="ignore"):
                method.prepare(Grid(abar, task.diffusion.prediction, task.data.sigma_data, task.budget.iterations))
                method.timestep_density(0), method.loss_weight(0), method.optimizer(0)
        except (Exception, SystemExit) as error:
            raise InputError(f"method {name!r} cannot start: {type(error).__name__}: {error}") from error
