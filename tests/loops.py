"""Loops of somebody else's, for tests of fidrace.torch: how they draw their time, and races in them."""

import numpy as np
import torch
from torch import nn

import fidrace.torch as fr
from fidrace.method.noise_schedule import cosine_abar

ABAR = torch.from_numpy(cosine_abar(1000))
SIGMA = np.sqrt((1 - cosine_abar(1000)) / cosine_abar(1000))
DRAWS = 100_000
KS = 1.63 / DRAWS**0.5  # the 1 % point of the Kolmogorov-Smirnov statistic


def discrete(name: str, horizon: int = 100, trained: str = "eps", **more) -> fr.Race:
    return fr.discrete(name, ABAR, horizon=horizon, trained=trained, **more)


def lognormal(name: str, horizon: int = 100, trained: str = "x0", **more) -> fr.Race:
    return fr.lognormal(name, horizon=horizon, trained=trained, **more)


def path(name: str, horizon: int = 100, trained: str = "flow", **more) -> fr.Race:
    return fr.path(name, horizon=horizon, trained=trained, **more)


def draws(kind, count: int = DRAWS, seed: int = 0) -> torch.Tensor:
    """Times as the loop itself would draw them."""
    generator = torch.Generator().manual_seed(seed)
    if kind is discrete:
        return torch.randint(0, 1000, (count,), generator=generator)
    if kind is lognormal:
        return (torch.randn(count, 1, 1, 1, generator=generator) * 1.2 - 1.2).exp()
    return torch.rand(count, generator=generator)


def at(race: fr.Race, n: int) -> fr.Race:
    """The race after `n` steps, for methods that have no state."""
    race.load_state_dict(race.state_dict() | {"n": n})
    return race


def log_sigma(kind, t: torch.Tensor) -> np.ndarray:
    if kind is discrete:
        return np.log(SIGMA)[t.numpy()]
    t = t.double().flatten().numpy()
    return np.log(t) if kind is lognormal else np.log(t / (1 - t))


def optimizer_of(kind=torch.optim.AdamW, **more):
    weight = nn.Parameter(torch.ones(3))
    return kind([weight], lr=1e-3, **more), weight
