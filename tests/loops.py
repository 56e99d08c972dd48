"""Loops of somebody else's, for tests of fidrace.torch: how they draw their time, and races in them."""

from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn

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


def adapted(kind, name: str, part: slice = slice(None)) -> dict[str, torch.Tensor]:
    """What a race has learnt from `part` of each of 60 batches, and what it then gives for times of the loop's own law."""
    race, (optimizer, _) = kind(name), optimizer_of()
    for n in range(60):
        t, _ = race(draws(kind, 1000, seed=n)[part])
        with race.step(optimizer, 1 + t.double().flatten()):
            pass
    t, weight = race(draws(kind, 1000, seed=-1))
    return race.state_dict()["state"] | {"t": t, "weight": weight}


ADAPTED = {
    "weight": (discrete, "uncertainty"),
    "time": (path, "importance[history=2]"),
    "curriculum": (path, "difficulty-curriculum[patience=0.1]"),
}


def adapted_by_rank(rank: int, folder: Path) -> None:
    """One of two processes, which has its half of each batch."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    learnt = {case: adapted(*of, slice(500 * rank, 500 * (rank + 1))) for case, of in ADAPTED.items()}
    torch.save(learnt, folder / f"{rank}.pt")
    distributed.destroy_process_group()
