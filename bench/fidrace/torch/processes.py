"""The noise processes of other loops: how they draw their time, and which noise level a time is.

`x` is the process's own coordinate, growing with the noise: the timestep, ln sigma, or the flow time. Methods see a process
as bins of x, with one alpha-bar each; sigma^2 = (1 - abar) / abar.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fidrace.errors import InputError
from fidrace.method.base import Floats

BINS = 1024  # of a continuous process
FLOOR = 1e-12  # of alpha-bar: a chain that ends in pure noise has 0 there, and so no ln S; OpenAI's cosine-1000 ends at 2e-9
Function = Callable[[Tensor], Tensor]


class Process:
    """What a loop's time is. `edges` [T+1]: the bins' bounds in x. `log_sigma` [T]: ln sigma of each bin's middle."""

    time: str
    discrete: ClassVar[bool] = False
    edges: Floats
    log_sigma: Floats

    @property
    def abar(self) -> Floats:
        return 1 / (1 + np.exp(2 * self.log_sigma))

    @property
    def log_sigma_edges(self) -> Floats:
        """ln sigma between neighbouring bins, [T+1]; the two ends lie as far from the outer middles as their neighbours do."""
        inner = (self.log_sigma[1:] + self.log_sigma[:-1]) / 2
        return np.array([2 * self.log_sigma[0] - inner[0], *inner, 2 * self.log_sigma[-1] - inner[-1]])

    def check(self, t: Tensor) -> None:
        """Raise InputError unless `t` can be a time of this process; its values are read only if they are on the CPU."""
        if not isinstance(t, Tensor):
            raise InputError(f"race(t): {type(t).__name__} is no tensor of {self.time}")
        whole = not t.is_floating_point() and not t.is_complex() and t.dtype is not torch.bool
        if whole != self.discrete or t.is_complex():
            hint = "fidrace.torch.discrete takes whole numbers, lognormal and path take others"
            raise InputError(f"race(t): t is {str(t.dtype).removeprefix('torch.')}, not {self.time} ({hint})")
        if t.numel() == 0:
            raise InputError("race(t): t is empty")
        if t.device.type == "cpu":
            low, high = t.min().item(), t.max().item()
            if not self.allows(low, high):
                raise InputError(f"race(t): t from {low:g} to {high:g} is not {self.time}")

    def allows(self, low: float, high: float) -> bool:
        raise NotImplementedError

    def uniform(self, t: Tensor, dither: Tensor) -> Tensor:
        """Where `t` lies in the loop's own law: uniforms in [0, 1), if t was drawn from it."""
        raise NotImplementedError

    def log_sigma_at(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def bin_of(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def place(self, bins: Tensor, inside: Tensor, edges: Tensor) -> Tensor:
        """The time at the share `inside` in [0, 1) of each of `bins`."""
        raise NotImplementedError

    def own_density(self) -> Floats:
        """The loop's own law over the bins, [T]."""
        raise NotImplementedError

    def bins_of_equal_probability(self) -> None:
        """Lay the bins so that the loop's own law is uniform over them, for methods to which no density means uniform."""


class Chain(Process):
    """Integer timesteps, drawn uniformly."""

    discrete = True

    def __init__(self, alphas_cumprod: object) -> None:
        values = alphas_cumprod.detach().cpu().numpy() if isinstance(alphas_cumprod, Tensor) else np.asarray(alphas_cumprod)
        if values.ndim != 1 or len(values) < 2 or values.dtype.kind != "f":
            raise InputError(f"alphas_cumprod is {values.dtype}{list(values.shape)}, not two or more numbers in a row")
        abar = values.astype(np.float64)
        if not ((abar >= 0) & (abar < 1)).all() or not (np.diff(abar) < 0).all():
            raise InputError(
                "alphas_cumprod does not fall from below 1 to 0 or above: it is the product of 1 - beta up to each t"
            )
        abar = np.maximum(abar, FLOOR)
        self.log_sigma = np.log((1 - abar) / abar) / 2
        self.T = len(abar)
        self.edges = np.arange(self.T + 1, dtype=np.float64)
        self.time = f"timesteps 0 to {self.T - 1}"

    def allows(self, low: float, high: float) -> bool:
        return low >= 0 and high < self.T

    def uniform(self, t: Tensor, dither: Tensor) -> Tensor:
        return (t.double() + dither) / self.T

    def log_sigma_at(self, t: Tensor) -> Tensor:
        return torch.from_numpy(self.log_sigma).to(t.device)[t.long()]

    def bin_of(self, t: Tensor) -> Tensor:
        return t

    def place(self, bins: Tensor, inside: Tensor, edges: Tensor) -> Tensor:
        return bins

    def own_density(self) -> Floats:
        return np.full(self.T, 1 / self.T)


class Continuous(Process):
    """A time drawn from a continuous law. Subclasses say its coordinate x, and the law's distribution function of x."""

    def __init__(self, low: float, high: float) -> None:
        self._lay(np.linspace(low, high, BINS + 1))

    def _lay(self, edges: Floats) -> None:
        self.edges = edges
        with np.errstate(all="ignore"):
            self.log_sigma = self.log_sigma_of(torch.from_numpy((edges[1:] + edges[:-1]) / 2)).numpy()
        if not np.isfinite(self.log_sigma).all() or not (np.diff(self.log_sigma) > 0).all():
            raise InputError(f"sigma does not grow with the noise over {self.time}: is data_at the right end?")

    def coordinate(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def time_at(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def log_sigma_of(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def own_cdf(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def uniform(self, t: Tensor, dither: Tensor) -> Tensor:
        return self.own_cdf(self.coordinate(t.double()))

    def log_sigma_at(self, t: Tensor) -> Tensor:
        return self.log_sigma_of(self.coordinate(t.double()))

    def bin_of(self, t: Tensor) -> Tensor:
        inner = torch.from_numpy(self.edges[1:-1]).to(t.device)
        return torch.searchsorted(inner, self.coordinate(t.double()).contiguous(), right=True)

    def place(self, bins: Tensor, inside: Tensor, edges: Tensor) -> Tensor:
        return self.time_at(torch.lerp(edges[bins], edges[bins + 1], inside))

    def own_density(self) -> Floats:
        mass = np.diff(self.own_cdf(torch.from_numpy(self.edges)).numpy())
        return mass / mass.sum()

    def bins_of_equal_probability(self) -> None:
        fine = np.linspace(self.edges[0], self.edges[-1], 100 * BINS + 1)
        share = self.own_cdf(torch.from_numpy(fine)).numpy()
        self._lay(np.interp(np.linspace(share[0], share[-1], BINS + 1), share, fine))


class LogNormal(Continuous):
    """EDM's training noise: ln sigma ~ N(P_mean, P_std^2), in bins of ln sigma from sigma_min to sigma_max."""

    time = "noise levels sigma > 0"

    def __init__(self, P_mean: float, P_std: float, sigma_min: float, sigma_max: float) -> None:
        if not (math.isfinite(P_mean) and 0 < P_std < math.inf):
            raise InputError(f"P_mean {P_mean:g} and P_std {P_std:g}: a number, and one above 0")
        if not 0 < sigma_min < sigma_max < math.inf:
            raise InputError(f"sigma_min {sigma_min:g} and sigma_max {sigma_max:g}: above 0, and the second the larger")
        self.mean, self.std = P_mean, P_std
        super().__init__(math.log(sigma_min), math.log(sigma_max))

    def allows(self, low: float, high: float) -> bool:
        return low > 0 and high < math.inf

    def coordinate(self, t: Tensor) -> Tensor:
        return t.log()

    def time_at(self, x: Tensor) -> Tensor:
        return x.exp()

    def log_sigma_of(self, x: Tensor) -> Tensor:
        return x

    def own_cdf(self, x: Tensor) -> Tensor:
        return torch.special.ndtr((x - self.mean) / self.std)


class Path(Continuous):
    """A time in [0, 1] with data at one end. sigma(t), noise over signal, is that of the linear path unless given; `own_cdf` of
    the time is uniform unless given."""

    time = "times in [0, 1]"

    def __init__(self, sigma: Function | None, own_cdf: Function | None, data_at: int) -> None:
        if data_at not in (0, 1):
            raise InputError(f"data_at={data_at!r}: the time at which the path is at the data, 0 or 1")
        self.sigma, self.cdf_of_time, self.data_at = sigma, own_cdf, data_at
        super().__init__(0.0, 1.0)

    def allows(self, low: float, high: float) -> bool:
        return low >= 0 and high <= 1

    def coordinate(self, t: Tensor) -> Tensor:
        return 1 - t if self.data_at else t

    def time_at(self, x: Tensor) -> Tensor:
        return self.coordinate(x)  # its own inverse

    def log_sigma_of(self, x: Tensor) -> Tensor:
        return torch.logit(x) if self.sigma is None else self.sigma(self.time_at(x)).log()

    def own_cdf(self, x: Tensor) -> Tensor:
        if self.cdf_of_time is None:
            return x
        share = self.cdf_of_time(self.time_at(x))
        return 1 - share if self.data_at else share
