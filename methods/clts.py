import numpy as np

from fidrace.method import Floats, Method, NoiseSchedule, horizon_param, param


class Clts(Method, name="clts", source="arXiv 2404.07946", evidence="reconstructed"):
    """Curriculum timestep schedule: from uniform to a Gaussian over timesteps, away from the easy t -> T.

        p_n(t) = (1 - gamma_n) / T + gamma_n N(t; mu T, sigma T), N renormalised on the grid, gamma_n = progress

    No code or full text is public. mu = 0.3 was the best in the paper's ablation, according to a review; the linear gamma is
    a third party's reading; sigma is unpublished and 0.5 is our inference, so treat it as a family: clts[sigma=0.3].
    Densities are mixed, not samples: gamma never exceeds 1, and p is never negative.
    """

    mu: float = param(0.3, "centre of the Gaussian, in units of T", low=0, high=1)
    sigma: float = param(0.5, "width of the Gaussian, in units of T", low=0, open=True)
    horizon: int = horizon_param()

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        z = (np.arange(schedule.T) / schedule.T - self.mu) / self.sigma
        bell = np.exp(-(z**2 - (z**2).min()) / 2)  # shifted, so that a narrow bell between two t is not all zeros
        self.gaussian = bell / bell.sum()

    def timestep_density(self, progress: float) -> Floats:
        return (1 - progress) / self.schedule.T + progress * self.gaussian
