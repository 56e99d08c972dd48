"""What a method says of a foreign process, bin by bin: on the process's own bins, or carried from the chain it was said on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats, Ints, Method, NoiseSchedule, distribution, inverse_cdf
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.registry import load_method
from fidrace.torch.processes import Bins, Chain, Process

COMPARED = ("linear-1000", "cosine-1000")  # two chains whose timesteps mean different noise levels
LEVELS = np.linspace(-9, 9, 181)  # ln S that both have
HORIZON = 1000
TOLERANCE = 0.05  # of a density or weight, between the two chains: their steps differ, and so do what they cut off
Paths = Sequence[str | Path]


class Law:
    """The answers of a composition as arrays over bins of a process, each part on the bins that suit it: one that adapts on
    bins that the loop's own law makes equally probable, one that is said over the index of a chain on that chain, `reference`,
    and the others on bins of the noise level."""

    def __init__(
        self, method: Composition, process: Process, horizon: int, sigma_data: float, reference: str | None, carried: set[str]
    ):
        self.method, self.process = method, process
        self.reference = Chain(parse_noise_schedule(reference)) if reference and carried else None
        self.carried = [part for part in method.parts if str(part) in carried]
        with np.errstate(over="ignore", under="ignore"):
            method.prepare(NoiseSchedule(process.bins.abar, "eps", sigma_data, horizon))
            for part in method.parts:
                part.prepare(NoiseSchedule(self.seen_by(part).abar, "eps", sigma_data, horizon))

    def seen_by(self, part: Method) -> Bins:
        """The bins that `part` answers on."""
        if part in self.carried and self.reference:
            return self.reference.bins
        return self.process.own_bins if part.overrides("observe") else self.process.bins

    @property
    def time_bins(self) -> Bins:
        """The bins of `density`: the loop's own if no part, or one that adapts, says which times are drawn."""
        part = self.method.claims.get("timesteps")
        return self.process.own_bins if part is None or part.overrides("observe") else self.process.bins

    @property
    def weight_bins(self) -> Bins:
        part = self.method.claims.get("weight")
        return self.process.bins if part is None or part in self.carried else self.seen_by(part)

    def cdf(self, n: int) -> Floats:
        """The distribution function [T+1] over the edges of `time_bins` at step n."""
        p = self.density(n)
        return np.concatenate([[0.0], distribution(p, len(p))])

    def density(self, n: int) -> Floats:
        part, T = self.method.claims.get("timesteps"), len(self.time_bins.log_sigma)
        p = None if part is None else self.method.timestep_density(n)
        if part is None or part not in self.carried or self.reference is None:
            return np.full(T, 1 / T) if p is None else p
        cdf = np.concatenate([[0.0], np.cumsum(np.full(self.reference.T, 1 / self.reference.T) if p is None else p)])
        mass = np.diff(np.interp(self.time_bins.log_sigma_edges, self.reference.bins.log_sigma_edges, cdf))
        if not mass.sum() > 0:
            raise InputError(f"method {str(part)!r} draws no noise level that this process has")
        return mass / mass.sum()

    def weight(self, n: int) -> Floats:
        """w [T] at the middles of `weight_bins`; beyond the reference's levels that of its ends."""
        part, w = self.method.claims["weight"], self.method.loss_weight(n)
        if w is None:
            return np.ones(len(self.weight_bins.log_sigma))
        if part in self.carried and self.reference:
            return np.interp(self.weight_bins.log_sigma, self.reference.bins.log_sigma, w)
        return w

    def observe(self, bins: Ints, loss: Floats) -> None:
        """Tell the parts that adapt of losses in bins of the loop's own law."""
        for part in self.method.parts:
            part.observe(bins, loss)


def draws_itself(name: str, methods_path: Paths = ()) -> bool:
    """Whether a method turns uniforms into timesteps by code of its own, and not by its density."""
    method = load_method(name, methods_path)
    part = method.claims.get("timesteps")
    if part is None or not part.overrides("timesteps"):
        return False
    part.prepare(NoiseSchedule(parse_noise_schedule(COMPARED[0]), horizon=1000))
    u = np.linspace(0, 1, 1001)[:-1]
    return not np.array_equal(part.timesteps(u, 0.5), inverse_cdf(part.timestep_density(0.5), u, part.schedule.T))


def said_over_index(name: str, methods_path: Paths = ()) -> bool:
    """Whether a method's density or weight is a function of the index t and not of the noise level: found by asking it on two
    chains, all through training, at noise levels that both have."""
    asked = [load_method(name, methods_path), load_method(name, methods_path)]
    schedules = [NoiseSchedule(parse_noise_schedule(chain), horizon=HORIZON) for chain in COMPARED]
    with np.errstate(all="ignore"):
        for method, schedule in zip(asked, schedules, strict=True):
            method.prepare(schedule)
        return any(differ(*map(at_levels, asked, schedules, [n, n])) for n in range(0, HORIZON + 1, HORIZON // 10))


def at_levels(method: Composition, schedule: NoiseSchedule, n: int) -> dict[str, Floats]:
    """A method's density and weight over LEVELS of ln S at step n."""
    found = {}
    p, w = method.timestep_density(n), method.loss_weight(n)
    if p is not None:
        density = np.interp(LEVELS, schedule.log_snr[::-1], (p / np.abs(np.gradient(schedule.log_snr)))[::-1])
        found["p"] = density / max(density.mean(), 1e-300)  # up to a constant: the chains cut off other parts of it
    if w is not None:
        found["w"] = np.interp(LEVELS, schedule.log_snr[::-1], w[::-1])
    return found


def differ(one: dict[str, Floats], other: dict[str, Floats]) -> bool:
    near = {key: np.allclose(one[key], other[key], rtol=TOLERANCE, atol=TOLERANCE * one[key].mean()) for key in one}
    return not all(near.values())
