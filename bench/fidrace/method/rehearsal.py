"""Rehearsal: run a method without a network, on the losses of an ideal denoiser of Gaussian data.

It lets an adaptive method be shown and checked in a second.
"""

import numpy as np

from fidrace.method.base import Floats, NoiseSchedule
from fidrace.method.composition import Composition


def ideal_loss(schedule: NoiseSchedule) -> Floats:
    """The least possible eps-MSE [T] if x0 ~ N(0, sigma_data^2): Var(eps | x_t) = a S / (a S + 1), a = sigma_data^2."""
    scaled = schedule.sigma_data**2 * schedule.snr
    return scaled / (scaled + 1)


def rehearse(composition: Composition, start: int, stop: int, batch: int = 64) -> None:
    """Let a prepared composition draw and observe iterations `start` to `stop` - 1; does nothing if it is not adaptive."""
    if not composition.adaptive():
        return
    loss = ideal_loss(composition.parts[0].schedule)
    for n in range(start, stop):
        t = composition.timesteps(np.random.default_rng(n).random(batch), n)
        composition.observe(t, loss[t])
