from typing import Literal

import numpy as np

from fidrace.method import Floats, Method, NoiseSchedule, param


class LogitNormal(Method, name="logit-normal", source="SD3, arXiv 2403.03206", evidence="reconstructed"):
    """Logit-normal sampling of rectified flow, carried onto a grid of diffusion timesteps.

        flow time s = sigma / (1 + sigma), sigma^2 = 1 / S, logit s = ln sigma ~ N(mean, std^2):
        p(t) proportional to N(-ln S / 2; mean, std^2) |d ln S / dt|
        w = (1 + sigma)^2 on the eps-MSE: unit weight on the flow's velocity, whose error is 1 + sigma times that of eps;
        S not below `floor` in it

    logit-normal[weight=eps] keeps the weight 1 on the eps-MSE, and so composes with methods that set a weight.
    """

    mean: float = param(0.0, "mean of ln sigma")
    std: float = param(1.0, "standard deviation of ln sigma", low=0, open=True)
    weight: Literal["flow", "eps"] = param("flow", "whose error has unit weight")
    floor: float = param(1e-3, "S is taken to be at least this in the weight", low=0, open=True)

    def prepare(self, schedule: NoiseSchedule) -> None:
        super().prepare(schedule)
        self.density = schedule.density_over_log_snr(-(((-schedule.log_snr / 2 - self.mean) / self.std) ** 2) / 2)

    def timestep_density(self, progress: float) -> Floats:
        return self.density

    def loss_weight(self, progress: float) -> Floats | None:
        return (1 + np.maximum(self.schedule.snr, self.floor) ** -0.5) ** 2 if self.weight == "flow" else None

    def aspects(self) -> tuple[str, ...]:
        return tuple(aspect for aspect in super().aspects() if aspect != "weight" or self.weight == "flow")
