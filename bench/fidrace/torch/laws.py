"""What a method says of a foreign process, bin by bin: on the process's own bins, or carried from the chain it was said on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats, Ints, NoiseSchedule, distribution, inverse_cdf
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.registry import load_method
from fidrace.torch.losses import Trained
from fidrace.torch.processes import Chain, Process

COMPARED = ("linear-1000", "cosine-1000")  # two chains whose timesteps mean different noise levels
LEVELS = np.linspace(-5, 5, 101)  # ln S that both have
Paths = Sequence[str | Path]
TOLERANCE = 0.05  # of a density or weight, between the two chains: their steps differ, and so do what they cut off


class Law:
    """The answers of `method` as arrays over the bins of `process`."""

    def __init__(self, method: Composition, process: Process, horizon: int, trained: Trained, sigma_data: float):
        self.method, self.process = method, process
        prediction = "eps" if trained == "F" else trained
        self.prepare(NoiseSchedule(self.chain(), prediction, sigma_data, horizon))

    def chain(self) -> Floats:
        return self.process.abar

    def prepare(self, schedule: NoiseSchedule) -> None:
        with np.errstate(over="ignore", under="ignore"):
            self.method.prepare(schedule)

    def cdf(self, n: int) -> Floats:
        """The distribution function [T+1] over the bins' edges at step n."""
        p = self.density(n)
        return np.concatenate([[0.0], distribution(p, len(p))])

    def density(self, n: int) -> Floats:
        if "timesteps" not in self.method.claims:
            return self.process.own_density()
        p = self.method.timestep_density(n)
        T = len(self.process.log_sigma)
        return np.full(T, 1 / T) if p is None else p

    def weight(self, n: int) -> Floats:
        """w [T] on the eps-MSE at the middles of the bins."""
        w = self.method.loss_weight(n)
        return np.ones(len(self.process.log_sigma)) if w is None else w

    def observed(self, bins: Ints, log_sigma: Floats) -> Ints:
        """The timesteps that the method is told of, from an example's bin or noise level."""
        return bins


class CarriedLaw(Law):
    """The same for a method that is said in terms of the index t: prepared on `reference` (NAME-T), and carried over by noise
    level, p by |d ln S / dt|. What the process does not have of the chain's levels is cut off; beyond the chain, p is 0 and w
    that of its end."""

    def __init__(
        self, method: Composition, process: Process, horizon: int, trained: Trained, sigma_data: float, reference: str
    ):
        self.reference = Chain(parse_noise_schedule(reference))
        super().__init__(method, process, horizon, trained, sigma_data)

    def chain(self) -> Floats:
        return self.reference.abar

    def density(self, n: int) -> Floats:
        if "timesteps" not in self.method.claims:
            return self.process.own_density()
        p = self.method.timestep_density(n)
        cdf = np.concatenate([[0.0], np.cumsum(np.full(self.reference.T, 1 / self.reference.T) if p is None else p)])
        mass = np.diff(np.interp(self.process.log_sigma_edges, self.reference.log_sigma_edges, cdf))
        if not mass.sum() > 0:
            raise InputError(f"method {str(self.method)!r} draws no noise level that this process has")
        return mass / mass.sum()

    def weight(self, n: int) -> Floats:
        w = self.method.loss_weight(n)
        return (
            np.ones(len(self.process.log_sigma))
            if w is None
            else np.interp(self.process.log_sigma, self.reference.log_sigma, w)
        )

    def observed(self, bins: Ints, log_sigma: Floats) -> Ints:
        return np.searchsorted(self.reference.log_sigma_edges[1:-1], log_sigma)


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
    chains, half-way through training, at noise levels that both have."""
    answers = []
    for chain in COMPARED:
        method = load_method(name, methods_path)
        schedule = NoiseSchedule(parse_noise_schedule(chain), horizon=1000)
        with np.errstate(all="ignore"):
            method.prepare(schedule)
            p, w = method.timestep_density(500), method.loss_weight(500)
        at_levels = {}
        if p is not None:
            density = np.interp(LEVELS, schedule.log_snr[::-1], (p / np.abs(np.gradient(schedule.log_snr)))[::-1])
            at_levels["p"] = density / max(density.mean(), 1e-300)  # up to a constant: the chains cut off other parts of it
        if w is not None:
            at_levels["w"] = np.interp(LEVELS, schedule.log_snr[::-1], w[::-1])
        answers.append(at_levels)
    one, other = answers
    near = {key: np.allclose(one[key], other[key], rtol=TOLERANCE, atol=TOLERANCE * one[key].mean()) for key in one}
    return not all(near.values())
