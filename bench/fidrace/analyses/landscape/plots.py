"""What a landscape's tables say: the picture, and the lines that a person reads first."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fidrace.analyses.landscape.bands import ALL_TIMESTEPS
from fidrace.report.png import png

KINDS = {
    "seeds": "two seeds, nothing shared",
    "order": "one start, two orders of data",
    "start": "a run's start and its end",
    "early": "a run's first evaluation and its end",
}
STYLES = {"seeds": "-", "order": "--", "start": ":", "early": "-."}


def curvature_lines(table: pd.DataFrame) -> list[str]:
    """The ends of the spectrum over all timesteps along training; at the end by band; and what cannot be read."""
    iterations = sorted(table["iteration"].unique())
    values = table.groupby(["band", "iteration", "quantity"])["value"].mean()
    first, last = iterations[0], iterations[-1]
    told = [
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
        told.append(
            f"by band at {last}, largest eigenvalue and trace: "
            + "; ".join(
                f"t {ends.loc[name, 't_low']}-{ends.loc[name, 't_high'] - 1}: {values[name, last, 'eig_1']:.3g}, "
                f"{values[name, last, 'trace']:.3g}"
                for name in bands
            )
        )
    lost = table["value"].isna()
    if lost.any():
        told.append(f"{lost.sum()} of {len(table)} values are missing: Lanczos did not converge there")
    return told


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


def picture(curvature: pd.DataFrame, lines: pd.DataFrame, barriers: pd.DataFrame) -> bytes:
    """Losses along lines; the largest eigenvalue, the trace and the smallest eigenvalue by band over training."""
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    along, top, sums, low = figure.subplots(2, 2).ravel()
    task = curvature["task"].iloc[0]
    draw_lines(along, lines, barriers)
    draw_bands(top, curvature, "eig_1", "largest Hessian eigenvalue")
    draw_bands(sums, curvature, "trace", "Hessian trace, ± its standard error")
    draw_bands(low, curvature, "eig_min", "smallest Hessian eigenvalue")
    top.set_yscale("log")
    top.yaxis.set_major_formatter("{x:g}")
    top.yaxis.set_minor_formatter("{x:g}")
    low.axhline(0, color="black", linewidth=0.8)
    top.legend(fontsize="x-small", title="timesteps")
    figure.suptitle(f"{task}: the loss around trained networks")
    return png(figure)


def draw_lines(axes: Axes, table: pd.DataFrame, barriers: pd.DataFrame) -> None:
    """Held-out loss against alpha: a colour for each kind of pair, a line for each pair."""
    palette = dict(zip(KINDS, matplotlib.colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    for _, rows in table.groupby(["pair", "a", "b"], sort=False):
        kind = rows["pair"].iloc[0]
        axes.plot(rows["alpha"], rows["loss"], color=palette[kind], linestyle=STYLES[kind], linewidth=1.8)
    for kind, rows in barriers.groupby("pair", sort=False):
        label = f"{KINDS[str(kind)]}: barrier {format_range(rows['barrier'])}"
        axes.plot([], [], color=palette[str(kind)], linestyle=STYLES[str(kind)], label=label)
    for end in (0, 1):
        axes.axvline(end, color="grey", linewidth=0.8)
    axes.set(
        xlabel="alpha: 0 the first network, 1 the second", ylabel="held-out eps-MSE", yscale="log", title="on straight lines"
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(True, alpha=0.2)
    axes.legend(fontsize="x-small")


def draw_bands(axes: Axes, table: pd.DataFrame, quantity: str, title: str) -> None:
    """A quantity over training: each seed thin, with its standard errors where it has any; the mean over seeds thick."""
    rows = table[table["quantity"] == quantity]
    names = [name for name in rows["band"].unique() if name != ALL_TIMESTEPS]
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, max(len(names), 1)))
    colours = {ALL_TIMESTEPS: "black"} | dict(zip(names, shades, strict=False))
    for name, colour in colours.items():
        mine = rows[rows["band"] == name]
        label = f"{mine['t_low'].iloc[0]}–{mine['t_high'].iloc[0] - 1}" if name != ALL_TIMESTEPS else "all"
        mean = mine.groupby("iteration")["value"].mean()
        axes.plot(mean.index, mean, color=colour, linewidth=2, label=label)
        for _, own in mine.groupby("seed"):
            axes.errorbar(
                own["iteration"], own["value"], own["se"].fillna(0), color=colour, linewidth=0.6, marker=".", capsize=2
            )
    axes.set(xlabel="iteration", title=title)
    axes.grid(True, alpha=0.2)
