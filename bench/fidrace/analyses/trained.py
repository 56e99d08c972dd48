"""Trained networks as their runs kept them: the averaged weights at each evaluation of a finished run."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from fidrace.data.base import Data
from fidrace.errors import InputError
from fidrace.execute.study_series import StudySeries
from fidrace.method.registry import load_method
from fidrace.spec.study import RunSpec
from fidrace.storage import checked_tensors
from fidrace.storage.tables import WEIGHTS
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion


@dataclass(frozen=True)
class TrainedRun:
    """A finished run of a series, and its folder."""

    spec: RunSpec
    directory: Path

    @property
    def name(self) -> str:
        """`home/method seed s`."""
        return f"{self.spec.home}/{self.spec.method} seed {self.spec.seed}"

    @property
    def iterations(self) -> tuple[int, ...]:
        """The evaluations at which weights were kept, up to the budget."""
        return self.spec.own_task.budget.evaluation_steps()[:-1]

    def network(self, iteration: int, data: Data, device: torch.device) -> nn.Module:
        """The averaged network at an evaluation, in float32 and evaluation mode; raises InputError if its weights are missing
        or damaged."""
        path = self.directory / WEIGHTS.format(iteration)
        task = self.spec.own_task
        network = build_network(task.network, data.train.shape[1:], self.spec.seed, task.diffusion.learned_sigma)
        try:
            network.load_state_dict(checked_tensors.read(path)[0])
        except (OSError, checked_tensors.Damaged, RuntimeError):
            raise InputError(f"{path}: missing or damaged; remove its folder, and the same command trains it again") from None
        return network.to(device).eval()

    def diffusion(self, data: Data, device: torch.device) -> Diffusion:
        """The process that the network was trained on."""
        schedule, sigma = self.spec.own_task.noise_schedule(), self.spec.own_task.diffusion.learned_sigma
        prediction = load_method(self.spec.method, self.spec.methods_path).prediction(schedule.prediction)
        return Diffusion(schedule.abar, prediction, device, sigma, data.levels)


def finished_runs(series: StudySeries) -> list[TrainedRun]:
    """All finished runs of a series, in its order. Runs that diverged kept no network that could be compared."""
    runs = []
    for home, runner in series.runners.items():
        for spec in runner.study.specs():
            row = runner.directory.row(spec)
            if row and row["status"] == "finished":
                runs.append(TrainedRun(replace(spec, home=home), runner.directory.path / spec.directory))
    return runs
