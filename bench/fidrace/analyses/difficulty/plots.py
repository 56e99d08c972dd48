"""Difficulty as a picture: losses and gradients over timesteps as training goes on, and when each timestep was learnt."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from fidrace.analyses.difficulty.tables import MEASURES, signed_rms
from fidrace.report.png import png
from fidrace.report.style import COLOURS

SHOWN_ITERATIONS = 6


def difficulty_png(networks: pd.DataFrame, bands: pd.DataFrame) -> bytes:
    """Six panels of means over seeds; shaded from the least seed to the greatest."""
    figure = Figure(figsize=(14, 8.2))
    grid = figure.subplots(2, 3)
    draw_over_training(grid[0, 0], networks, "loss", "held-out eps-MSE")
    draw_over_training(grid[0, 1], networks, "relative", "held-out eps-MSE / that at the budget")
    draw_over_training(grid[0, 2], networks, "grad_norm", "norm of the expected gradient of the eps-MSE")
    draw_learning_times(grid[1, 0], bands, "t", "timestep t (0: clean)")
    draw_learning_times(grid[1, 1], bands, "noise", "noise level, root of 1 - abar")
    draw_over_training(grid[1, 2], networks, "grad_noise", "noise of a batch's gradient")
    grid[0, 0].legend(title="iteration", fontsize="x-small", title_fontsize="x-small")
    grid[1, 0].legend(fontsize="small")
    figure.suptitle(f"{bands['task'].iloc[0]}: what is hard to learn at which timestep ({networks['seed'].nunique()} seeds)")
    figure.tight_layout()
    return png(figure)


def draw_over_training(axes: Axes, networks: pd.DataFrame, column: str, label: str) -> None:
    """`column` over t at a few iterations from the first to the last; later ones are darker and thinner."""
    iterations = np.array(sorted(networks["iteration"].unique()))
    chosen = iterations[np.unique(np.round(np.linspace(0, len(iterations) - 1, SHOWN_ITERATIONS)).astype(int))]
    colours = matplotlib.colormaps["viridis"](np.linspace(0.9, 0, len(chosen)))
    for iteration, colour, width in zip(chosen, colours, np.linspace(3, 1.3, len(chosen)), strict=True):
        by_band = networks[networks["iteration"] == iteration].groupby("t")[column]
        mean = by_band.agg(signed_rms) if column == "grad_norm" else by_band.mean()
        axes.plot(mean.index, mean.where(mean > 0), color=colour, linewidth=width, label=f"{iteration}")
    axes.set(xlabel="timestep t (0: clean)", ylabel=label, yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="both", alpha=0.2)


def draw_learning_times(axes: Axes, bands: pd.DataFrame, column: str, label: str) -> None:
    """The iteration from which each band counts as learnt, by both measures, over `column`."""
    for (name, meaning), colour, dash, marker in zip(MEASURES.items(), COLOURS, ("-", "--"), "os", strict=False):
        axes.plot(bands[column], bands[name], color=colour, linestyle=dash, marker=marker, markersize=4, label=meaning)
        axes.fill_between(
            bands[column], bands[f"{name}_least"], bands[f"{name}_greatest"], color=colour, alpha=0.15, linewidth=0
        )
    axes.set(xlabel=label, ylabel="from which iteration")
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.2)
