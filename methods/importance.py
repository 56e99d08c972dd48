from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidrace.method import Floats, Ints, Method, NoiseSchedule, param


class Importance(Method, name="importance", source="improved-diffusion, arXiv 2102.09672", evidence="published"):
    """Importance sampling by the loss's second moment (`loss-second-moment`): the same objective with less gradient noise.

        p = (1 - uniform) q + uniform / T,  q(t) proportional to sqrt(mean of the last `history` squared losses at t)
        w = 1 / (T p)

    p is uniform until every t has been drawn `history` times: a long warm-up if T is large compared with the images seen.
    Published for L_vlb, whose terms differ by orders of magnitude; here it observes the eps-MSE that is trained on.
    """

    history: int = param(10, "losses kept per timestep", low=1, high=1000)
    uniform: float = param(0.001, "the share of p that stays uniform", low=0, high=1, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.losses = np.zeros((schedule.T, self.history))
        self.seen = np.zeros(schedule.T, dtype=np.int64)

    def timestep_density(self, progress: float) -> Floats | None:
        if self.seen.min() < self.history:
            return None
        q = np.sqrt(np.mean(self.losses**2, axis=1))
        return (1 - self.uniform) * q / q.sum() + self.uniform / self.schedule.T

    def loss_weight(self, progress: float) -> Floats | None:
        p = self.timestep_density(progress)
        return None if p is None else 1 / (self.schedule.T * p)

    def observe(self, t: Ints, loss: Floats) -> None:
        for timestep, value in zip(t, loss, strict=True):
            self.losses[timestep, self.seen[timestep] % self.history] = value
            self.seen[timestep] += 1

    def state_dict(self) -> dict[str, NDArray[Any]]:
        return {"losses": self.losses, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.losses, self.seen = state["losses"].copy(), state["seen"].copy()
