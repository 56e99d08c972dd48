"""A method's times and weights in somebody else's loop, from the times that the loop has drawn."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from fidrace.errors import InputError
from fidrace.method.registry import load_method
from fidrace.spec.random_streams import Streams
from fidrace.torch.laws import Law, draws_itself, said_over_index
from fidrace.torch.losses import LossWatch, check_trained, per_eps
from fidrace.torch.processes import Process, to

BELOW_ONE = 1 - 2.0**-53
MANY_CALLS = 1000  # of race(t) without a step
CARRIED = ("timesteps", "uniforms", "weight", "optimizer")  # aspects


class TimestepSampler:
    """A method's times and weights for times that a loop has drawn.

    carried: a part is said in terms of the index t, and was carried over from `reference`.
    claims_weight: its weight takes the place of the loop's own; if not, it multiplies what the loop has, and is 1 unless the
    method adapts.
    n: optimizer steps so far.
    """

    def __init__(
        self,
        method: str,
        process: Process,
        *,
        horizon: int,
        trained: str,
        seed: int = 0,
        rank: int | None = None,
        sigma_data: float = 0.5,
        reference: str | None = None,
        methods_path: Sequence[str | FilePath] | str = (),
    ):
        paths = [methods_path] if isinstance(methods_path, str) else list(methods_path)
        self.method = load_method(str(method), paths)
        self.process, self.trained = process, check_trained(trained)
        self.horizon = whole("horizon", horizon, 1, "the planned optimizer steps, a whole number above 0")
        self.seed = whole("seed", seed, 0, "a whole number, 0 or above")
        self.given_rank = None if rank is None else whole("rank", rank, 0, "a whole number, 0 or above")
        if not isinstance(sigma_data, int | float) or not 0 < sigma_data < math.inf:
            raise InputError(f"sigma_data={sigma_data!r}: the data's standard deviation, above 0")
        self.sigma_data = float(sigma_data)
        claims = self.method.claims
        for aspect, part in claims.items():
            if aspect not in CARRIED:
                raise InputError(
                    f"method {str(part)!r} changes the {aspect}, which is your loop's own: "
                    f"{', '.join(CARRIED[:-1])} and {CARRIED[-1]} can be carried into it"
                )
        self.adaptive = self.method.adaptive()
        self.weight_adapts = "weight" in claims and claims["weight"].overrides("observe")
        self.claims_weight = "weight" in claims and not self.weight_adapts
        self.claims_time = bool({"timesteps", "uniforms"} & claims.keys())
        self.draws_itself = draws_itself(str(method), paths)
        carried = self._parts_to_carry(reference, paths)
        self.carried = bool(carried)
        self.law = Law(self.method, process, self.horizon, self.sigma_data, reference, carried)
        self.n = 0
        self.calls = 0  # of race(t) since the last optimizer step: one for each microbatch
        self._drawn: list[Tensor] = []  # the times since the last losses, if somebody looks at them
        self._watch = LossWatch(self.trained, self.horizon)
        self._tables: tuple[tuple[int, torch.device], tuple[Tensor, ...]] | None = None
        self._warned: set[str] = set()
        self._inside = False

    def __str__(self) -> str:
        return f"{self.method}{' (as carried)' if self.carried else ''}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": None, "_drawn": [t.cpu() for t in self._drawn]}

    @property
    def rank(self) -> int:
        return (distributed.get_rank() if is_distributed() else 0) if self.given_rank is None else self.given_rank

    def _parts_to_carry(self, reference: str | None, methods_path: Sequence[str | FilePath]) -> set[str]:
        """The parts that are said over the index of a chain that the loop does not have; raises InputError if there is one, and
        no reference."""
        parts = [str(part) for part in self.method.parts if not part.overrides("observe")]  # others go by the loop's own law
        over_index = {part for part in parts if said_over_index(part, methods_path)}
        if self.process.discrete and reference is None:
            return set()
        if self.draws_itself:
            name = str(self.method.claims["timesteps"])
            raise InputError(f"method {name!r} turns a batch into integer timesteps itself: it cannot be carried elsewhere")
        if over_index and reference is None:
            raise InputError(
                f"method {min(over_index)!r} is said in terms of the index t of a chain, and {self.process.time} have none: "
                "reference='linear-1000' names the chain to carry it over from"
            )
        return over_index

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The method's times and weights for times `t` that the loop drew from its own law, of any shape.

        Returns times of t's shape, dtype and device, and weights of t's shape in the default dtype; see `claims_weight` for
        what they multiply. A method that does not claim the time gives `t` back, the same object. Call it once for each
        microbatch that is trained on, and not in validation. Raises InputError if `t` is no time of the process.
        """
        if self.calls == 0 or not isinstance(t, Tensor) or t.device.type == "cpu":
            self.process.check(t)
        chosen = self._move(t) if self.claims_time else t
        weight = self._weigh(chosen) if "weight" in self.method.claims else torch.ones(t.shape, device=t.device)
        self.calls += 1
        if self.calls == MANY_CALLS:
            self._warn(
                "calls", f"race(t) was called {MANY_CALLS:,} times without a step: `with race.step(optimizer):` goes round it"
            )
        if self.adaptive or (self.claims_weight and self._watch.wants(self.n)):
            self._drawn.append(chosen.detach())
        return chosen, weight

    def weight_of_sigma(self, sigma: Tensor) -> Tensor:
        """The weight at noise levels `sigma`, noise over signal, as `race(t)` returns it; 1 if the method claims none. Raises
        InputError for a method whose weight adapts: it goes by the loop's own time."""
        if self.weight_adapts:
            raise InputError(f"method {str(self.method)!r} adapts its weight by the loop's own time: race(t) has it")
        if not self.claims_weight:
            return torch.ones(sigma.shape, device=sigma.device)
        if sigma.device.type == "cpu" and not (sigma > 0).all():
            raise InputError("weight_of_sigma: a noise level is above 0")
        return self._weight_at(sigma.to(float64_device(sigma.device), torch.float64).log()).to(sigma.device, _dtype())

    def _move(self, t: Tensor) -> Tensor:
        """`t` by the inverse of the loop's own law and the method's law: a monotone map of each example's own draw."""
        where = float64_device(t.device)
        stream = Streams(self.seed).at(f"dither/{self.rank}", self.n, block=self.calls << 64)
        dither = to(stream.random(t.numel() if self.process.discrete else 0), where)
        u = self.process.uniform(t.to(where).flatten(), dither).clamp(0, BELOW_ONE)
        claims = self.method.claims
        if "uniforms" in claims:
            u = to(claims["uniforms"].uniforms(u.cpu().numpy()), where)
        if self.draws_itself:
            drawer = claims["timesteps"]
            chosen = to(drawer.timesteps(u.cpu().numpy(), drawer.progress(self.n)), where)
        else:
            cdf, edges, *_ = self._on(where)
            bins = torch.searchsorted(cdf[1:], u, right=True)
            inside = (u - cdf[bins]) / (cdf[bins + 1] - cdf[bins])
            chosen = self.process.place(bins, inside, edges)
        return chosen.to(t.device, t.dtype).reshape(t.shape)

    def _weigh(self, t: Tensor) -> Tensor:
        at = t.to(float64_device(t.device))
        if self.weight_adapts:  # on the loop's own loss, bin by bin
            w = self._on(at.device)[2][self.process.bin_of(at, self.process.own_bins)]
        elif self.process.discrete:
            w = self._on(at.device)[2][at.long()] / per_eps(self.trained, self.process.log_sigma_at(at), self.sigma_data)
        else:
            w = self._weight_at(self.process.log_sigma_at(at))
        return w.to(t.device, _dtype())

    def _weight_at(self, log_sigma: Tensor) -> Tensor:
        """The weight between the middles of the bins, ln w linear in ln sigma (w itself where one is 0), and beyond them that
        of the outer ones on the eps-MSE."""
        _, _, w, middles = self._on(log_sigma.device)
        level = log_sigma.clamp(middles[0], middles[-1])
        right = torch.searchsorted(middles, level.contiguous()).clamp(1, len(middles) - 1)
        low, high = w[right - 1], w[right]
        inside = (level - middles[right - 1]) / (middles[right] - middles[right - 1])
        geometric = low * (high / low) ** inside
        value = torch.where((low > 0) & (high > 0), geometric, torch.lerp(low, high, inside))
        return value / per_eps(self.trained, log_sigma.clamp(min=middles[0]), self.sigma_data)

    def _on(self, device: torch.device) -> tuple[Tensor, ...]:
        """On `device`, of this step: the law's distribution function and its edges [T+1], the weight and ln sigma of the bins'
        middles [T]."""
        if self._tables is None or self._tables[0] != (self.n, device):
            try:
                cdf = self.law.cdf(self.n)
                w = self.law.weight(self.n) if "weight" in self.method.claims else np.ones(0)
            except ValueError as error:
                raise InputError(f"method {str(self.method)!r} at step {self.n + 1}: {error}") from error
            arrays = (cdf, self.law.time_bins.edges, w, self.law.weight_bins.log_sigma)
            self._tables = (self.n, device), tuple(to(one, device) for one in arrays)
        return self._tables[1]

    def _warn(self, kind: str, line: str) -> None:
        """Warn, of each kind once."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(line, stacklevel=4)


def whole(name: str, value: Any, least: int, what: str) -> int:
    """`value` as int; raises InputError unless it is a whole number, `least` or above."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}={value!r}: {what}")
    return int(value)


def _dtype() -> torch.dtype:
    return torch.get_default_dtype()


def is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def float64_device(device: torch.device) -> torch.device:
    return torch.device("cpu") if device.type == "mps" else device  # which has no float64
