"""The landscape as a picture: losses on lines between networks, and curvature over training."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fidrace.analyses.landscape.examples import ALL_TIMESTEPS
from fidrace.analyses.landscape.tables import KINDS, format_range
from fidrace.report.png import png

LINE_STYLES = {"seeds": "-", "order": "--", "start": ":", "early": "-."}


def landscape_png(curvature: pd.DataFrame, lines: pd.DataFrame, barriers: pd.DataFrame) -> bytes:
    """Four panels: losses on lines; the largest eigenvalue, the trace and the smallest eigenvalue, by band, over training."""
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
    """Held-out loss against alpha: a line for each pair, a colour for each kind of pair."""
    palette = dict(zip(KINDS, matplotlib.colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    for _, rows in table.groupby(["pair", "a", "b"], sort=False):
        kind = rows["pair"].iloc[0]
        axes.plot(rows["alpha"], rows["loss"], color=palette[kind], linestyle=LINE_STYLES[kind], linewidth=1.8)
    for kind, rows in barriers.groupby("pair", sort=False):
        label = f"{KINDS[str(kind)]}: barrier {format_range(rows['barrier'])}"
        axes.plot([], [], color=palette[str(kind)], linestyle=LINE_STYLES[str(kind)], label=label)
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
    """A quantity over training: each seed thin, with its standard errors if it has any; the mean over seeds thick."""
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
