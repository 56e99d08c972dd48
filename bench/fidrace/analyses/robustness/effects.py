"""Effects: by how much one hyperparameter changes a speedup, all else equal.

d[S, C] = ln(baseline's cost) - ln(method's cost) of S seeds at C settings, NaN if either did not reach the target. Settings of
one seed share its chances, so they are not independent measurements; seeds are. Intervals are for new seeds at these settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fidrace.analyses.robustness.own_target import SettingResult
from fidrace.analyses.robustness.settings import HYPERPARAMETERS, Setting, Settings, format_level
from fidrace.method.base import Floats
from fidrace.score.speedups import student
from fidrace.spec.user_input import BASELINE
from fidrace.storage.atomic import Row


@dataclass(frozen=True)
class Effect:
    """The factor at one level of a hyperparameter over the factor at another: geometric mean over `pairs` of settings that
    differ in nothing else, and its 95 % interval over `seeds` (NaN for fewer than 3)."""

    pairs: int
    seeds: int
    ratio: float
    ci_low: float
    ci_high: float


def mean_effect(level: Floats, against: Floats) -> Effect | None:
    """From d[S, C] at one level and d[S, C] at another, column by column: each seed's mean difference, then Student's t over
    seeds. Only settings at which every run of both reaches its target count; None if there are none."""
    difference = level - against
    complete = np.isfinite(difference).all(axis=0)
    if not complete.any() or not len(difference):
        return None
    mean, low, high, _, _ = student(difference[:, complete].mean(axis=1))
    return Effect(int(complete.sum()), len(difference), float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)))


def effect_rows(results: list[SettingResult], settings: Settings, method: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Rows of effects.csv for one method: its factor over all settings against 1, then each level of a hyperparameter against
    the first level."""
    logs = {result.setting: log_factors(result, method, seeds) for result in results}

    def stack(wanted: list[Setting]) -> Floats:
        return np.stack([logs[setting] for setting in wanted], axis=1)

    everything = stack(settings.combinations)
    if whole := mean_effect(everything, np.zeros_like(everything)):
        yield effect_row("all", "all cells", BASELINE, whole)
    for name in HYPERPARAMETERS:
        first, *others = getattr(settings, name)
        for level in others:
            at_level = [setting for setting in settings.combinations if getattr(setting, name) == level]
            effect = mean_effect(stack(at_level), stack([replace(setting, **{name: first}) for setting in at_level]))
            if effect:
                yield effect_row(name, format_level(level), format_level(first), effect)


def effect_row(name: str, level: object, against: object, effect: Effect) -> Row:
    numbers = {"cells": effect.pairs, "seeds": effect.seeds, "ratio": effect.ratio}
    return {
        "setting": name,
        "level": level,
        "against": against,
        **numbers,
        "ci_low": effect.ci_low,
        "ci_high": effect.ci_high,
    }


def log_factors(result: SettingResult, method: str, seeds: tuple[int, ...]) -> Floats:
    """d[S] of a method at one setting; NaN if a run is missing or did not reach the target."""
    if result.runs is None or not result.has(method):
        return np.full(len(seeds), np.nan)
    ours, theirs = (result.runs.costs(name, "iterations") for name in (method, BASELINE))
    known = {
        seed: np.log(theirs[seed].cost / ours[seed].cost)
        for seed in seeds
        if seed in ours and seed in theirs and not ours[seed].censored and not theirs[seed].censored
    }
    return np.array([known.get(seed, np.nan) for seed in seeds])
