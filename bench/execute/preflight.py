"""What can be known to be wrong with a task before anything is written: data, network sizes, feature weights."""

import torch

from bench.quality.features import load_features
from bench.task import Task
from bench.train.data import load
from bench.train.loop import build_network


def check(task: Task) -> None:
    """Raises InputError where a run of this task could not start."""
    data = load(task.data.kind, task.data.sha256)
    with torch.device("meta"):
        build_network(task.network, data.train.shape[1:], seed=0)
    load_features(task.quality.features, task.quality.features_sha256, torch.device("cpu"))
