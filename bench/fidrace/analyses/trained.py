"""Trained networks, as their runs kept them: at each evaluation of a finished run, the averaged weights."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from fidrace.data.base import Data
from fidrace.errors import InputError
from fidrace.execute.study_series import StudySeries
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.study import RunSpec
from fidrace.storage import checked_tensors as sealed
from fidrace.storage.tables import WEIGHTS
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion


@dataclass(frozen=True)
class TrainedRun:
    """A finished run of a series, and where it lies."""

    spec: RunSpec
    directory: Path

    @property
    def name(self) -> str:
        """`home/method seed s`."""
        return f"{self.spec.home}/{self.spec.method} seed {self.spec.seed}"

    @property
    def iterations(self) -> tuple[int, ...]:
        """At which weights were kept, up to the budget."""
        return self.spec.task.budget.evaluation_steps()[:-1]

    def network(self, iteration: int, data: Data, device: torch.device) -> nn.Module:
        """The averaged network at an evaluation, in float32 and in evaluation mode; raises InputError where its weights were
        not kept."""
        path = self.directory / WEIGHTS.format(iteration)
        task = self.spec.task
        network = build_network(task.network, data.train.shape[1:], self.spec.seed, task.diffusion.learned_sigma)
        try:
            network.load_state_dict(sealed.read(path)[0])
        except (OSError, sealed.Damaged, RuntimeError):
            raise InputError(f"{path}: absent or damaged; remove its folder, and the same command trains it anew") from None
        return network.to(device).eval()

    def diffusion(self, data: Data, device: torch.device) -> Diffusion:
        """The process that the network was trained on."""
        config = self.spec.task.diffusion
        abar = noise_schedule(config.schedule, config.timesteps)
        return Diffusion(abar, config.prediction, device, config.learned_sigma, data.levels)


def finished_runs(series: StudySeries) -> list[TrainedRun]:
    """All finished runs of a series, in its order; runs that diverged have no networks to look at."""
    found = []
    for home, race in series.runners.items():
        for spec in race.study.specs():
            row = race.directory.row(spec)
            if row and row["status"] == "finished":
                found.append(TrainedRun(replace(spec, home=home), race.directory.path / spec.directory))
    return found
