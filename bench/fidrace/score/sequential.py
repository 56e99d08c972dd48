"""Group-sequential seeds: the level of each look, and p-values that hold whenever one stops looking.

Looks at n[K] pairs. A design spends the share w[k] of an error rate by look k; a[k] is the nominal one-sided level at which a
t test with n[k] pairs may reject there, so that equal methods are rejected by look k with probability alpha w[k] in all. Every
a[k] rises with alpha: a higher alpha adds to what a look may spend, and the higher levels before it only take paths away. So
the smallest alpha at which look k rejects is a p-value that is valid whatever look one stops at, and for whatever reason: its
study rejects at alpha only if some look of the design would have done so. Such *sequential p-values* (Liu and Anderson,
Journal of the American Statistical Association 103, 2008) go through Holm as any others do (Maurer and Bretz, Statistics in
Biopharmaceutical Research 5, 2013).
"""

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats would take a second to import

from fidrace.method.base import Floats
from fidrace.score.speedups import NAN, ONE_SIDED, Speedup
from fidrace.spec.looks import Design, Looks

T = TypeVar("T")
PATHS = 400_000  # and their mirror images
FINE, FEWER = 0.06, 7  # of higher alphas so many events come that a path in seven is enough
ALPHAS = ONE_SIDED * 10 ** (np.arange(-14, 14) / 10)  # 0.001 to 0.5: where nominal levels are known
AT_ONE_SIDED = 14  # the place of ONE_SIDED among them


@dataclass(frozen=True)
class Look:
    """Look `number` of `design` (0: none yet), which takes the seeds below `seeds`."""

    design: Design
    number: int
    seeds: float

    @property
    def level(self) -> float:
        """The one-sided level of the interval; NaN before the first look, which has none."""
        return self.design.levels[self.number - 1] if self.number else NAN

    def p_value(self, nominal: float) -> float:
        """The sequential p-value of a nominal one; NaN before the first look."""
        return sequential_p(self.design, self.number, nominal) if self.number else NAN

    def __contains__(self, seed: int) -> bool:
        return seed < self.seeds

    def __str__(self) -> str:
        return f"look {self.number} of {len(self.design.looks)}" if self.number else "before the first look"


def look_at(design: Design, raced: int) -> Look:
    """The last look that is over if the first `raced` seeds have been raced. Seeds beyond the last look belong to it."""
    number = int(np.searchsorted(design.looks, raced, side="right"))
    seeds = np.inf if number == len(design.looks) else design.looks[number - 1] if number else raced
    return Look(design, number, seeds)


def resolve(looks: Looks) -> Design:
    """The design of `looks`, with every share and level."""
    levels = nominal_levels(looks.looks, looks.shares())[:, AT_ONE_SIDED]
    rounded = tuple(float(f"{level:.4g}") for level in levels)
    return Design(looks=looks.looks, spending=looks.shares(), futility=looks.futility, levels=rounded)


def sequential_p(design: Design, number: int, nominal: float) -> float:
    """The smallest overall level at which look `number` would reject with a `nominal` p; 1 above the last of ALPHAS.

    Below the first of ALPHAS the union bound stands in: a look that spends a share of alpha has at least that level. At
    ONE_SIDED it is the level in study.json, so that p and interval always agree."""
    if np.isnan(nominal):
        return NAN
    spent = np.diff(design.spending, prepend=0.0)[number - 1]
    known = nominal_levels(design.looks, design.spending)[number - 1].copy()
    known[AT_ONE_SIDED] = own = design.levels[number - 1]
    known[:AT_ONE_SIDED] = np.minimum(known[:AT_ONE_SIDED], own)
    known[AT_ONE_SIDED:] = np.maximum(known[AT_ONE_SIDED:], own)
    if nominal <= known[0]:
        return float(min(nominal / spent, ALPHAS[0]))
    if nominal > known[-1]:
        return 1.0
    return float(np.exp(np.interp(np.log(nominal), np.log(known), np.log(ALPHAS))))


def notes_of_look(look: Look | None, found: Speedup | None = None) -> list[str]:
    """The look that a row is of, and whether its interval lies below the factor at which racing on is futile."""
    if look is None:
        return []
    futile = found is not None and not found.identical and found.ci_high < look.design.futility
    return [f"sequential, {look}", *([f"less than {look.design.futility:g}x"] if futile else [])]


@cache
def nominal_levels(looks: tuple[int, ...], shares: tuple[float, ...]) -> Floats:
    """a[K, A], the nominal level of each look at each of ALPHAS, from simulated studies of equal methods."""
    t = simulated_t(looks)
    parts = {True: t, False: t[::FEWER]}  # a high alpha is met by many
    freedom = np.array(looks) - 1.0
    found = np.empty((len(looks), len(ALPHAS)))
    for place, alpha in reversed([*enumerate(ALPHAS)]):
        part = alpha < FINE
        count = len(t) if part else len(t[::FEWER])
        # no nominal level is above its alpha, nor above that of a higher alpha: the other paths never reject
        parts[part] = parts[part][(parts[part] >= stdtrit(freedom, 1 - alpha)).any(axis=1)]
        found[:, place] = levels_at(float(alpha), shares, parts[part], count, freedom)
    return np.maximum.accumulate(found, axis=1)


def levels_at(alpha: float, shares: tuple[float, ...], t: Floats, count: int, freedom: Floats) -> Floats:
    """a[K] at one alpha, from t[P, K] of those of `count` paths that may reject."""
    levels = np.zeros(len(shares))
    for k, spent in enumerate(np.diff(shares, prepend=0.0)):
        levels[k] = alpha * spent  # exactly so at the first look, and at least so at the others
        limit = stdtrit(freedom[k], 1 - levels[k])
        if k and (wanted := round(alpha * spent * count)) > 0:
            limit = np.partition(t[:, k], -wanted)[-wanted]
            levels[k] = max(stdtr(freedom[k], -limit), levels[k])
        t = t[t[:, k] < limit]
    return levels


def simulated_t(looks: tuple[int, ...]) -> Floats:
    """t[P, K], the t statistics at every look of P sequences of standard normal differences.

    What lies between two looks enters by its mean and sum of squares alone, whose laws are known; they are joined by the
    formula of Chan, Golub and LeVeque (American Statistician 37, 1983). Each sequence also counts with all signs turned."""
    rng = np.random.Generator(np.random.Philox(0))
    n, mean, squares = 0, np.zeros(PATHS), np.zeros(PATHS)
    t = np.empty((PATHS, 2, len(looks)))
    for k, look in enumerate(looks):
        more = look - n
        gap = rng.standard_normal(PATHS) / more**0.5 - mean
        mean += gap * more / look
        squares += gap**2 * n * more / look + (rng.chisquare(more - 1, PATHS) if more > 1 else 0)
        n = look
        t[:, 0, k] = mean * (n * (n - 1) / squares) ** 0.5
    t[:, 1] = -t[:, 0]
    return t.reshape(2 * PATHS, len(looks))


def within(look: Look | None, by_seed: dict[int, T]) -> dict[int, T]:
    """What belongs to the look; all without looks."""
    return by_seed if look is None else {seed: value for seed, value in by_seed.items() if seed in look}
