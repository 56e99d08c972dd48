from typing import Literal

import numpy as np

from fidrace.method import Floats, Method, NoiseSchedule, param

from .beta import Beta
from .edm_lognormal import EdmLognormal
from .gaussian import Gaussian
from .laplace import Laplace
from .logit_normal import LogitNormal

Density = Literal["beta", "edm-lognormal", "gaussian", "laplace", "logit-normal"]
DENSITIES: dict[str, type[Method]] = {
    "beta": Beta,
    "edm-lognormal": EdmLognormal,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "logit-normal": LogitNormal,
}


class AsWeight(Method, name="as-weight", source="control", evidence="inferred"):
    """A density's objective without its draws: uniform t, and the weight w = T p, p the density of `of` with its defaults.

    Beside the density itself it separates what is minimised, which both share if the density leaves the weight alone, from how
    noisily.
    """

    of: Density = param("laplace", "whose density")

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.density = _density(self.of, schedule)

    def loss_weight(self, progress: float) -> Floats:
        return self.schedule.T * self.density


class Corrected(Method, name="corrected", source="control", evidence="inferred"):
    """A density's draws without its objective: its p, and the weight w = 1 / (T p), which keeps the baseline's objective."""

    of: Density = param("laplace", "whose density")

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.density = _density(self.of, schedule)

    def timestep_density(self, progress: float) -> Floats:
        return self.density

    def loss_weight(self, progress: float) -> Floats:
        drawn = self.density > 0
        return np.divide(1, self.schedule.T * self.density, out=np.zeros_like(self.density), where=drawn)


def _density(of: str, schedule: NoiseSchedule) -> Floats:
    method = DENSITIES[of]()
    method.prepare(schedule)
    p = method.timestep_density(0.0)
    assert p is not None
    return p
