"""The Gaussian diffusion process on a discrete grid: noising, losses, and x0 and eps from a prediction.

x0[B, C, H, W] data in [-1, 1], eps the same shape, t[B] timesteps, abar[T]; x_t = sqrt(abar) x0 + sqrt(1 - abar) eps, or
(1 - s) x0 + s eps of a flow, which is the same divided by a number: both have the same signal-to-noise ratio.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fidrace.method.base import Floats, Prediction
from fidrace.train.variational_bound import Bound

Network = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # x[B, C, H, W], t[B] scaled, labels[B] -> output


@dataclass(frozen=True)
class Examples:
    """x0[b, C, H, W], eps of its shape, t[b] and labels[b] of this rank. `shown` is the noise that x_t is made with, and
    `wanted` the x0 and eps of the network's target; None: x0 and eps themselves."""

    x0: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor | None
    shown: Tensor | None = None
    wanted: tuple[Tensor, Tensor] | None = None

    def __getitem__(self, part: slice) -> "Examples":
        labels = None if self.labels is None else self.labels[part]
        shown = None if self.shown is None else self.shown[part]
        wanted = None if self.wanted is None else (self.wanted[0][part], self.wanted[1][part])
        return Examples(self.x0[part], self.eps[part], self.t[part], labels, shown, wanted)


@dataclass(frozen=True)
class Losses:
    """Of a batch: the eps-MSE mse[B] of the network's prediction; the objective[B] that is minimised, as eps-MSE too; the bound
    bits[B] if the variance is learned; the prediction [B, C, H, W] and its target."""

    mse: Tensor
    objective: Tensor
    bits: Tensor | None
    prediction: Tensor
    target: Tensor


class Diffusion:
    """The forward process with schedule abar[T] for a network whose output is eps, x0, v or a flow's velocity.

    With `learned_sigma` the output has 2C channels, the second C for the reverse process's variance. `levels`: the number of
    values a pixel of the data can take, which the bound at t = 0 needs.
    """

    def __init__(
        self,
        abar: Floats,
        prediction: Prediction,
        device: torch.device | str = "cpu",
        learned_sigma: bool = False,
        levels: int = 256,
    ):
        self.abar, self.prediction, self.learned_sigma = abar, prediction, learned_sigma
        scale = np.sqrt(abar) + np.sqrt(1 - abar) if prediction == "flow" else np.ones_like(abar)
        signal, noise = np.sqrt(abar) / scale, np.sqrt(1 - abar) / scale
        self.signal = torch.tensor(signal, dtype=torch.float32, device=device)[:, None, None, None]  # [T, 1, 1, 1]
        self.noise = torch.tensor(noise, dtype=torch.float32, device=device)[:, None, None, None]
        # A weight w on the eps-MSE is w S on the x0-MSE and w S / (S + 1) on the v-MSE, S the signal-to-noise ratio, and
        # w (1 - s)^2 on the velocity's.
        snr = abar / (1 - abar)
        per_eps = {"eps": np.ones_like(snr), "x0": snr, "v": snr / (snr + 1), "flow": signal**2}[prediction]
        self.to_eps_mse = torch.tensor(per_eps, dtype=torch.float32, device=device)
        # An error in the prediction, times this, is the error in x0.
        per_x0 = {"eps": -noise / signal, "x0": np.ones_like(snr), "v": -noise, "flow": -noise}[prediction]
        self.to_x0_error = torch.tensor(per_x0, dtype=torch.float32, device=device)[:, None, None, None]
        self.bound = Bound(abar, levels, device) if learned_sigma else None

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return self.signal[t] * x0 + self.noise[t] * eps

    def split_output(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """The prediction and the variance's channels (None without learned_sigma) of a network's output, as float32."""
        if not self.learned_sigma:
            return output.float(), None
        prediction, spread = output.float().chunk(2, dim=1)
        return prediction, spread

    def eps_mse(self, network: Network, x0: Tensor, eps: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The eps-MSE [B] of the network's prediction, converted from x0 or v if it predicts these; differentiable."""
        prediction, _ = self.split_output(network(self.add_noise(x0, eps, t), self.network_timestep(t), labels))
        return self._mse(prediction - self._target(x0, eps, t), t)

    def losses(self, network: Network, examples: Examples) -> Losses:
        """The losses [B] of examples, and if the variance is learned its share [B] of L_hybrid (arXiv 2102.09672, eq. 16).

        L_hybrid = L_simple + 0.001 L_vlb, and L_vlb is the sum of T terms, T times their mean, so a term counts T / 1000.
        The bound treats the prediction as a constant, so it trains the variance alone. Its x0 is not clipped.
        """
        x0, eps, t = examples.x0, examples.eps, examples.t
        x_t = self.add_noise(x0, eps if examples.shown is None else examples.shown, t)
        prediction, spread = self.split_output(network(x_t, self.network_timestep(t), examples.labels))
        target = self._target(x0, eps, t)
        error, bits = prediction - target, None
        mse = objective = self._mse(error, t)
        if examples.wanted is not None:
            target = self._target(*examples.wanted, t)
            objective = self._mse(prediction - target, t)
        if self.bound is not None:
            assert spread is not None
            bits = self.bound.bits(x0, self.to_x0_error[t] * error.detach(), spread, t) * (len(self.abar) / 1000)
        return Losses(mse, objective, bits, prediction, target)

    def x0_and_eps(self, x: Tensor, prediction: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """x0 by the prediction at x = x_t, clipped to [-1, 1], and the eps that is consistent with the clipped x0; not of a
        flow."""
        a, s = float(np.sqrt(self.abar[t])), float(np.sqrt(1 - self.abar[t]))
        x0 = {"eps": lambda: (x - s * prediction) / a, "x0": lambda: prediction, "v": lambda: a * x - s * prediction}
        clipped = x0[self.prediction]().clamp(-1, 1)
        return clipped, (x - a * clipped) / s

    def network_timestep(self, t: Tensor) -> Tensor:
        """t scaled for the network: 1000 t / T (improved-diffusion's rescale_timesteps)."""
        return t * (1000 / len(self.abar))

    def _target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        if self.prediction == "flow":
            return eps - x0
        if self.prediction == "v":  # v = sqrt(abar) eps - sqrt(1 - abar) x0, arXiv 2202.00512
            return self.signal[t] * eps - self.noise[t] * x0
        return eps if self.prediction == "eps" else x0

    def _mse(self, error: Tensor, t: Tensor) -> Tensor:
        return self.to_eps_mse[t] * error.square().flatten(1).mean(1)
