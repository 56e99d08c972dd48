"""What the registry holds, for a person: the list, one method explained, its arrays as CSV."""

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from bench.grid import named_schedule
from bench.report.tables import stdout
from bench.store import write_atomic
from methods.base import Grid, InputError
from methods.composition import Composition
from methods.registry import Registry

HORIZON = 1000  # iterations; progress is all that counts here


def listing(registry: Registry) -> None:
    table = Table("name", "changes", "evidence", "horizon", "claim", "source")
    for name, method in sorted(registry.methods.items(), key=lambda item: (item[0] != "baseline", item[0])):
        changes = ", ".join(method().aspects()) or "nothing"
        table.add_row(
            name, changes, method.evidence, "yes" if method.depends_on_horizon() else "no", method.claim, method.source
        )
    stdout().print(table)


def prepare(composition: Composition, grid: str) -> None:
    """Put the composition on `grid`; raises InputError where it cannot be."""
    ground = Grid(named_schedule(grid), horizon=HORIZON)
    try:
        composition.prepare(ground)
    except Exception as error:
        raise InputError(f"method {str(composition)!r} cannot be prepared: {type(error).__name__}: {error}") from error


def explain(composition: Composition, grid: str, progress: float) -> None:
    """Print what each part of a prepared composition is, and what it says at `progress`."""
    for part in composition.parts:
        print(f"{part}: {inspect.cleandoc(part.__doc__ or '')}\n")
        print(f"source: {part.source}; evidence: {part.evidence}; changes: {', '.join(part.aspects()) or 'nothing'}")
        for key, field in part.parameters().items():
            limits = field.metadata["limits"]
            print(f"  {key} = {getattr(part, key)} (default {field.default}, {limits}): {limits.help}")
        print()
    n = round(progress * HORIZON)
    scale, beta1 = composition.optimizer(n)
    momentum = "the task's" if beta1 is None else f"{beta1:.12g}"
    print(f"on {grid} at progress {progress:g}: lr_scale {scale:.12g}, beta1 {momentum}")
    p, w = density(composition, n), weight(composition, n)
    tenths = [f"{part.sum():.3f}" for part in np.array_split(p, 10)]
    print(f"share of timesteps by tenths of T: {' '.join(tenths)}; weight from {w.min():.4g} to {w.max():.4g}")


def density(composition: Composition, n: int) -> np.ndarray:
    grid = composition.parts[0].grid
    p = composition.timestep_density(n)
    return np.full(grid.T, 1 / grid.T) if p is None else p


def weight(composition: Composition, n: int) -> np.ndarray:
    w = composition.loss_weight(n)
    return np.ones(composition.parts[0].grid.T) if w is None else w


def write_csv(composition: Composition, progress: float, path: Path) -> None:
    """Columns t, abar, snr, p, w (w on the eps-MSE) of a prepared composition."""
    grid, n = composition.parts[0].grid, round(progress * HORIZON)
    columns = {
        "t": np.arange(grid.T),
        "abar": grid.abar,
        "snr": grid.snr,
        "p": density(composition, n),
        "w": weight(composition, n),
    }
    write_atomic(path, pd.DataFrame(columns).to_csv(index=False, lineterminator="\n"))
