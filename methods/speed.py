from typing import Literal

import numpy as np

from fidrace.method import Floats, Ints, Method, NoiseSchedule, inverse_cdf, param


class Speed(Method, name="speed", source="SpeeD, arXiv 2405.17403", evidence="published", claim="3x"):
    """Asymmetric sampling and change-aware weighting.

        p(t) proportional to k for t < tau T, 1 above;  w = d(1 - abar)/dt, scaled linearly to [1 - lam, lam]

    speed[variant=code] is what the authors released (NUS-HPC-AI-Lab/SpeeD at f5650f9), which differs from the paper: the
    second half of each batch mirrors the first, t -> |t* - t|, t* one past the first t at which the increment of
    sqrt(1 - abar) is below 1e-4 (642 on linear-1000), and w = 1 for t >= tau T. k differs between its configurations.
    """

    k: float = param(5.0, "how much more often t < tau T is drawn", low=0, open=True)
    tau: float = param(0.7, "where the converged timesteps begin, in units of T", low=0, high=1)
    lam: float = param(0.6, "the largest weight; the smallest is 1 - lam", low=0.5, high=1)
    variant: Literal["paper", "code"] = param("paper", "as published, or as released")

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        t = np.arange(schedule.T)
        early = t < self.tau * schedule.T
        p = np.where(early, self.k, 1.0)
        self.drawn = self.density = p / p.sum()
        rise: Floats = np.gradient(1 - schedule.abar)
        spread = np.ptp(rise) or 1.0
        self.weight = 1 - self.lam + (2 * self.lam - 1) * (rise - rise.min()) / spread
        if self.variant == "code":
            still = int(np.argmax(np.gradient(np.sqrt(1 - schedule.abar)) < 1e-4))
            self.mirror = np.abs(min(still + 1, schedule.T - 1) - t)
            self.density = (self.drawn + np.bincount(self.mirror, self.drawn, schedule.T)) / 2
            self.weight[~early] = 1

    def timestep_density(self, progress: float) -> Floats:
        return self.density

    def timesteps(self, u: Floats, progress: float) -> Ints:
        if self.variant == "paper":
            return super().timesteps(u, progress)
        half = len(u) // 2
        drawn = inverse_cdf(self.drawn, u[: len(u) - half], self.schedule.T)
        return np.concatenate([drawn, self.mirror[drawn[:half]]])

    def loss_weight(self, progress: float) -> Floats:
        return self.weight
