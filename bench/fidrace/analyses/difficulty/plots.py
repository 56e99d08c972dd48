"""Difficulty as a picture: losses and gradients over timesteps as training goes on, and when each timestep was learnt."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from fidrace.analyses.difficulty.tables import MEASURES, rms
from fidrace.report.png import png
from fidrace.report.style import COLOURS

SHOWN = 6  # iterations


def difficulty_png(networks: pd.DataFrame, cells: pd.DataFrame) -> bytes:
    """Six panels; over t, means over seeds; a band from the least seed to the greatest."""
    figure = Figure(figsize=(14, 8.2))
    grid = figure.subplots(2, 3)
    over_training(grid[0, 0], networks, "loss", "held-out eps-MSE")
    over_training(grid[0, 1], networks, "relative", "held-out eps-MSE / that at the budget")
    over_training(grid[0, 2], networks, "grad_norm", "norm of the expected gradient of the eps-MSE")
    when(grid[1, 0], cells, "t", "timestep t (0: clean)")
    when(grid[1, 1], cells, "noise", "noise level, root of 1 - abar")
    over_training(grid[1, 2], networks, "grad_noise", "noise of a batch's gradient")
    grid[0, 0].legend(title="iteration", fontsize="x-small", title_fontsize="x-small")
    grid[1, 0].legend(fontsize="small")
    figure.suptitle(f"{cells['task'].iloc[0]}: what is hard to learn at which timestep ({networks['seed'].nunique()} seeds)")
    figure.tight_layout()
    return png(figure)


def over_training(axes: Axes, networks: pd.DataFrame, column: str, label: str) -> None:
    """`column` over t, at some iterations from the first to the last, darker, and thinner, the later."""
    iterations = np.array(sorted(networks["iteration"].unique()))
    chosen = iterations[np.unique(np.round(np.linspace(0, len(iterations) - 1, SHOWN)).astype(int))]
    colours = matplotlib.colormaps["viridis"](np.linspace(0.9, 0, len(chosen)))
    for iteration, colour, width in zip(chosen, colours, np.linspace(3, 1.3, len(chosen)), strict=True):
        cells = networks[networks["iteration"] == iteration].groupby("t")[column]
        mean = cells.agg(rms) if column == "grad_norm" else cells.mean()
        axes.plot(mean.index, mean.where(mean > 0), color=colour, linewidth=width, label=f"{iteration}")
    axes.set(xlabel="timestep t (0: clean)", ylabel=label, yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="both", alpha=0.2)


def when(axes: Axes, cells: pd.DataFrame, column: str, label: str) -> None:
    """From which iteration each timestep counts as learnt, by both measures."""
    for (name, meaning), colour, dash, marker in zip(MEASURES.items(), COLOURS, ("-", "--"), "os", strict=False):
        axes.plot(cells[column], cells[name], color=colour, linestyle=dash, marker=marker, markersize=4, label=meaning)
        axes.fill_between(
            cells[column], cells[f"{name}_least"], cells[f"{name}_greatest"], color=colour, alpha=0.15, linewidth=0
        )
    axes.set(xlabel=label, ylabel="from which iteration")
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.2)
