from fidrace.method import Floats, Method, param


class SoftMinSnr(Method, name="soft-min-snr", source="HDiT, arXiv 2401.11605; k-diffusion", evidence="published"):
    """Soft Min-SNR weighting: w = gamma / (S + gamma) on the eps-MSE, gamma = 1 / sigma_data^2.

    In k-diffusion's terms the weight on the x0-MSE is 1 / (sigma^2 + sigma_data^2), sigma^2 = 1 / S. Gamma = 5 belongs to
    Min-SNR, not here: images of sigma_data = 0.5 have 4.
    """

    gamma: float = param(0.0, "the signal-to-noise ratio of weight one half; 0: 1 / sigma_data^2 of the task", low=0)

    def loss_weight(self, progress: float) -> Floats:
        gamma = self.gamma or 1 / self.schedule.sigma_data**2
        return gamma / (self.schedule.snr + gamma)
