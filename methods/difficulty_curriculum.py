from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidrace.method import Floats, Ints, Method, NoiseSchedule, horizon_param, param


class DifficultyCurriculum(Method, name="difficulty-curriculum", source="arXiv 2403.10348", evidence="reconstructed"):
    """Easy to hard: training begins with the noisiest timesteps and adds the next cluster whenever the loss stalls.

        p uniform on [T (1 - i / stages), T); i grows once the loss has not improved for `patience` of the horizon

    The loss of one batch is too noisy to show a stall, so a running mean over `patience` is used; it restarts in every stage.
    Clusters have equal width. The patience is inferred: with a reimplementation's 200 iterations, 20 stages would not end in
    a short run.
    """

    stages: int = param(20, "clusters of timesteps", low=1, high=1000)
    patience: float = param(0.01, "iterations without a better loss that end a stage, by the horizon", low=0, high=1, open=True)
    horizon: int = horizon_param()

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.last = min(self.stages, schedule.T)
        self.wait = max(1, round(self.patience * (self.horizon or schedule.horizon)))
        self.begin(1)

    def begin(self, stage: int) -> None:
        self.stage, self.smooth, self.best, self.stalled = stage, np.nan, np.inf, 0

    def lowest(self, stage: int) -> int:
        """The lowest timestep trained in `stage`."""
        return self.schedule.T * (self.last - stage) // self.last

    def timestep_density(self, progress: float) -> Floats:
        p = np.zeros(self.schedule.T)
        p[self.lowest(self.stage) :] = 1
        return p / p.sum()

    def observe(self, t: Ints, loss: Floats) -> None:
        # Losses come late: a batch without one timestep of the newest cluster may have been drawn before the stage began.
        if self.stage == self.last or t.min() >= self.lowest(self.stage - 1):
            return
        mean = loss.mean()
        self.smooth = mean if np.isnan(self.smooth) else self.smooth + (mean - self.smooth) / self.wait
        if self.smooth < self.best:
            self.best, self.stalled = self.smooth, 0
        else:
            self.stalled += 1
        if self.stalled >= self.wait:
            self.begin(self.stage + 1)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        return {"pace": np.array([self.stage, self.smooth, self.best, self.stalled])}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        stage, self.smooth, self.best, stalled = map(float, state["pace"])
        self.stage, self.stalled = int(stage), int(stalled)
