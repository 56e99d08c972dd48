"""Tuning: the settings that are tried, the same for every method, and how they are named.

The points are the first of a scrambled Halton sequence (`scipy.stats.qmc`), so more trials later keep those that were raced.
Trial 0 is the task's own setting: tuning costs it one trial, and can lose nothing by it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fidrace.errors import InputError, nearest
from fidrace.method.registry import Registry
from fidrace.spec.task import Task
from fidrace.spec.user_input import BASELINE, Target

PART = "tuned"  # the method whose parameters are tuned
KEYS = {
    "optimizer.lr": "lr",
    "optimizer.warmup": "warmup",
    "optimizer.beta2": "beta2",
    "optimizer.weight_decay": "weight_decay",
    "ema.decay": "ema",
}
FILE = "tuning.csv"
MOST_TRIALS = 1000
SEED = 0  # of the scrambling


@dataclass(frozen=True)
class Range:
    """A setting of the task, and the range it is tried in: evenly in its logarithm, or as it is (`lin`)."""

    key: str
    scale: str
    low: float
    high: float

    def at(self, share: float) -> float:
        """The value at a share in [0, 1) of the range, to three figures."""
        if self.scale == "log":
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        return float(f"{value:.3g}")

    def __str__(self) -> str:
        return f"{self.key}={self.scale}:{self.low:g}:{self.high:g}"


def parse_range(text: str) -> Range:
    """`optimizer.lr=log:1e-4:1e-2`. Raises InputError for an unknown setting and an empty range."""
    key, _, rest = (part.strip() for part in text.partition("="))
    if key not in KEYS:
        raise InputError(f"--over {key or text}: no setting that a method can be tuned by{nearest(key, KEYS)}")
    words = rest.split(":")
    try:
        scale, low, high = words[0], *map(float, words[1:])
    except ValueError:
        scale, low, high = "", 0.0, 0.0
    if len(words) != 3 or scale not in ("log", "lin"):
        raise InputError(f"--over {text}: write {key}=log:LOW:HIGH or {key}=lin:LOW:HIGH")
    if not -math.inf < low < high < math.inf or (scale == "log" and low <= 0):
        raise InputError(
            f"--over {text}: no range from {low:g} to {high:g}{', which log needs above 0' if scale == 'log' else ''}"
        )
    return Range(key, scale, low, high)


def points(ranges: Sequence[Range], trials: int) -> list[tuple[float, ...]]:
    """The settings of trials 1 to `trials` - 1."""
    from scipy.stats import qmc

    shares = qmc.Halton(len(ranges), scramble=True, rng=SEED).random(trials - 1) if trials > 1 else []
    return [tuple(one.at(float(share)) for one, share in zip(ranges, row, strict=True)) for row in shares]


@dataclass(frozen=True)
class Trial:
    """A method as it is raced in one trial; `values` of the ranges, those of the task in trial 0."""

    method: str
    number: int
    raced_as: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Tuning:
    """What tuning has chosen: the name that each method is raced as, in how many trials, and with which seeds, of which task
    and to which target."""

    chosen: Mapping[str, str]
    trials: int
    seeds: tuple[int, ...]
    task: str
    fixed_hash: str
    target: Target

    def check(self, task: Task, target: Target, seeds: Sequence[int]) -> None:
        """Raise InputError if a race is of another task or target than this tuning, or of one of its seeds."""
        if task.name != self.task or (task.fixed_hash() != self.fixed_hash and not task.has_open_content):
            raise InputError(
                f"--tuned: it was tuned on {self.task} with another fixed part (task, --set, --budget) than this race"
            )
        if target != self.target:
            raise InputError(f"--tuned: it was tuned to the target {self.target}, and this race has {target}")
        if both := sorted({*seeds} & {*self.seeds}):
            raise InputError(f"--seeds: {both[0]} was a tuning seed; race with others")

    def trials_of(self, raced_as: str) -> int:
        return self.trials if raced_as in self.chosen.values() else 0

    def contrasts(self) -> tuple[str, ...]:
        """Each method against the tuned baseline, unless that is the task's own."""
        control = self.chosen[BASELINE]
        others = (name for method, name in self.chosen.items() if method != BASELINE)
        return () if control == BASELINE else tuple(f"{name}/{control}" for name in others)


def trials_of(methods: Sequence[str], ranges: Sequence[Range], trials: int, task: Task, registry: Registry) -> list[Trial]:
    """All trials, number by number. Raises InputError for a setting that is named twice, that the task does not take, or that a
    method sets itself."""
    keys = [one.key for one in ranges]
    if not ranges:
        raise InputError("--over: name at least one range, as optimizer.lr=log:1e-4:1e-2")
    if len({*keys}) < len(keys):
        raise InputError(f"--over: {max(keys, key=keys.count)} is given twice")
    if not 2 <= trials <= MOST_TRIALS:
        raise InputError(f"--trials {trials}: two at least, the task's own setting and another, and at most {MOST_TRIALS}")
    own = tuple(float(getattr(getattr(task, key.partition(".")[0]), key.partition(".")[2])) for key in keys)
    names = list(dict.fromkeys(str(registry.compose(name)) for name in methods))
    found = [Trial(name, 0, name, own) for name in names]
    tried = points(ranges, trials)
    if len({*tried}) < len(tried):
        raise InputError(f"--over {', '.join(map(str, ranges))}: too narrow for {trials} trials, which have three figures each")
    for number, values in enumerate(tried, 1):
        written = (round(value) if key == "optimizer.warmup" else value for key, value in zip(keys, values, strict=True))
        part = f"{PART}[{','.join(f'{KEYS[key]}={value}' for key, value in zip(keys, written, strict=True))}]"
        for name in names:
            composed = registry.compose(part if name == BASELINE else f"{name}+{part}")
            task.with_settings(composed.settings())
            found.append(Trial(name, number, str(composed), values))
    return found
