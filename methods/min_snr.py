import numpy as np

from fidrace.method import Floats, Method, param


class MinSnr(Method, name="min-snr", source="arXiv 2303.09556", evidence="published", claim="3.4x on ImageNet-256"):
    """Min-SNR weighting: w = min(S, gamma) / S on the eps-MSE, which is min(S, gamma) on the x0-MSE."""

    gamma: float = param(5.0, "the signal-to-noise ratio at which the weight starts to fall", low=0, open=True)

    def loss_weight(self, progress: float) -> Floats:
        return np.minimum(1, self.gamma / self.schedule.snr)
