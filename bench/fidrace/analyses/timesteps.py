"""Bands: equal ranges [low, high) of the timesteps 0..T - 1."""

from itertools import pairwise

import numpy as np

from fidrace.errors import InputError
from fidrace.method.base import Ints


def split_timesteps(T: int, bands: int, fewest: int = 1) -> list[tuple[int, int]]:
    """`bands` ranges [low, high) of T timesteps, as equal as whole numbers allow; raises InputError unless there are at least
    `fewest` and every one holds a timestep."""
    if not fewest <= bands <= T:
        raise InputError(f"--bands {bands}: {T} timesteps can be split into {fewest} to {T} bands")
    edges = np.linspace(0, T, bands + 1).round().astype(int)
    return [(int(low), int(high)) for low, high in pairwise(edges)]


def space_evenly(low: int, high: int, count: int) -> Ints:
    """t[count] in [low, high), at the midpoints of `count` equal intervals."""
    return low + ((np.arange(count) + 0.5) / count * (high - low)).astype(np.int64)
