"""Curves made by hand, and folders that hold them."""

from pathlib import Path

import numpy as np
import pandas as pd

from fidrace.score.curves import Curve

STEP, FINE = 100, 20
DECLARED = {
    "schema": 1,
    "task": "t",
    "fixed": {},
    "budget": 400,
    "target": 10,
    "target_how": "a test",
    "declared_seeds": [0, 1, 2],
    "seeds": [0, 1, 2],
    "methods": {},
}


def curve(*fd: float, se: float = 0.1, method: str = "m", seed: int = 0, step: float = STEP, status: str = "finished") -> Curve:
    n = np.arange(len(fd)) * float(step)
    columns = {"iteration": n, "images": 64 * n, "forwards": 1 * n, "train_seconds": n / 20}
    return Curve("t", method, seed, status, columns, np.array(fd, float), np.full(len(fd), se))


def write(folder: Path, curves: list[Curve], status: dict[tuple[str, int], str] | None = None, order: int = 1) -> Path:
    runs = [
        {"task": c.task, "method": c.method, "seed": c.seed, "status": (status or {}).get((c.method, c.seed), "finished")}
        | {"config_hash": "of our own loop"}
        for c in curves
    ]
    rows = [
        {"task": c.task, "method": c.method, "seed": c.seed, "metric": "fd_t", "fd": fd, "fd_se": 0.1}
        | {name: values[k] for name, values in c.columns.items()}
        for c in curves
        for k, fd in enumerate(c.fd)
    ]
    folder.mkdir(exist_ok=True)
    pd.DataFrame(runs[::order]).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(rows[::order]).to_csv(folder / "evals.csv", index=False)
    return folder


def study(factor: float = 2.0) -> list[Curve]:
    """Four seeds; the baseline halves its FD every 100 iterations or so, method `fast` does so `factor` times as fast, or a
    thousandth more with each seed. Evaluated every 20 iterations."""
    curves = []
    for seed in range(4):
        for method, rate in (("baseline", 1.0), ("fast", factor * (1 + seed / 1000) if factor != 1 else 1.0)):
            fd = 80 * 2.0 ** (-(1 + seed / 20) * rate * np.arange(26) * FINE / STEP)
            curves.append(curve(*fd, method=method, seed=seed, step=FINE))
    return curves
