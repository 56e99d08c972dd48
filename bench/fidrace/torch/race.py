"""A method of fidrace in somebody else's loop: their times and weights, and the optimizer's numbers, step by step."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from fidrace.errors import InputError
from fidrace.method.base import Floats
from fidrace.method.registry import load_method
from fidrace.spec.random_streams import Streams
from fidrace.torch.laws import CarriedLaw, Law, draws_itself, said_over_index
from fidrace.torch.losses import LossWatch, check_trained, per_eps
from fidrace.torch.optimizers import changed, restored
from fidrace.torch.processes import Chain, Function, LogNormal, Path, Process

BELOW_ONE = 1 - 2.0**-53


class Race:
    """One run's method. Made by `discrete`, `lognormal` or `path`, once; it is picklable, and needs no device.

    carried: the method is said in terms of the index t, and was carried over from `reference`.
    claims_weight: it replaces the loop's own weighting; if not, its weight is 1 and the loop's own stays.
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
        methods_path: Sequence[str | FilePath] = (),
    ):
        self.method = load_method(method, methods_path)
        self.process, self.trained, self.sigma_data = process, check_trained(trained), float(sigma_data)
        if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
            raise InputError(f"horizon={horizon!r}: the planned optimizer steps, a whole number above 0")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed={seed!r}: a whole number, 0 or above")
        if not 0 < self.sigma_data < math.inf:
            raise InputError(f"sigma_data={sigma_data!r}: the data's standard deviation, above 0")
        self.horizon, self.seed = int(horizon), int(seed)
        self.rank = (distributed.get_rank() if _distributed() else 0) if rank is None else rank
        self.adaptive = self.method.adaptive()
        self.claims_weight = "weight" in self.method.claims
        self.claims_time = bool({"timesteps", "uniforms"} & self.method.claims.keys())
        self.draws_itself = draws_itself(method, methods_path)
        self.carried = self._needs_reference(reference, methods_path)
        if self.adaptive and not self.carried:
            process.bins_of_equal_probability()
        more = (self.method, process, self.horizon, self.trained, self.sigma_data)
        self.law = CarriedLaw(*more, str(reference)) if self.carried else Law(*more)
        self.n = 0
        self.calls = 0  # of race(t) since the last optimizer step: one for each microbatch
        self._drawn: list[Tensor] = []  # the times of this step, if somebody looks at their losses
        self._watch = LossWatch(self.trained, self.horizon)
        self._tables: tuple[tuple[int, torch.device], tuple[Tensor, Tensor, Tensor]] | None = None
        self._warned = False

    def __str__(self) -> str:
        return f"{self.method}{' (as carried)' if self.carried else ''}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": None, "_drawn": []}  # tensors on a device that another process may not have

    def _needs_reference(self, reference: str | None, methods_path: Sequence[str | FilePath]) -> bool:
        """Whether the method is carried from `reference`; raises InputError if it would have to be, and none is given."""
        parts = [part for part in self.method.parts if not part.overrides("observe")]  # others go by bin
        over_index = [str(part) for part in parts if said_over_index(str(part), methods_path)]
        on_own_chain = self.process.discrete and reference is None
        if self.draws_itself and not on_own_chain:
            name = str(self.method.claims["timesteps"])
            raise InputError(f"method {name!r} turns a batch into integer timesteps itself: it cannot be carried elsewhere")
        if over_index and reference is None and not on_own_chain:
            raise InputError(
                f"method {over_index[0]!r} is said in terms of the index t of a chain, and {self.process.time} have none: "
                "reference='linear-1000' names the chain to carry it over from"
            )
        return bool(over_index) and not on_own_chain

    # --- time and weight ---

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The method's times and weights for times `t` that the loop drew from its own law, of any shape.

        Returns times of t's shape, dtype and device, and weights of t's shape in the default dtype: they multiply the
        *unweighted* loss of each example. A method that does not claim the time gives `t` back, the same object. Call it once
        for each microbatch. Raises InputError if `t` is no time of the process.
        """
        if self.calls == 0 or t.device.type == "cpu":
            self.process.check(t)
        chosen = self._moved(t) if self.claims_time else t
        weight = self._weight_at(chosen) if self.claims_weight else torch.ones(t.shape, device=t.device)
        self.calls += 1
        self._drawn.append(chosen.detach())
        return chosen, weight

    def weight_of_sigma(self, sigma: Tensor) -> Tensor:
        """The weight at noise levels `sigma`, noise over signal, as `race(t)` returns it; 1 if the method claims none."""
        if not self.claims_weight:
            return torch.ones(sigma.shape, device=sigma.device)
        return self._interpolated(sigma.double().log()).to(torch.get_default_dtype())

    def _moved(self, t: Tensor) -> Tensor:
        """`t` by the inverse of the loop's own law and the method's law: a monotone map of each example's own draw."""
        where = _float64_device(t.device)
        stream = Streams(self.seed).at(f"dither/{self.rank}", self.n, block=self.calls << 64)
        dither = torch.from_numpy(stream.random(t.numel())) if self.process.discrete else torch.empty(0)
        u = self.process.uniform(t.to(where).flatten(), dither.to(where)).clamp(0, BELOW_ONE)
        claims = self.method.claims
        if "uniforms" in claims:
            u = torch.from_numpy(claims["uniforms"].uniforms(u.cpu().numpy())).to(where)
        if self.draws_itself:
            drawer = claims["timesteps"]
            chosen = torch.from_numpy(drawer.timesteps(u.cpu().numpy(), drawer.progress(self.n)))
        else:
            cdf, edges, _ = self._on(where)
            bins = torch.searchsorted(cdf[1:], u, right=True)
            inside = (u - cdf[bins]) / (cdf[bins + 1] - cdf[bins])
            chosen = self.process.place(bins, inside, edges)
        return chosen.to(t.device, t.dtype).reshape(t.shape)

    def _weight_at(self, t: Tensor) -> Tensor:
        where = _float64_device(t.device)
        at = t.to(where)
        if self.process.discrete:
            w = self._on(where)[2][at.long()] / per_eps(self.trained, self.process.log_sigma_at(at), self.sigma_data)
        else:
            w = self._interpolated(self.process.log_sigma_at(at))
        return w.to(t.device, torch.get_default_dtype())

    def _interpolated(self, log_sigma: Tensor) -> Tensor:
        """The weight between the middles of the bins, linearly in ln sigma, and beyond them that of the outer ones."""
        where = _float64_device(log_sigma.device)
        middles, w = torch.from_numpy(self.process.log_sigma).to(where), self._on(where)[2]
        level = log_sigma.to(where).clamp(middles[0], middles[-1])
        right = torch.searchsorted(middles, level.contiguous()).clamp(1, len(middles) - 1)
        inside = (level - middles[right - 1]) / (middles[right] - middles[right - 1])
        value = torch.lerp(w[right - 1], w[right], inside)
        return (value / per_eps(self.trained, level, self.sigma_data)).to(log_sigma.device)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """The law's distribution function and edges [T+1] and its weight [T] at this step, on `device`."""
        if self._tables is None or self._tables[0] != (self.n, device):
            cdf, w = self.law.cdf(self.n), np.ascontiguousarray(self.law.weight(self.n))
            edges, *laws = (torch.from_numpy(one).to(device) for one in (self.process.edges, cdf, w))
            self._tables = (self.n, device), (laws[0], edges, laws[1])
        return self._tables[1]

    # --- the optimizer's step ---

    @contextmanager
    def step(self, optimizer: Optimizer, losses: Tensor | None = None) -> Iterator[None]:
        """Around `optimizer.step()`: its learning rate and Adam's beta1 (SGD's momentum) are the method's inside, and the
        loop's own again after it. `losses`: the unweighted losses of this step's examples, for methods that adapt to them.

        Under accelerate's gradient accumulation a call that makes no step does not count. Raises InputError for a step without
        race(t), an optimizer that has no beta1 although the method sets it, or a scheduler that was called inside.
        """
        if not self._steps(optimizer):
            yield
            return
        if losses is not None:
            self.observe(losses)
        before = self._begin_step(optimizer)
        try:
            yield
        except BaseException:
            restored(optimizer, before, check=False)
            raise
        restored(optimizer, before)
        self._end_step()

    def attach(self, optimizer: Optimizer) -> None:
        """Do what `step` does in every `optimizer.step()` from now on, for a loop that cannot be edited."""
        inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper
        before: list[list[dict[str, Any]]] = []

        def begin(*_: object) -> None:
            before.append(self._begin_step(inner))

        def end(*_: object) -> None:
            restored(inner, before.pop())
            self._end_step()

        inner.register_step_pre_hook(begin)
        inner.register_step_post_hook(end)

    @staticmethod
    def _steps(optimizer: Optimizer) -> bool:
        state = getattr(optimizer, "gradient_state", None)  # accelerate's wrapper
        return bool(getattr(state, "sync_gradients", True))

    def _begin_step(self, optimizer: Optimizer) -> list[dict[str, Any]]:
        if self.calls == 0:
            raise InputError(f"step {self.n + 1} without race(t): call it once for each batch, before the optimizer's step")
        if self.adaptive and self._drawn:
            raise InputError(f"method {str(self.method)!r} adapts to the losses: race.step(optimizer, losses=...) passes them")
        if self.n >= self.horizon and not self._warned:
            self._warned = True
            warnings.warn(
                f"step {self.n + 1} of a race over {self.horizon}: the method stays as it was at the end", stacklevel=4
            )
        return changed(optimizer, *self.method.optimizer(self.n), str(self.method))

    def _end_step(self) -> None:
        self.n += 1
        self.calls = 0
        self._drawn = []

    def observe(self, losses: Tensor) -> None:
        """Take the unweighted losses, one for each time that race(t) gave since the last call, as `step` does."""
        if not self._drawn:
            raise InputError("losses without race(t): call it before, once for each batch")
        t = torch.cat([times.flatten() for times in self._drawn])
        if not isinstance(losses, Tensor) or losses.numel() != len(t):
            found = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise InputError(f"losses is {found}, not one unweighted loss for each of {len(t)} examples")
        self._drawn = []
        if not self.adaptive and not self._watch.wants(self.n):
            return
        where = _float64_device(t.device)
        log_sigma, loss = self.process.log_sigma_at(t.to(where)), losses.detach().flatten().to(where, torch.float64)
        if self._watch.wants(self.n) and (line := self._watch.add(log_sigma.cpu().numpy(), loss.cpu().numpy())):
            warnings.warn(line, stacklevel=3)
        if self.adaptive:
            eps = loss / per_eps(self.trained, log_sigma, self.sigma_data)
            bins, levels, values = (_all_ranks(one) for one in (self.process.bin_of(t.to(where)), log_sigma, eps))
            self.method.observe(self.law.observed(bins.astype(np.int64), levels), values)

    # --- checkpoints ---

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, as names, numbers and tensors: `torch.load(weights_only=True)` reads it."""
        state = {name: torch.from_numpy(np.array(value)) for name, value in self.method.state_dict().items()}
        return {"method": str(self.method), "horizon": self.horizon, "seed": self.seed, "n": self.n, "state": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raises InputError if it is of another method, horizon or seed."""
        missing = {"method", "horizon", "seed", "n", "state"} - state.keys()
        if missing:
            raise InputError(f"no state of a race: {min(missing)!r} is missing")
        for name, own in (("method", str(self.method)), ("horizon", self.horizon), ("seed", self.seed)):
            if state[name] != own:
                raise InputError(f"the state is of {name} {state[name]!r}, and this race has {own!r}")
        self.method.load_state_dict({name: value.cpu().numpy() for name, value in state["state"].items()})
        self.n, self.calls, self._drawn, self._tables = int(state["n"]), 0, [], None


def discrete(method: str, alphas_cumprod: Any, **race: Any) -> Race:
    """A race in a loop that draws integer timesteps uniformly. `alphas_cumprod` [T]: alpha-bar, as tensor or array.

    Methods that are said in terms of the index t use the loop's own index, unless `reference` names another chain. See `Race`
    for the rest: horizon, trained, seed, rank, sigma_data, reference, methods_path.
    """
    return Race(method, Chain(alphas_cumprod), **race)


def lognormal(
    method: str, P_mean: float = -1.2, P_std: float = 1.2, *, sigma_min: float = 0.002, sigma_max: float = 80.0, **race: Any
) -> Race:
    """A race in a loop that draws ln sigma ~ N(P_mean, P_std^2), as EDM does (arXiv 2206.00364); a method's own levels are cut
    off at sigma_min and sigma_max. With trained="x0" its weight takes the place of EDM's lambda(sigma)."""
    return Race(method, LogNormal(P_mean, P_std, sigma_min, sigma_max), **race)


def path(method: str, *, sigma: Function | None = None, own_cdf: Function | None = None, data_at: int = 0, **race: Any) -> Race:
    """A race in a loop that draws a time in [0, 1], with data at `data_at`, 0 or 1.

    sigma: noise over signal at times t, as a function of tensors; t / (1 - t) of the linear path from the data unless given.
    own_cdf: the distribution function of the loop's own draws; uniform unless given.
    """
    return Race(method, Path(sigma, own_cdf, data_at), **race)


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _float64_device(device: torch.device) -> torch.device:
    return torch.device("cpu") if device.type == "mps" else device  # which has no float64


def _all_ranks(values: Tensor) -> Floats:
    """The values of all ranks, in their order."""
    if _distributed() and distributed.get_world_size() > 1:
        parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, values.contiguous())
        values = torch.cat(parts)
    return values.cpu().numpy()
