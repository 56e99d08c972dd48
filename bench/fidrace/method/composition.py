"""One method, or several that claim different aspects, as the training loop calls them iteration by iteration."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fidrace.errors import InputError, nearest
from fidrace.method.base import ASPECTS, Floats, Ints, Method, NoiseSchedule, Prediction, distribution
from fidrace.method.baseline import Baseline


class Composition:
    """`a+b`: each aspect of training is controlled by the one part that claims it, or else by the baseline.

    Raises InputError if two parts claim one aspect, or if one of several parts claims none.
    """

    def __init__(self, parts: Sequence[Method]):
        claims: dict[str, Method] = {}
        for part in parts:
            if len(parts) > 1 and not part.aspects():
                raise InputError(f"{part.name!r} changes nothing, so it cannot be part of a composition")
            for aspect in part.aspects():
                if aspect in claims:
                    raise InputError(f"{claims[aspect].name!r} and {part.name!r} both claim the {aspect}: they do not compose")
                claims[aspect] = part
        order = list(ASPECTS)
        self.parts = sorted(parts, key=lambda part: [order.index(aspect) for aspect in part.aspects()])
        self._neutral = neutral = Baseline()  # for aspects that no part claims
        self.claims = claims  # the part that controls each aspect, of those that any does
        by_aspect = {aspect: claims.get(aspect, neutral) for aspect in order}
        self._timesteps, self._uniforms, self._weight = (by_aspect[name] for name in ("timesteps", "uniforms", "weight"))
        self._optimizer, self._average = by_aspect["optimizer"], by_aspect["average"]
        self.noise, self.target, self.auxiliary = (by_aspect[name] for name in ("noise", "target", "auxiliary"))
        self._prediction, self.algorithm = by_aspect["prediction"], by_aspect["algorithm"]

    def __str__(self) -> str:
        return "+".join(map(str, self.parts))

    def depends_on_horizon(self) -> bool:
        return any(part.depends_on_horizon() for part in self.parts)

    def adaptive(self) -> bool:
        """True if its answers depend on the losses that it has observed."""
        return any(part.overrides("observe") for part in self.parts)

    def axes(self) -> tuple[str, ...]:
        """What it costs besides iterations."""
        return tuple(sorted({part.axis for part in self.parts} - {"iterations"}))

    def keeps_noise(self) -> bool:
        return all(part.keeps_noise for part in self.parts)

    def evidence(self) -> str:
        """The evidence of its least certain part."""
        return min((part.evidence for part in self.parts), key=["inferred", "reconstructed", "published"].index)

    def settings(self) -> Mapping[str, float]:
        """Fields of the task's optimizer that the part which claims them sets."""
        return self.claims["settings"].settings() if "settings" in self.claims else {}

    @property
    def changes_batch(self) -> bool:
        """True if a part pairs images and noise, or changes the target: its hooks take the global batch."""
        return bool({"noise", "target"} & self.claims.keys())

    def prediction(self, own: Prediction) -> Prediction:
        """What the network predicts if the task's predicts `own`; raises ValueError if that is a flow's velocity, and a part
        says otherwise."""
        chosen = self._prediction.prediction()
        if chosen is not None and chosen not in get_args(Prediction):
            raise ValueError(f"{self._prediction}: prediction {chosen!r}{nearest(str(chosen), get_args(Prediction))}")
        if chosen is not None and (own == "flow") != (chosen == "flow"):
            raise ValueError(f"{self._prediction}: the network of a flow predicts its velocity, and no other does")
        return chosen or own

    def prepare(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule = dataclasses.replace(schedule, prediction=self.prediction(schedule.prediction))
        self._own_weight = schedule.own_weight
        for part in (*self.parts, self._neutral):
            part.prepare(schedule)

    def timestep_density(self, n: int) -> Floats | None:
        p = self._array_from(self._timesteps, "timestep_density", n)
        if p is not None:
            distribution(p, len(p))
        return p

    def timesteps(self, u: Floats, n: int) -> Ints:
        return self._timesteps.timesteps(self._uniforms.uniforms(u), self._timesteps.progress(n))

    def loss_weight(self, n: int) -> Floats | None:
        """w[T] on the eps-MSE, that of the task's own loss if no part sets one; None is 1 everywhere."""
        w = self._array_from(self._weight, "loss_weight", n)
        return self._own_weight if w is None else w

    @staticmethod
    def _array_from(part: Method, hook: str, n: int) -> Floats | None:
        values: Floats | None = getattr(part, hook)(part.progress(n))
        if values is None:
            return None
        if not isinstance(values, np.ndarray) or values.shape != (part.schedule.T,) or values.dtype.kind not in "fiu":
            kind = f"{values.dtype}{list(values.shape)}" if isinstance(values, np.ndarray) else type(values).__name__
            raise ValueError(f"{part}: {hook} is {kind}, not an array of {part.schedule.T} numbers")
        for fault, wrong in (("not finite", ~np.isfinite(values)), ("negative", values < 0)):
            if wrong.any():
                t = int(np.argmax(wrong))
                raise ValueError(f"{part}: {hook} is {fault} ({values[t]:g}) at t = {t}")
        return values

    def optimizer(self, n: int) -> tuple[float, float | None]:
        scale, beta1 = self._optimizer.optimizer(self._optimizer.progress(n))
        return float(scale), None if beta1 is None else float(beta1)

    def decay(self, n: int) -> float | None:
        """The average's decay in its update after step n = 1, 2, ...; None is the task's."""
        value = self._average.decay(n)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{self._average}: decay is {value:g} at step {n}, outside [0, 1]")
        return None if value is None else float(value)

    def feedback(self, n: int) -> bool:
        takes = self._average.feedback(n)
        if not isinstance(takes, bool | np.bool_):
            raise ValueError(f"{self._average}: feedback is {takes!r}, not True or False")
        return bool(takes)

    def observe(self, t: Ints, loss: Floats) -> None:
        for part in self.parts:
            part.observe(t, loss)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        return {f"{part.name}.{key}": value for part in self.parts for key, value in part.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        for part in self.parts:
            prefix = f"{part.name}."
            part.load_state_dict({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})
