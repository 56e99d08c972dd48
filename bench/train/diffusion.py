"""The Gaussian diffusion process on a discrete grid: noising, the loss, and what a prediction says of x0 and eps.

x0[B, C, H, W] data in [-1, 1], eps the same shape, t[B] timesteps, abar[T]; x_t = sqrt(abar) x0 + sqrt(1 - abar) eps.
"""

import numpy as np
import torch
from torch import Tensor, nn

from methods.base import Floats, Prediction


class Diffusion:
    """The forward process with schedule abar[T], and the network's output read as eps, x0 or v."""

    def __init__(self, abar: Floats, prediction: Prediction, device: torch.device | str = "cpu"):
        self.abar, self.prediction = abar, prediction
        self.signal = torch.tensor(np.sqrt(abar), dtype=torch.float32, device=device)
        self.noise = torch.tensor(np.sqrt(1 - abar), dtype=torch.float32, device=device)
        # A weight w on the eps-MSE is w S on the x0-MSE and w S / (S + 1) on the v-MSE, S the signal-to-noise ratio.
        snr = abar / (1 - abar)
        per_eps = {"eps": np.ones_like(snr), "x0": snr, "v": snr / (snr + 1)}[prediction]
        self.to_eps_mse = torch.tensor(per_eps, dtype=torch.float32, device=device)

    def noised(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return self._at(self.signal, t) * x0 + self._at(self.noise, t) * eps

    def eps_mse(self, network: nn.Module, x0: Tensor, eps: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The eps-MSE [B] of the network's prediction, whatever it predicts; differentiable."""
        output = network(self.noised(x0, eps, t), self.scaled(t), labels)
        target = {"eps": eps, "x0": x0}.get(self.prediction)
        if target is None:  # v = sqrt(abar) eps - sqrt(1 - abar) x0, arXiv 2202.00512
            target = self._at(self.signal, t) * eps - self._at(self.noise, t) * x0
        return self.to_eps_mse[t] * (output - target).square().flatten(1).mean(1)

    def x0_and_eps(self, x: Tensor, output: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """What the network's output at x = x_t says of x0, clipped to [-1, 1], and the eps that fits the clipped x0."""
        a, s = float(np.sqrt(self.abar[t])), float(np.sqrt(1 - self.abar[t]))
        x0 = {"eps": lambda: (x - s * output) / a, "x0": lambda: output, "v": lambda: a * x - s * output}
        clipped = x0[self.prediction]().clamp(-1, 1)
        return clipped, (x - a * clipped) / s

    def scaled(self, t: Tensor) -> Tensor:
        """t as the network takes it: 1000 t / T (improved-diffusion's rescale_timesteps)."""
        return t * (1000 / len(self.abar))

    @staticmethod
    def _at(values: Tensor, t: Tensor) -> Tensor:
        return values[t][:, None, None, None]
