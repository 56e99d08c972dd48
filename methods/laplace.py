import numpy as np

from fidrace.method import Floats, Method, NoiseSchedule, param


class Laplace(Method, name="laplace", source="arXiv 2407.03297", evidence="reconstructed", claim="eps: FID 10.46 to 9.53"):
    """Noise levels from a Laplace distribution over the log-SNR, carried onto a discrete grid, weight 1 on the eps-MSE.

        p(t) proportional to exp(-|ln S - mu| / b) |d ln S / dt|

    Low timesteps are almost never drawn, so they are hardly trained, and neither is a learned sigma there.
    """

    mu: float = param(0.0, "the log-SNR drawn most")
    b: float = param(0.5, "scale of the distribution", low=0, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.density = schedule.density_over_log_snr(-np.abs(schedule.log_snr - self.mu) / self.b)

    def timestep_density(self, progress: float) -> Floats:
        return self.density
