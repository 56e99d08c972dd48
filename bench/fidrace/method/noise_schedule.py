"""Noise schedules as numpy arrays abar[T], shared by methods and the diffusion process."""

import numpy as np

from fidrace.errors import InputError, nearest
from fidrace.method.base import Floats


def linear_abar(T: int) -> Floats:
    """abar[T] of the linear schedule: beta from 1e-4 to 0.02 at T = 1000, scaled by 1000 / T (improved-diffusion)."""
    scale = 1000 / T
    return np.cumprod(1 - np.linspace(scale * 1e-4, scale * 0.02, T), dtype=np.float64)


def cosine_abar(T: int, s: float = 0.008, max_beta: float = 0.999) -> Floats:
    """abar[T] of the cosine schedule (arXiv 2102.09672, eq. 17), each beta clipped at `max_beta` as released."""
    f = np.cos((np.arange(T + 1, dtype=np.float64) / T + s) / (1 + s) * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], max_beta), dtype=np.float64)


def flow_abar(T: int) -> Floats:
    """abar[T] with the signal-to-noise ratios of the linear path (1 - s) x0 + s eps of flow matching (arXiv 2210.02747,
    2209.03003), at the flow times s = (t + 1/2) / T: the middles of T equal parts, so that none is 0 or 1."""
    s = (np.arange(T, dtype=np.float64) + 0.5) / T
    return (1 - s) ** 2 / ((1 - s) ** 2 + s**2)


MAX_T = 1_000_000
SCHEDULES = {"linear": linear_abar, "cosine": cosine_abar, "flow": flow_abar}


def noise_schedule(name: str, T: int) -> Floats:
    """abar[T] of the schedule `name`; raises InputError if the name is unknown or T is out of range."""
    if name not in SCHEDULES:
        raise InputError(f"unknown noise schedule {name!r}{nearest(name, SCHEDULES)}")
    if not 2 <= T <= MAX_T:
        raise InputError(f"a noise schedule has 2 to {MAX_T} timesteps, not {T}")
    abar = SCHEDULES[name](T)
    if not ((abar > 0) & (abar < 1)).all():
        raise InputError(f"the {name} schedule with {T} timesteps has a beta above 1: choose more timesteps")
    return abar


def parse_noise_schedule(text: str) -> Floats:
    """abar[T] of a schedule written as `linear-1000` or `cosine-4000`; raises InputError if it cannot be read."""
    name, _, T = text.partition("-")
    if not T.isdecimal():
        raise InputError(f"grid {text!r} is not NAME-T, for instance linear-1000 or cosine-4000")
    return noise_schedule(name, int(T))
