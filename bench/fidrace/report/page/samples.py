"""Samples over training: what one seed's networks draw from the same latents at each evaluation, one image per method."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fidrace.errors import InputError
from fidrace.score.curves import Curve
from fidrace.storage.study_folder import directory_of
from fidrace.storage.tables import FRAME, REAL

MOST_FRAMES, MOST_BYTES = 16, 1_500_000  # of samples on the page


@dataclass(frozen=True)
class Samples:
    """`frames` has, by method, a PNG as data URI for each of `iterations`, or None if that one is missing; `of` is the number
    of evaluations that have samples, of which `iterations` are some; `real` is one of held-out images, or empty."""

    seed: int
    iterations: list[int]
    frames: dict[str, list[str | None]]
    of: int
    real: str = ""


def frames_of(folder: Path, curve: Curve) -> dict[int, Path]:
    """The sample grids that a run kept, by iteration."""
    prefix, suffix = FRAME.split("{}")
    try:
        directory = folder / directory_of(curve.about | {"seed": str(curve.seed)})
    except InputError:  # a name whose path leaves the folder
        return {}
    found = {path.name[len(prefix) : -len(suffix)]: path for path in directory.glob(FRAME.format("*"))}
    return {int(number): path for number, path in found.items() if number.isdecimal()}


def load_samples(folder: Path, curves: list[Curve], methods: list[str]) -> Samples | None:
    """The samples of the first seed for which most methods have some; None if no run kept any."""
    seeds: dict[int, dict[str, dict[int, Path]]] = {}
    for curve in curves:
        if found := frames_of(folder, curve):
            seeds.setdefault(curve.seed, {})[curve.method] = found
    if not seeds:
        return None
    seed = max(sorted(seeds), key=lambda one: len(seeds[one]))
    runs = {method: seeds[seed][method] for method in methods if method in seeds[seed]}
    every = sorted({n for run in runs.values() for n in run})
    chosen = every
    for count in range(MOST_FRAMES, 1, -1):
        chosen = [every[k] for k in np.unique(np.linspace(0, len(every) - 1, count).round().astype(int))]
        if sum(run[n].stat().st_size for run in runs.values() for n in chosen if n in run) <= MOST_BYTES:
            break
    frames = {method: [uri(run[n]) if n in run else None for n in chosen] for method, run in runs.items()}
    real = next(iter(runs[min(runs)].values())).parents[2] / REAL
    return Samples(seed, chosen, frames, len(every), uri(real) if real.is_file() else "")


def uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
