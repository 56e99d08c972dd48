import numpy as np

from fidrace.method import Floats, Method, NoiseSchedule, param


class EdmLognormal(Method, name="edm-lognormal", source="EDM, arXiv 2206.00364", evidence="reconstructed"):
    """EDM's noise levels and weight, carried onto a discrete grid.

        ln sigma ~ N(mean, std^2), sigma^2 = 1 / S:  p(t) proportional to N(-ln S / 2; mean, std^2) |d ln S / dt|
        w = 1 + 1 / (sigma_data^2 S) on the eps-MSE, which is EDM's (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 on the
        x0-MSE; S not below `floor` in it

    The published density is over continuous sigma. The Jacobian carries it onto the grid; without it the density would depend
    on the noise schedule. Noise levels outside the grid are cut off.
    """

    mean: float = param(-1.2, "mean of ln sigma (EDM's P_mean)")
    std: float = param(1.2, "standard deviation of ln sigma (EDM's P_std)", low=0, open=True)
    floor: float = param(1e-3, "S is taken to be at least this in the weight", low=0, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.density = schedule.density_over_log_snr(-(((-schedule.log_snr / 2 - self.mean) / self.std) ** 2) / 2)
        self.weight = 1 + 1 / (schedule.sigma_data**2 * np.maximum(schedule.snr, self.floor))

    def timestep_density(self, progress: float) -> Floats:
        return self.density

    def loss_weight(self, progress: float) -> Floats:
        return self.weight
