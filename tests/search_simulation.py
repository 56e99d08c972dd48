"""Whole grids of evaluations, looked at as a run with `budget.stop` or `budget.search` looks at its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fidrace.method.base import Floats
from fidrace.score.curves import Curve
from fidrace.score.reading import read_curves
from fidrace.score.search import Search
from fidrace.spec.user_input import window_edges
from fidrace.storage.manifest import read_manifest
from fidrace.storage.tables import CROSSED
from tests.simulation import FAMILIES, World

RESULTS = Path(__file__).parents[1] / "results"
PUBLISHED = ("digits-field", "digits", "digits-controls")
RUN = ["method", "seed"]


@dataclass(frozen=True)
class Look:
    """What was measured of a run: places of the grid, in order, and the last one that training reached; the most weights that
    were kept at a time, and whether all that was asked for was there."""

    places: list[int]
    reached: int
    most_kept: int
    all_kept: bool


def look(fd: Floats, edges: tuple[float, float], step: int = 1, stop: bool = False) -> Look:
    """Walk along the grid of a whole run, fd[E], as execute/run.py does."""
    search, known = Search(edges, step, len(fd) - 1), dict[int, float]()
    kept: set[int] = set()
    most, all_kept = 0, True
    for place in range(len(fd)):
        for ended in (False, True):  # as it goes on, and if it ended here
            rows = dict(known) if ended else known
            while (asked := search.next_place(rows, place, ended)) is not None:
                all_kept &= asked == place or asked in kept
                rows[asked] = float(fd[asked])
        needed = {*search.may_be_asked(known, place)}
        kept = (kept & needed) | ({place} & needed)
        most = max(most, len(kept))
        if stop and search.has_crossed(known):
            break
    return Look(sorted(known), place, most, all_kept)


def bracket(n: Floats, fd: Floats, target: float) -> tuple[float, float] | None:
    """The iterations around the first sustained crossing, by its definition alone: the first two evaluations in a row at or
    below the target."""
    below = [bool(value <= target) for value in fd]
    first = next((k for k in range(1, len(below) - 1) if below[k] and below[k + 1]), None)
    return None if first is None else (float(n[first - 1]), float(n[first]))


def published_runs(name: str) -> tuple[list[Curve], float]:
    """The runs of published tables, and their target."""
    return read_curves(RESULTS / name), float(read_manifest(RESULTS / name / "study.json").target)


def bumpy_worlds() -> Iterator[tuple[str, World]]:
    """The families of curves as they come, with more bumps upwards, and with lucky dips."""
    for family in FAMILIES:
        budget = 500.0 if family == "digits" else 700.0
        yield f"{family}", World(family, 10, budget=budget)
        if family != "digits":
            yield f"{family}, bumps in one of five", World(family, 10, budget=budget, bumps=0.2)
        yield f"{family}, dips in one of ten", World(family, 10, budget=budget, dips=0.1)


def simulated_runs(world: World, studies: int, seed: int = 0) -> tuple[Floats, list[Floats]]:
    """n[E] and the distances of each run that starts above the target."""
    n, fd = world.studies(studies, seed)
    return n, [one for one in fd[1].reshape(-1, len(n)) if one[0] > world.target]


def thin_tables(source: Path, into: Path, step: int = 1, stop: bool = False) -> Path:
    """The tables that the runs of `source` would have left with `budget.stop` or a search."""
    manifest = json.loads((source / "study.json").read_text())
    runs, evals = (pd.read_csv(source / name, dtype=str, keep_default_na=False) for name in ("runs.csv", "evals.csv"))
    edges = window_edges(manifest["target"], manifest.get("window", 1.0))
    ended, kept = {}, []
    for run, rows in evals.groupby(RUN, sort=False):
        seen = look(rows["fd"].replace("", "nan").to_numpy(float), edges, step, stop)
        kept.append(rows.iloc[seen.places])
        if seen.reached < len(rows) - 1:
            ended[run] = CROSSED
    runs["ended_by"] = [ended.get((row["method"], row["seed"]), "") for row in runs.to_dict("records")]
    manifest["fixed"]["budget"] |= ({"stop": CROSSED} if stop else {}) | ({"search": True} if step > 1 else {})
    into.mkdir(parents=True)
    (into / "study.json").write_text(json.dumps(manifest))
    runs.to_csv(into / "runs.csv", index=False)
    pd.concat(kept).to_csv(into / "evals.csv", index=False)
    return into


def share_of_iterations(n: Floats, looks: list[Look]) -> float:
    """How much of the iterations of whole runs these trained."""
    return float(np.mean([n[one.reached] for one in looks]) / n[-1])
