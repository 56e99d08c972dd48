"""The profile of a method: its arrays and numbers at chosen points of training, without a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Floats, NoiseSchedule, Prediction
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.rehearsal import rehearse

HORIZON = 1000  # iterations; the profile depends on progress alone


@dataclass(frozen=True)
class ProfilePoint:
    """A composition's answers at one progress: p[T], w[T] on the eps-MSE, the learning-rate multiplier, Adam's beta1, and the
    decay of the average (of both None: the task's)."""

    progress: float
    p: Floats
    w: Floats
    lr_scale: float
    beta1: float | None
    decay: float | None

    def row(self) -> list[str]:
        """The cells of a table: progress, multiplier, beta1, decay, share of p in tenths of T, range of w."""
        tenths = " ".join(f"{part.sum():.3f}" for part in np.array_split(self.p, 10))
        own = ["the task's" if value is None else f"{value:.6g}" for value in (self.beta1, self.decay)]
        return [f"{self.progress:g}", f"{self.lr_scale:.6g}", *own, tenths, f"{self.w.min():.4g} to {self.w.max():.4g}"]


def profile(
    composition: Composition,
    grid: str,
    progresses: Sequence[float],
    prediction: Prediction = NoiseSchedule.prediction,
    sigma_data: float = NoiseSchedule.sigma_data,
) -> list[ProfilePoint]:
    """The answers of `composition` on the noise schedule `grid` (NAME-T), at each progress in ascending order; raises
    InputError if a hook fails."""
    try:
        with np.errstate(all="ignore"):
            composition.prepare(NoiseSchedule(parse_noise_schedule(grid), prediction, sigma_data, HORIZON))
            return list(_profile_points(composition, sorted(set(progresses))))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"method {str(composition)!r} on {grid}: {type(error).__name__}: {error}") from error


def _profile_points(composition: Composition, progresses: Sequence[float]) -> Iterator[ProfilePoint]:
    T, done = composition.parts[0].schedule.T, 0
    for progress in progresses:
        n = round(progress * HORIZON)
        rehearse(composition, done, n)
        done = n
        p, w = composition.timestep_density(n), composition.loss_weight(n)
        p, w = np.full(T, 1 / T) if p is None else p, np.ones(T) if w is None else w
        yield ProfilePoint(n / HORIZON, p, w, *composition.optimizer(n), composition.decay(n + 1))
