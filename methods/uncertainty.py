from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidrace.method import Floats, Ints, Method, NoiseSchedule, param


class Uncertainty(Method, name="uncertainty", source="EDM2, arXiv 2312.02696", evidence="reconstructed"):
    """Every timestep's weighted loss has the same size: w = 1 / (mean loss at t), normalised to mean 1 over t.

    EDM2 learns ln(mean loss) as a small network u of the noise level, by the loss L exp(-u) + u, whose optimum this is.
    Here a running mean in `bins` bins of t replaces the network. It starts at 1, the loss of a prediction of 0.
    """

    bins: int = param(20, "bins of timesteps that share one mean", low=1, high=10_000)
    memory: int = param(100, "losses that a bin's running mean remembers", low=1)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        bins = min(self.bins, schedule.T)
        self.bin = np.arange(schedule.T) * bins // schedule.T
        self.mean = np.ones(bins)

    def loss_weight(self, progress: float) -> Floats:
        w = 1 / self.mean[self.bin]
        return w / w.mean()

    def observe(self, t: Ints, loss: Floats) -> None:
        count = np.bincount(self.bin[t], minlength=len(self.mean))
        total = np.bincount(self.bin[t], loss, len(self.mean))
        keep = (1 - 1 / self.memory) ** count
        self.mean = keep * self.mean + (1 - keep) * total / np.maximum(count, 1)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.mean = state["mean"].copy()
