"""Tables as other people bring them: runs of a power law at known paces, with what a test wants them to tell."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.score.leaderboard import Scores

Rows = list[dict[str, Any]]


def write(folder: Path, rows: Rows, name: str = "evals.csv") -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return folder


def run(method: str, step: float, end: float, pace: float = 1.0, seed: int | None = None, rng: Any = None, **more: Any) -> Rows:
    """FID of a power law every `step` iterations to `end`: 10 at 300,000 / pace, with 1 % of noise if there is a `rng`."""
    n = np.arange(step, end + step / 2, step)
    fid = 5 + 295 * (1 + 14.15 * pace * n / 300_000) ** -1.5 * np.exp(0.0 if rng is None else rng.normal(0, 0.01, len(n)))
    told = {"method": method, **({} if seed is None else {"seed": seed}), **more}
    return [{**told, "step": int(at), "fid": value} for at, value in zip(n, fid, strict=True)]


def first(scores: Scores, method: str | None = None) -> "pd.Series[Any]":
    table = scores.speedups
    return table[table["method"] == (method or table["method"].iloc[0])].iloc[0]


def races(paces: dict[str, list[float]], step: int = 10_000, end: int = 600_000) -> Rows:
    """Runs at these paces, by seed, with noise of their own."""
    rng = np.random.default_rng(7)
    return [
        row for name, one in paces.items() for seed, pace in enumerate(one) for row in run(name, step, end, pace, seed, rng)
    ]


def with_statuses(folder: Path, rows: Rows, statuses: dict[tuple[str, int], str] = {}) -> Path:
    """The tables of `rows`, in which every run is finished but for `statuses`."""
    runs = pd.DataFrame(rows)[["method", "seed"]].drop_duplicates()
    keys = runs.itertuples(index=False, name=None)
    write(folder, rows)
    runs.assign(status=[statuses.get(key, "finished") for key in keys]).to_csv(folder / "runs.csv", index=False)
    return folder


SCATTER = [0.95, 1.0, 1.05, 0.97, 1.03, 1.01, 0.99, 1.04, 0.96, 1.02]
