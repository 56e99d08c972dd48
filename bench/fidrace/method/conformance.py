"""Checks that every method must pass before it races. They run the method alone, without a network.

A check raises Unfit with one line that says what is wrong and where.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from fidrace.errors import nearest
from fidrace.method.base import ASPECTS, TENSORS, Floats, Ints, Method, NoiseSchedule, Prediction
from fidrace.method.baseline import Baseline
from fidrace.method.composition import Composition
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.registry import Registry
from fidrace.method.rehearsal import rehearse

GRIDS = ("linear-1000", "cosine-1000", "cosine-4000", "cosine-16", "flow-1000")
HORIZON = 100
ITERATIONS = (0, 1, 25, 50, 75, 99, 100, 110)  # the last is the evaluation past the budget
WARM_UP = 1000  # iterations after which an adaptive method must have changed something
DRAWS, EXAMPLES = 100_000, 250
PREDICTIONS = typing.get_args(Prediction)
CLAIMING = tuple(dict.fromkeys(hook for hooks in ASPECTS.values() for hook in hooks))
HOOKS = (*CLAIMING, "prepare", "aspects", "observe", "state_dict", "load_state_dict")

Check = Callable[[Registry, str], None]
Answers = dict[int, list[Floats]]  # by iteration, in the order of ANSWERED
ANSWERED = ("density", "weight", "optimizer", "timesteps", "average", "prediction", "settings")


class Unfit(Exception):
    """A method fails a check; the message says what is wrong and where."""


@dataclass(frozen=True)
class Maker:
    """Makes fresh compositions of the method `name`, prepared on the noise schedule `grid` (NAME-T)."""

    registry: Registry
    name: str
    grid: str

    def __call__(self, observed: int = 0, horizon: int = HORIZON, prediction: Prediction = "eps") -> Composition:
        """A composition that has observed `observed` iterations of an ideal denoiser's losses."""
        composition = self.registry.compose(self.name)
        composition.prepare(NoiseSchedule(parse_noise_schedule(self.grid), prediction, horizon=horizon))
        rehearse(composition, 0, observed)
        return composition

    def stages(
        self, prediction: Prediction = "eps", iterations: Sequence[int] = ITERATIONS
    ) -> Iterator[tuple[int, Composition]]:
        """Each of `iterations`, ascending, and one composition that has observed all iterations before it."""
        composition, done = self(prediction=prediction), 0
        for n in iterations:
            rehearse(composition, done, n)
            done = n
            yield n, composition

    def place(self, n: int) -> str:
        return f"on {self.grid} at progress {n / HORIZON:g}"


def check_public_names(registry: Registry, name: str) -> None:
    """Every public method or property is a hook, or the class itself uses it: a misspelt hook would never be called."""
    for part in registry.compose(name).parts:
        own = [cls for cls in type(part).__mro__ if cls not in Method.__mro__]
        source = "".join(map(inspect.getsource, own))
        for key, value in [item for cls in own for item in vars(cls).items()]:
            is_code = callable(value) or hasattr(value, "__get__")  # a property is not callable
            is_used = key.startswith("_") or hasattr(Method, key) or re.search(rf"\bself\.{key}\b", source)
            if is_code and not is_used:
                raise Unfit(f"{key} is no hook{nearest(key, HOOKS)} (a helper's name begins with _)")


def check_effect(registry: Registry, name: str) -> None:
    """Every part changes something. The baseline, which changes nothing on purpose, is exempt."""
    for part in registry.compose(name).parts:
        if isinstance(part, Baseline):
            continue
        if not part.aspects():
            raise Unfit(f"{part} claims no aspect: it overrides none of {', '.join(CLAIMING)}")
        if TENSORS & {*part.aspects()}:  # fidrace.execute.batch_checks
            continue
        if not any(differs_from_baseline(Maker(registry, str(part), grid)) for grid in GRIDS):
            raise Unfit(f"{part} changes nothing: it answers as the baseline does at every progress on {', '.join(GRIDS)}")


def differs_from_baseline(make: Maker) -> bool:
    """True if any answer differs from the baseline's. An adaptive method gets WARM_UP iterations to begin."""
    baseline = Maker(make.registry, Baseline.name, make.grid)()
    iterations = (*ITERATIONS, WARM_UP) if make().adaptive() else ITERATIONS
    for n, composition in make.stages(iterations=iterations):
        pairs = zip(answers(composition, n), answers(baseline, n), strict=True)
        if not all(np.array_equal(own, neutral, equal_nan=True) for own, neutral in pairs):
            return True
    return False


def check_densities(make: Maker) -> None:
    for n, composition in make.stages():
        with add_place(make.place(n)):
            composition.timestep_density(n)


def check_weights(make: Maker) -> None:
    chosen = "prediction" in make.registry.compose(make.name).claims
    for prediction in PREDICTIONS:
        if chosen and prediction == "flow":  # which it is refused for
            continue
        for n, composition in make.stages(prediction):
            with add_place(f"{make.place(n)}, predicting {prediction}"):
                w = composition.loss_weight(n)
                if w is not None and not w.any():
                    raise ValueError("every weight is 0")


@contextmanager
def add_place(place: str) -> Iterator[None]:
    """Convert a ValueError of a composition into an Unfit that also says where it was raised."""
    try:
        yield
    except ValueError as error:
        raise Unfit(f"{error} {place}") from error


def check_optimizer(make: Maker) -> None:
    for n, composition in make.stages():
        scale, beta1 = composition.optimizer(n)
        if not 0 <= scale < np.inf:
            raise Unfit(f"the learning rate is multiplied by {scale:g} {make.place(n)}")
        if beta1 is not None and not 0 <= beta1 < 1:
            raise Unfit(f"beta1 is {beta1:g}, outside [0, 1), {make.place(n)}")


def check_average(make: Maker) -> None:
    """The decay is in [0, 1], and only an average that differs from the weights is fed back."""
    for n, composition in make.stages():
        with add_place(make.place(n)):
            if composition.decay(n + 1) == 0 and composition.feedback(n + 1):
                raise ValueError("the average is fed back, and its decay is 0: it is the weights themselves")


def check_draws(make: Maker) -> None:
    """Timesteps are integers in [0, T), one per uniform, and their pooled counts lie within 4 sigma of the density."""
    rng = np.random.default_rng(0)
    for n, composition in make.stages(iterations=(0, HORIZON // 2, HORIZON)):
        place, T = make.place(n), composition.parts[0].schedule.T
        p = composition.timestep_density(n)
        edge = composition.timesteps(np.array([0.0, np.nextafter(1.0, 0)]), n)
        counts = {size: len(composition.timesteps(rng.random(size), n)) for size in (1, 7, 64)}
        if any(size != count for size, count in counts.items()):
            raise Unfit(f"batches of 1, 7 and 64 become {list(counts.values())} timesteps {place}")
        batches = [composition.timesteps(u, n) for u in rng.random((DRAWS // EXAMPLES, EXAMPLES))]
        t = np.concatenate(batches)
        if len(t) != DRAWS or not np.issubdtype(t.dtype, np.integer):
            raise Unfit(f"timesteps are {t.dtype}[{len(batches[0])}] for a batch of {EXAMPLES}, not int64[{EXAMPLES}], {place}")
        if min(t.min(), edge.min()) < 0 or max(t.max(), edge.max()) >= T:
            raise Unfit(f"a timestep outside 0 to {T - 1} is drawn {place}")
        expected = DRAWS * (np.full(T, 1 / T) if p is None else p)
        worst = worst_deviation(np.bincount(t, minlength=T), expected)
        if worst > 4:
            raise Unfit(f"timesteps do not follow the density: {worst:.1f} sigma off {place}")


def worst_deviation(observed: Ints, expected: Floats) -> float:
    """The largest deviation of counts observed[T] from expected[T], in sigmas, after Bonferroni's correction.

    Neighbours are pooled until 25 are expected, so that counts are close to normal. Infinite if a timestep is drawn whose
    expected count is 0.
    """
    if observed[expected == 0].any():
        return float(np.inf)
    pool = np.floor(np.cumsum(expected) / 25 * (1 - 1e-12)).astype(int)
    counts, means = np.bincount(pool, observed), np.bincount(pool, expected)
    counts, means = counts[means > 0], means[means > 0]
    if len(means) < 2:
        return 0.0
    deviation = np.abs(counts - means) / np.sqrt(np.maximum(means * (1 - means / means.sum()), 1))
    return float(stats.norm.isf(min(0.5, len(means) * stats.norm.sf(deviation.max()))))


def answers(composition: Composition, n: int) -> list[Floats]:
    """What a composition answers at iteration n: p[T], w[T], (learning-rate multiplier, beta1 or NaN), t[EXAMPLES], and of the
    update after it (the average's decay or NaN, 1 if it is fed back), the prediction's number, the optimizer's settings."""
    T = composition.parts[0].schedule.T
    p, w, (scale, beta1) = composition.timestep_density(n), composition.loss_weight(n), composition.optimizer(n)
    t = composition.timesteps(np.random.default_rng(n).random(EXAMPLES), n)
    decay = composition.decay(n + 1)
    return [
        np.full(T, 1 / T) if p is None else np.array(p, dtype=np.float64),
        np.ones(T) if w is None else np.array(w, dtype=np.float64),
        np.array([scale, np.nan if beta1 is None else beta1]),
        np.array(t, dtype=np.float64),
        np.array([np.nan if decay is None else decay, composition.feedback(n + 1)]),
        np.array([PREDICTIONS.index(composition.schedule.prediction)]),
        np.array([*composition.settings().values()], dtype=np.float64),
    ]


def record_answers(composition: Composition, iterations: Sequence[int] = ITERATIONS) -> Answers:
    return {n: answers(composition, n) for n in iterations}


def require_equal(first: Answers, second: Answers, fault: str) -> None:
    """Raise Unfit, beginning with `fault`, unless all answers are equal."""
    for n in ITERATIONS:
        for what, a, b in zip(ANSWERED, first[n], second[n], strict=True):
            if not np.array_equal(a, b, equal_nan=True):
                raise Unfit(f"{fault}: the {what} at progress {n / HORIZON:g} differs")


def check_hidden_state(make: Maker) -> None:
    """Answers depend on progress and on observed losses, on nothing else."""
    composition = make(50)
    first = record_answers(composition)
    require_equal(first, record_answers(composition), f"asked twice on {make.grid}")
    fault = f"a fresh instance, asked in another order after others, on {make.grid}"
    require_equal(first, record_answers(make(50), ITERATIONS[::-1]), fault)


def check_resume(make: Maker) -> None:
    """A fresh instance that loads the saved state continues exactly as the saved one does."""
    for n in (0, 7, 250):
        whole, resumed = make(n), make()
        state = {key: np.array(value) for key, value in whole.state_dict().items()}
        objects = [key for key, value in state.items() if value.dtype.kind not in "biuf"]
        if objects:
            raise Unfit(f"state_dict holds {objects[0]!r}, which is not an array of numbers")
        resumed.load_state_dict(state)
        fault = f"saved and restored after {n} iterations on {make.grid}"
        require_equal(record_answers(whole), record_answers(resumed), fault)
        for composition in (whole, resumed):
            rehearse(composition, n, n + 30)
        require_equal(record_answers(whole), record_answers(resumed), f"30 iterations after it was restored on {make.grid}")


def check_horizon(make: Maker) -> None:
    """A method whose answers before the budget depend on the budget has the parameter `horizon`, so that tables can say so."""
    composition = make()
    if not composition.depends_on_horizon():
        fault = f"no parameter `horizon`, yet with twice the budget on {make.grid}"
        require_equal(record_answers(composition), record_answers(make(horizon=2 * HORIZON)), fault)


def on_every_schedule(check: Callable[[Maker], None], registry: Registry, name: str) -> None:
    for grid in GRIDS:
        check(Maker(registry, name, grid))


CHECKS: dict[str, Check] = {
    "every public name is a hook": check_public_names,
    "it changes something": check_effect,
    "the density is finite, >= 0 and sums to 1 at every progress": partial(on_every_schedule, check_densities),
    "the weight is finite and >= 0 at every progress": partial(on_every_schedule, check_weights),
    "the learning-rate multiplier is finite and >= 0, beta1 in [0, 1)": partial(on_every_schedule, check_optimizer),
    "the average's decay is in [0, 1]": partial(on_every_schedule, check_average),
    "timesteps follow the density": partial(on_every_schedule, check_draws),
    "answers depend on progress and observed losses alone": partial(on_every_schedule, check_hidden_state),
    "a restored method continues as if never interrupted": partial(on_every_schedule, check_resume),
    "a method that depends on the budget has the parameter `horizon`": partial(on_every_schedule, check_horizon),
}


def examine(registry: Registry, name: str, checks: Mapping[str, Check] = CHECKS) -> Iterator[tuple[str, str]]:
    """The title of each check and what is wrong, '' if the method passes it."""
    for title, check in checks.items():
        try:
            with np.errstate(all="ignore"):
                check(registry, name)
        except Unfit as unfit:
            yield title, str(unfit)
        except (Exception, SystemExit) as error:
            yield title, f"{type(error).__name__}: {error}"
        else:
            yield title, ""
