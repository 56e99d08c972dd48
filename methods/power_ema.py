import numpy as np

from fidrace.method import Method, NoiseSchedule, param


class PowerEma(Method, name="power-ema", source="EDM2, arXiv 2312.02696", evidence="published"):
    """The average whose memory grows with training: decay_n = (1 - 1/n)^(gamma + 1), which weights step i as i^gamma.

    sigma is the profile's width relative to training so far: gamma is the largest root of
    sigma^2 = (gamma + 1) (gamma + 2)^-2 (gamma + 3)^-1 (eq. 123 there). EDM2 publishes 0.05 and 0.1.
    """

    sigma: float = param(0.1, "the average's width, as a share of training so far", low=0, high=0.28, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        least = self.sigma**-2
        self.gamma = float(np.roots([1, 7, 16 - least, 12 - least]).real.max())

    def decay(self, n: int) -> float:
        return float((1 - 1 / n) ** (self.gamma + 1))
