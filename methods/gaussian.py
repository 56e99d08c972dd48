from fidrace.method import Floats, Method, NoiseSchedule, param

from .clts import Clts


class Gaussian(Method, name="gaussian", source="control for clts", evidence="inferred"):
    """clts without its curriculum: p = N(t; mu T, sigma T), renormalised on the grid, from the first step."""

    mu: float = param(Clts.mu, "centre of the Gaussian, in units of T", low=0, high=1)
    sigma: float = param(Clts.sigma, "width of the Gaussian, in units of T", low=0, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        clts = Clts(mu=self.mu, sigma=self.sigma, horizon=0)
        clts.prepare(schedule)
        self.density = clts.timestep_density(1.0)

    def timestep_density(self, progress: float) -> Floats:
        return self.density
