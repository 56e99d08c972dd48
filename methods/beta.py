import numpy as np

from fidrace.method import Floats, Method, NoiseSchedule, param


class Beta(Method, name="beta", source="B-TTDM, ECCV 2024", evidence="reconstructed"):
    """Timesteps from a Beta(alpha, 1) distribution: t = floor(T u^(1/alpha)), so p(t) = ((t+1)/T)^alpha - (t/T)^alpha."""

    alpha: float = param(0.8, "below 1: more of the low timesteps", low=0, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.density = np.diff((np.arange(schedule.T + 1) / schedule.T) ** self.alpha)

    def timestep_density(self, progress: float) -> Floats:
        return self.density
