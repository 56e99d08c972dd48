"""What methods say while training goes on: their arrays and numbers at moments of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats, NoiseSchedule, Prediction
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.rehearsal import rehearse

HORIZON = 1000  # iterations; progress is all that counts here


@dataclass(frozen=True)
class ProfilePoint:
    """What a composition says at one progress: p[T], w[T] on the eps-MSE, the learning-rate multiplier and Adam's beta1."""

    progress: float
    p: Floats
    w: Floats
    lr_scale: float
    beta1: float | None

    def line(self) -> list[str]:
        tenths = " ".join(f"{part.sum():.3f}" for part in np.array_split(self.p, 10))
        beta1 = "the task's" if self.beta1 is None else f"{self.beta1:.6g}"
        return [f"{self.progress:g}", f"{self.lr_scale:.6g}", beta1, tenths, f"{self.w.min():.4g} to {self.w.max():.4g}"]


def profile(
    composition: Composition,
    grid: str,
    progresses: Sequence[float],
    prediction: Prediction = NoiseSchedule.prediction,
    sigma_data: float = NoiseSchedule.sigma_data,
) -> list[ProfilePoint]:
    """What `composition` says on the schedule `grid`, at each progress in order; raises InputError where it cannot."""
    try:
        with np.errstate(all="ignore"):
            composition.prepare(NoiseSchedule(parse_noise_schedule(grid), prediction, sigma_data, HORIZON))
            return list(_profile(composition, sorted(set(progresses))))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"method {str(composition)!r} on {grid}: {type(error).__name__}: {error}") from error


def _profile(composition: Composition, progresses: Sequence[float]) -> Iterator[ProfilePoint]:
    T, done = composition.parts[0].schedule.T, 0
    for progress in progresses:
        n = round(progress * HORIZON)
        rehearse(composition, done, n)
        done = n
        p, w = composition.timestep_density(n), composition.loss_weight(n)
        even, one = np.full(T, 1 / T), np.ones(T)
        yield ProfilePoint(n / HORIZON, even if p is None else p, one if w is None else w, *composition.optimizer(n))
