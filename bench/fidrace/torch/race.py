"""A method of fidrace in somebody else's loop: its times and weights, and the optimizer's numbers, step by step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.optim import Optimizer

from fidrace.errors import InputError
from fidrace.method.base import Floats
from fidrace.torch.optimizers import change, restore
from fidrace.torch.timestep_sampler import TimestepSampler, float64_device, is_distributed, whole

ATTACHED = "_fidrace_race"


class Race(TimestepSampler):
    """One run's method. Made by `discrete`, `lognormal` or `path`, once; it can be pickled, and needs no device."""

    @contextmanager
    def step(self, optimizer: Optimizer, losses: Tensor | None = None) -> Iterator[None]:
        """Around `optimizer.step()`: its learning rate and Adam's beta1 are the method's inside, and the loop's own again after
        it. `losses`: as in `observe`, which methods that adapt need.

        Under accelerate's gradient accumulation a call that makes no step does not count. Raises InputError for a step without
        race(t), an optimizer that has no beta1 although the method sets it, or a scheduler that was called inside.
        """
        if losses is not None:
            self.observe(losses)
        state = getattr(optimizer, "gradient_state", None)  # accelerate's wrapper
        if not getattr(state, "sync_gradients", True):
            yield
            return
        if self._inside:
            raise InputError("race.step inside race.step: is the race attached to this optimizer too? Use one of the two")
        if self.calls == 0:
            raise InputError(f"step {self.n + 1} without race(t): call it once for each batch, before the optimizer's step")
        if self.adaptive and self._drawn:
            raise InputError(f"method {str(self.method)!r} adapts to the losses: race.step(optimizer, losses=...) passes them")
        if self.n >= self.horizon:
            self._warn("horizon", f"step {self.n + 1} of a race over {self.horizon}: the method stays as it was at the end")
        found = change(optimizer, *self.method.optimizer(self.n), str(self.method))
        self._inside = True
        try:
            yield
        except BaseException:
            with suppress(InputError):
                restore(optimizer, found)
            raise
        finally:
            self._inside = False
        restore(optimizer, found)
        self.n += 1
        self.calls, self._drawn = 0, []

    def attach(self, optimizer: Optimizer) -> None:
        """Do what `step` does in every `optimizer.step()` from now on, for a loop that cannot be edited. Raises InputError if
        the optimizer has a race already."""
        inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper
        if getattr(inner, ATTACHED, False) or not hasattr(inner, "param_groups"):
            what = "this optimizer has a race already" if hasattr(inner, "param_groups") else "it takes the optimizer"
            raise InputError(f"race.attach: {what}")
        own_step = inner.step

        @wraps(own_step)
        def step(*arguments: Any, **options: Any) -> Any:
            with self.step(inner):
                return own_step(*arguments, **options)

        inner.step = step  # type: ignore[method-assign]
        setattr(inner, ATTACHED, True)

    def observe(self, losses: Tensor) -> None:
        """Take the losses, one for each time that race(t) gave since the last call: what the weight multiplies, without it.

        So of a method that claims the weight the unweighted loss, and of one that adapts the loop's own loss, with the loop's
        own weight in it."""
        if not isinstance(losses, Tensor):
            raise InputError(f"losses is {type(losses).__name__}, not one loss for each example")
        if self.calls == 0:
            raise InputError("losses without race(t): call it before, once for each batch")
        if not self._drawn:
            return
        t = torch.cat([times.flatten() for times in self._drawn])
        if losses.numel() != len(t):
            raise InputError(f"losses is {list(losses.shape)}, not one loss for each of {len(t)} examples")
        self._drawn = []
        where = float64_device(t.device)
        t, loss = t.to(where), losses.detach().flatten().to(where, torch.float64)
        if not self.adaptive:
            line = self._watch.add(self.process.log_sigma_at(t).cpu().numpy(), loss.cpu().numpy())
            if line:
                self._warn("trained", line)
            return
        bins, values = (_all_ranks(one) for one in (self.process.bin_of(t, self.process.own_bins).double(), loss))
        finite = np.isfinite(values)
        if not finite.all():
            self._warn("losses", f"step {self.n + 1}: losses that are not finite are not shown to method {str(self.method)!r}")
        if finite.any():
            self.law.observe(bins[finite].astype(np.int64), values[finite])
            self._tables = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, as names, numbers and tensors: `torch.load(weights_only=True)` reads it."""
        state = {name: torch.from_numpy(np.array(value)) for name, value in self.method.state_dict().items()}
        return self._identity() | {"n": self.n, "state": state}

    def _identity(self) -> dict[str, Any]:
        process = f"{type(self.process).__name__} of {self.process.time}"
        return {
            "method": str(self.method),
            "horizon": self.horizon,
            "seed": self.seed,
            "trained": self.trained,
            "process": process,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raises InputError if it is of another method, horizon, seed, loss or process."""
        own = self._identity()
        if not isinstance(state, Mapping) or (missing := {*own, "n", "state"} - state.keys()):
            lacking = f": {min(missing)!r} is missing" if isinstance(state, Mapping) else ""
            raise InputError(f"no state of a race{lacking}")
        for name, value in own.items():
            if state[name] != value:
                raise InputError(f"the state is of {name} {state[name]!r}, and this race has {value!r}")
        arrays = {name: np.asarray(torch.as_tensor(value).cpu()) for name, value in state["state"].items()}
        shapes = {name: np.shape(value) for name, value in self.method.state_dict().items()}
        for name in {*shapes, *arrays}:
            if name not in arrays or name not in shapes or arrays[name].shape != shapes[name]:
                raise InputError(f"the state's {name!r} is not what method {str(self.method)!r} keeps")
        self.n = whole("n", state["n"], 0, "a whole number, 0 or above")
        self.method.load_state_dict(arrays)
        self.calls, self._drawn, self._tables = 0, [], None


def _all_ranks(values: Tensor) -> Floats:
    """The values of all ranks, in their order; all ranks have equally many."""
    if is_distributed() and distributed.get_world_size() > 1:
        parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, values.contiguous())
        values = torch.cat(parts)
    return values.cpu().numpy()
