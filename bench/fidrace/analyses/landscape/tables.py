"""The landscape as tables, and the findings in words."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fidrace.analyses.landscape.examples import ALL_TIMESTEPS, BandExamples
from fidrace.analyses.landscape.interpolation import ALPHAS, KeptNetwork, NetworkPair, barrier
from fidrace.method.base import Floats
from fidrace.storage.atomic import Row

CURVATURE_COLUMNS = "task method seed iteration band t_low t_high quantity value se".split()
BARRIER_COLUMNS = "task pair a b distance loss_a loss_b barrier at".split()
KINDS = {  # of pairs of networks
    "seeds": "two seeds, nothing shared",
    "order": "one start, two orders of data",
    "start": "a run's start and its end",
    "early": "a run's first evaluation and its end",
}


def curvature_table(rows: Sequence[Row]) -> pd.DataFrame:
    """landscape.csv: one row per network, band and quantity."""
    return pd.DataFrame(rows, columns=pd.Index(CURVATURE_COLUMNS))


def curvature_row(kept: KeptNetwork, band: BandExamples, quantity: str, value: float, error: float = np.nan) -> Row:
    """A row of landscape.csv; `error` is the standard error of an estimate."""
    spec = kept.run.spec
    values = (spec.task.name, spec.method, spec.seed, kept.iteration, band.name, band.low, band.high, quantity, value, error)
    return dict(zip(CURVATURE_COLUMNS, values, strict=True))


def line_table(rows: Sequence[Row]) -> pd.DataFrame:
    """interpolation.csv: one row per pair of networks and alpha."""
    return pd.DataFrame(rows)


def barrier_table(rows: Sequence[Row]) -> pd.DataFrame:
    """barriers.csv: one row per pair of networks."""
    return pd.DataFrame(rows, columns=pd.Index(BARRIER_COLUMNS))


def pair_names(pair: NetworkPair) -> Row:
    """The columns that name a pair."""
    return {"task": pair.a.run.spec.task.name, "pair": pair.kind, "a": pair.a.name, "b": pair.b.name}


def line_rows(pair: NetworkPair, losses: Floats, by_band: Floats) -> list[Row]:
    """Rows of interpolation.csv from losses[A] and by_band[A, bands] at ALPHAS."""
    names = pair_names(pair)
    return [
        {**names, "alpha": alpha, "loss": loss} | {f"loss_{k}": float(part) for k, part in enumerate(parts)}
        for alpha, loss, parts in zip(ALPHAS.tolist(), losses.tolist(), by_band, strict=True)
    ]


def barrier_row(pair: NetworkPair, distance: float, losses: Floats) -> Row:
    """The row of barriers.csv from losses[A] at ALPHAS."""
    height, at = barrier(ALPHAS, losses)
    loss_a, loss_b = np.interp([0.0, 1.0], ALPHAS, losses)
    return {**pair_names(pair), "distance": distance, "loss_a": loss_a, "loss_b": loss_b, "barrier": height, "at": at}


def findings(curvature: pd.DataFrame, barriers: pd.DataFrame) -> list[str]:
    """What a person reads first."""
    return [*curvature_lines(curvature), *barrier_lines(barriers)]


def curvature_lines(table: pd.DataFrame) -> list[str]:
    """The ends of the spectrum over all timesteps along training, by band at the end, and how many values are missing."""
    iterations = sorted(table["iteration"].unique())
    values = table.groupby(["band", "iteration", "quantity"])["value"].mean()
    first, last = iterations[0], iterations[-1]
    lines = [
        f"curvature over all timesteps, mean of {table['seed'].nunique()} seeds: "
        + "; ".join(
            f"at {n} largest {values[ALL_TIMESTEPS, n, 'eig_1']:.3g}, smallest {values[ALL_TIMESTEPS, n, 'eig_min']:.3g}, "
            f"trace {values[ALL_TIMESTEPS, n, 'trace']:.3g}"
            for n in (first, last)
        )
    ]
    bands = [name for name in table["band"].unique() if name != ALL_TIMESTEPS]
    if bands:
        ends = table[["band", "t_low", "t_high"]].drop_duplicates().set_index("band")
        lines.append(
            f"by band at {last}, largest eigenvalue and trace: "
            + "; ".join(
                f"t {ends.loc[name, 't_low']}-{ends.loc[name, 't_high'] - 1}: {values[name, last, 'eig_1']:.3g}, "
                f"{values[name, last, 'trace']:.3g}"
                for name in bands
            )
        )
    missing = table["value"].isna()
    if missing.any():
        lines.append(f"{missing.sum()} of {len(table)} values are missing: Lanczos did not converge there")
    return lines


def barrier_lines(table: pd.DataFrame) -> list[str]:
    """By kind of pair: the barriers, beside the losses at the ends."""
    return [
        f"between {KINDS[str(kind)]}: barrier {format_range(rows['barrier'])} in held-out loss, whose ends are at "
        f"{format_range(pd.concat([rows['loss_a'], rows['loss_b']]))}"
        for kind, rows in table.groupby("pair", sort=False)
    ]


def format_range(values: pd.Series) -> str:
    """A value, or the range of several."""
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"
