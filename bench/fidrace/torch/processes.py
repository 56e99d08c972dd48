"""The noise processes of other loops: how they draw their time, and which noise level a time is.

`x` is the process's own coordinate, growing with the noise: the timestep, ln sigma, or the flow time. Methods see a process
as bins of x, with one alpha-bar each; sigma^2 = (1 - abar) / abar.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidrace.errors import InputError
from fidrace.method.base import Floats

BINS = 1024  # of a continuous process
FLOOR = 1e-12  # of alpha-bar: a chain that ends in pure noise has 0 there, and so no ln S; OpenAI's cosine-1000 ends at 2e-9
REACH = 6.0  # standard deviations of a loop's own lognormal law that its bins cover
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bins:
    """`edges` [T+1] in x, and ln sigma of each bin's middle [T]."""

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


class Process:
    """What a loop's time is. `bins` are laid for laws of the noise level; `own_bins` have equal probability under the loop's
    own law, for what goes by that law. A chain has one set of bins, its timesteps."""

    time: str
    discrete = False
    bins: Bins
    own_bins: Bins

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
        if self.discrete and torch.iinfo(t.dtype).max < len(self.bins.log_sigma) - 1:
            raise InputError(f"race(t): {str(t.dtype).removeprefix('torch.')} does not hold {self.time}")
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

    def bin_of(self, t: Tensor, bins: Bins) -> Tensor:
        raise NotImplementedError

    def place(self, bins: Tensor, inside: Tensor, edges: Tensor) -> Tensor:
        """The time at the share `inside` in [0, 1) of each of `bins`."""
        raise NotImplementedError


class Chain(Process):
    """Integer timesteps, drawn uniformly."""

    discrete = True

    def __init__(self, alphas_cumprod: object) -> None:
        try:
            given = alphas_cumprod.detach().cpu().double() if isinstance(alphas_cumprod, Tensor) else alphas_cumprod
            abar = np.asarray(given, np.float64)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"alphas_cumprod is {type(alphas_cumprod).__name__}, not two or more numbers in a row") from None
        if abar.ndim != 1 or len(abar) < 2:
            raise InputError(f"alphas_cumprod has the shape {list(abar.shape)}, not two or more numbers in a row")
        if not ((abar >= 0) & (abar < 1)).all() or (np.diff(abar) > 0).any():
            raise InputError("alphas_cumprod does not fall from below 1 to 0 or above: it is the product of 1 - beta up to t")
        if abar[-1] > 0.5:
            raise InputError(
                f"alphas_cumprod ends at {abar[-1]:.3g}, more signal than noise: it is the product of 1 - beta up to t, not one"
            )
        abar = np.maximum(abar, FLOOR)
        self.T = len(abar)
        self.bins = self.own_bins = Bins(np.arange(self.T + 1, dtype=np.float64), np.log((1 - abar) / abar) / 2)
        self.time = f"timesteps 0 to {self.T - 1}"

    def allows(self, low: float, high: float) -> bool:
        return low >= 0 and high < self.T

    def uniform(self, t: Tensor, dither: Tensor) -> Tensor:
        return (t.double() + dither) / self.T

    def log_sigma_at(self, t: Tensor) -> Tensor:
        return to(self.bins.log_sigma, t.device)[t.long()]

    def bin_of(self, t: Tensor, bins: Bins) -> Tensor:
        return t.long()

    def place(self, bins: Tensor, inside: Tensor, edges: Tensor) -> Tensor:
        return bins


class Continuous(Process):
    """A time drawn from a continuous law. Subclasses say its coordinate x, and the law's distribution function of x."""

    def lay(self, levels: tuple[float, float], own: tuple[float, float]) -> None:
        """Lay the bins: `bins` of equal width over `levels`, `own_bins` of equal probability over `own`, both in x. Raises
        InputError if sigma does not grow, or if the own law is no distribution function."""
        fine = torch.linspace(*own, 100 * BINS + 1, dtype=torch.float64)
        share = self.own_cdf(fine).numpy()
        rises = np.isfinite(share).all() and (np.diff(share) >= -1e-6).all()
        if not rises or share[0] < -1e-6 or share[-1] > 1 + 1e-6 or share[-1] - share[0] < 0.5:
            raise InputError("own_cdf is no distribution function of the time: it rises from 0 to 1 over the loop's own draws")
        quantiles = np.interp(np.linspace(share[0], share[-1], BINS + 1), np.maximum.accumulate(share), fine.numpy())
        self.bins, self.own_bins = self.bins_between(np.linspace(*levels, BINS + 1)), self.bins_between(quantiles)

    def bins_between(self, edges: Floats) -> Bins:
        log_sigma = self.log_sigma_of(torch.from_numpy((edges[1:] + edges[:-1]) / 2)).numpy()
        if not np.isfinite(log_sigma).all() or not (np.diff(log_sigma) >= 0).all() or log_sigma[0] == log_sigma[-1]:
            raise InputError(f"sigma does not grow with the noise over {self.time}: is data_at the right end?")
        return Bins(edges, log_sigma)

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

    def bin_of(self, t: Tensor, bins: Bins) -> Tensor:
        return torch.searchsorted(to(bins.edges[1:-1], t.device), self.coordinate(t.double()).contiguous(), right=True)

    def place(self, bins: Tensor, inside: Tensor, edges: Tensor) -> Tensor:
        return self.time_at(torch.lerp(edges[bins], edges[bins + 1], inside))


class LogNormal(Continuous):
    """EDM's training noise: ln sigma ~ N(P_mean, P_std^2); bins for laws of the level lie in sigma_min to sigma_max."""

    time = "noise levels sigma > 0"

    def __init__(self, P_mean: float, P_std: float, sigma_min: float, sigma_max: float) -> None:
        try:
            mean, std, low, high = (float(value) for value in (P_mean, P_std, sigma_min, sigma_max))
        except (TypeError, ValueError):
            raise InputError(f"P_mean={P_mean!r}, P_std={P_std!r}, {sigma_min!r}, {sigma_max!r}: four numbers") from None
        if not (math.isfinite(mean) and 0 < std < math.inf):
            raise InputError(f"P_mean {mean:g} and P_std {std:g}: a number, and one above 0")
        if not 0 < low < high < math.inf:
            raise InputError(f"sigma_min {low:g} and sigma_max {high:g}: above 0, and the second the larger")
        self.mean, self.std = mean, std
        self.lay((math.log(low), math.log(high)), (mean - REACH * std, mean + REACH * std))

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
        self.lay((0.0, 1.0), (0.0, 1.0))

    def allows(self, low: float, high: float) -> bool:
        return low >= 0 and high <= 1

    def coordinate(self, t: Tensor) -> Tensor:
        return 1 - t if self.data_at else t

    def time_at(self, x: Tensor) -> Tensor:
        return self.coordinate(x)  # its own inverse

    def log_sigma_of(self, x: Tensor) -> Tensor:
        return torch.logit(x) if self.sigma is None else ask("sigma", self.sigma, self.time_at(x)).log()

    def own_cdf(self, x: Tensor) -> Tensor:
        if self.cdf_of_time is None:
            return x
        share = ask("own_cdf", self.cdf_of_time, self.time_at(x))
        return 1 - share if self.data_at else share


def ask(name: str, function: Function, t: Tensor) -> Tensor:
    """A user's function of times, as float64 of their shape; raises InputError if it cannot be asked so."""
    try:
        value = torch.as_tensor(function(t)).detach().to(t.device, torch.float64)
    except Exception as error:
        raise InputError(f"{name}(t) of a tensor of times: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if value.shape != t.shape:
        raise InputError(f"{name}(t) of {list(t.shape)} times has the shape {list(value.shape)}")
    return value


def to(array: NDArray[Any], device: torch.device) -> Tensor:
    """A numpy array on `device`, without waiting for what the device has to do."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
