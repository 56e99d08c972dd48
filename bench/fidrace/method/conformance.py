"""What any method must pass before it races: checks of a method alone, without a network.

Each check takes a `Maker`, which gives fresh prepared compositions, and raises Unfit with one line that says what and where.
"""

import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fidrace.method.base import Floats, Ints, NoiseSchedule, Prediction
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.registry import Registry
from fidrace.method.rehearsal import rehearse

GRIDS = ("linear-1000", "cosine-1000", "cosine-4000", "cosine-16")
HORIZON = 100
ITERATIONS = (0, 1, 25, 50, 75, 99, 100, 110)  # iterations; the last is the evaluation past the budget
DRAWS, BATCH = 100_000, 50

Record = dict[int, list[Floats]]  # what a composition says at each moment


class Unfit(Exception):
    """A check has failed; the message says what and where."""


@dataclass(frozen=True)
class Maker:
    """Fresh compositions of `name` on the noise schedule `grid`; `observed` iterations of an ideal denoiser's losses seen."""

    registry: Registry
    name: str
    grid: str

    def __call__(self, observed: int = 0, horizon: int = HORIZON, prediction: Prediction = "eps") -> Composition:
        composition = self.registry.compose(self.name)
        composition.prepare(NoiseSchedule(parse_noise_schedule(self.grid), prediction, horizon=horizon))
        rehearse(composition, 0, observed)
        return composition

    def moments(self, prediction: Prediction = "eps") -> Iterator[tuple[int, Composition, str]]:
        """Iterations, a composition that has come to each, and words for where that is."""
        composition, done = self(prediction=prediction), 0
        for n in ITERATIONS:
            rehearse(composition, done, n)
            done = n
            yield n, composition, f"on {self.grid} at progress {n / HORIZON:g}"


def densities(make: Maker) -> None:
    for n, composition, where in make.moments():
        with naming_where(where):
            composition.timestep_density(n)


def weights(make: Maker) -> None:
    for prediction in typing.get_args(Prediction):
        for n, composition, where in make.moments(prediction):
            with naming_where(f"{where}, predicting {prediction}"):
                w = composition.loss_weight(n)
                if w is not None and not w.any():
                    raise ValueError("every weight is 0")


@contextmanager
def naming_where(where: str) -> Iterator[None]:
    """What a composition refuses is named with where that was."""
    try:
        yield
    except ValueError as error:
        raise Unfit(f"{error} {where}") from error


def optimizer(make: Maker) -> None:
    for n, composition, where in make.moments():
        scale, beta1 = composition.optimizer(n)
        if not 0 <= scale < np.inf:
            raise Unfit(f"the learning rate is multiplied by {scale:g} {where}")
        if beta1 is not None and not 0 <= beta1 < 1:
            raise Unfit(f"beta1 is {beta1:g}, outside [0, 1), {where}")


def draws_follow_density(make: Maker) -> None:
    """Timesteps on the grid, distributed as the density says: pooled counts within 4 sigma for all of them together."""
    rng = np.random.default_rng(0)
    for n, composition, where in make.moments():
        if n not in (0, HORIZON // 2, HORIZON):
            continue
        T = composition.parts[0].schedule.T
        p = composition.timestep_density(n)
        edge = composition.timesteps(np.array([0.0, np.nextafter(1.0, 0)]), n)
        sizes = {size: len(composition.timesteps(rng.random(size), n)) for size in (1, 7, 64)}
        if any(size != drawn for size, drawn in sizes.items()):
            raise Unfit(f"batches of 1, 7 and 64 become {list(sizes.values())} timesteps {where}")
        batches = [composition.timesteps(u, n) for u in rng.random((DRAWS // BATCH, BATCH))]
        t = np.concatenate(batches)
        if len(t) != DRAWS or not np.issubdtype(t.dtype, np.integer):
            raise Unfit(f"timesteps are {t.dtype}[{len(batches[0])}] for a batch of {BATCH}, not int64[{BATCH}], {where}")
        if min(t.min(), edge.min()) < 0 or max(t.max(), edge.max()) >= T:
            raise Unfit(f"a timestep outside 0 to {T - 1} is drawn {where}")
        expected = DRAWS * (np.full(T, 1 / T) if p is None else p)
        worst = excess(np.bincount(t, minlength=T), expected)
        if worst > 4:
            raise Unfit(f"timesteps are not drawn as the density says: {worst:.1f} sigma off {where}")


def excess(observed: Ints, expected: Floats) -> float:
    """How far counts lie from what is expected, as the normal deviate of the worst of them after Bonferroni's correction.

    observed[T] and expected[T]; neighbours are pooled until 25 are expected, so that counts are close to normal.
    Infinite where something is drawn that cannot be.
    """
    if observed[expected == 0].any():
        return float(np.inf)
    pool = np.floor(np.cumsum(expected) / 25 * (1 - 1e-12)).astype(int)
    seen, awaited = np.bincount(pool, observed), np.bincount(pool, expected)
    seen, awaited = seen[awaited > 0], awaited[awaited > 0]
    if len(awaited) < 2:
        return 0.0
    total = awaited.sum()
    deviation = np.abs(seen - awaited) / np.sqrt(np.maximum(awaited * (1 - awaited / total), 1))
    return float(stats.norm.isf(min(0.5, len(awaited) * stats.norm.sf(deviation.max()))))


def answers(composition: Composition, n: int) -> list[Floats]:
    """All that a composition says at iteration n, as arrays."""
    scale, beta1 = composition.optimizer(n)
    said = [composition.timestep_density(n), composition.loss_weight(n), np.array([scale, np.nan if beta1 is None else beta1])]
    u = np.random.default_rng(n).random(BATCH)
    return [np.array(np.nan if each is None else each, dtype=np.float64) for each in (*said, composition.timesteps(u, n))]


def record(composition: Composition, moments: Sequence[int] = ITERATIONS) -> Record:
    return {n: answers(composition, n) for n in moments}


def agree(first: Record, second: Record, fault: str) -> None:
    for n in ITERATIONS:
        for what, a, b in zip(("density", "weight", "optimizer", "timesteps"), first[n], second[n], strict=True):
            if not np.array_equal(a, b, equal_nan=True):
                raise Unfit(f"{fault}: the {what} at progress {n / HORIZON:g} is another")


def no_hidden_state(make: Maker) -> None:
    """Answers depend on progress and on what was observed, on nothing else."""
    composition = make(50)
    first = record(composition)
    agree(first, record(composition), f"asked twice on {make.grid}")
    agree(first, record(make(50), ITERATIONS[::-1]), f"a fresh one, asked in another order after others, on {make.grid}")


def resumes(make: Maker) -> None:
    """Given the saved state, a fresh instance goes on as the one that was interrupted."""
    for moment in (0, 7, 250):
        whole, resumed = make(moment), make()
        state = {key: np.array(value) for key, value in whole.state_dict().items()}
        objects = [key for key, value in state.items() if value.dtype.kind not in "biuf"]
        if objects:
            raise Unfit(f"state_dict holds {objects[0]!r}, which is not an array of numbers")
        resumed.load_state_dict(state)
        agree(record(whole), record(resumed), f"saved and restored after {moment} iterations on {make.grid}")
        for composition in (whole, resumed):
            rehearse(composition, moment, moment + 30)
        agree(record(whole), record(resumed), f"30 iterations after it was restored on {make.grid}")


def horizon_is_declared(make: Maker) -> None:
    """What depends on the budget before the budget has the parameter `horizon`, so that every table can say so."""
    composition = make()
    if not composition.depends_on_horizon():
        fault = f"no parameter `horizon`, yet with twice the budget on {make.grid}"
        agree(record(composition), record(make(horizon=2 * HORIZON)), fault)


CHECKS: dict[str, Callable[[Maker], None]] = {
    "the density is finite, >= 0 and sums to 1 at every progress": densities,
    "the weight is finite and >= 0 at every progress": weights,
    "the learning rate and beta1 can be used": optimizer,
    "timesteps are drawn as the density says": draws_follow_density,
    "no hidden state": no_hidden_state,
    "resumable": resumes,
    "a schedule that depends on the budget is declared": horizon_is_declared,
}


def examine(registry: Registry, name: str) -> Iterator[tuple[str, str]]:
    """Each check and what is wrong, empty where nothing is."""
    for title, check in CHECKS.items():
        try:
            with np.errstate(all="ignore"):
                for grid in GRIDS:
                    check(Maker(registry, name, grid))
        except Unfit as unfit:
            yield title, str(unfit)
        except (Exception, SystemExit) as error:
            yield title, f"{type(error).__name__}: {error}"
        else:
            yield title, ""
