import numpy as np

from methods.base import Floats, Grid, Method, param


class Beta(Method, name="beta", source="B-TTDM, ECCV 2024", evidence="reconstructed"):
    """Timesteps from a Beta(alpha, 1) distribution: t = floor(T u^(1/alpha)), so p(t) = ((t+1)/T)^alpha - (t/T)^alpha."""

    alpha: float = param(0.8, "below 1: more of the low timesteps", low=0, open=True)

    def prepare(self, grid: Grid) -> None:
        super().prepare(grid)
        self.density = np.diff((np.arange(grid.T + 1) / grid.T) ** self.alpha)

    def timestep_density(self, progress: float) -> Floats:
        return self.density
