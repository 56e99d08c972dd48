"""Plots as PNG, byte-equal for equal tables."""

import io

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from bench.score.leaderboard import Scores


def fd_png(scores: Scores) -> bytes:
    """FD against iterations: each run thin, each method's median over seeds thick, the target and the budget as lines."""
    figure = Figure(figsize=(9, 5.5))
    axes = figure.add_axes((0.09, 0.09, 0.89, 0.85))
    palette = matplotlib.colormaps["tab10" if len(scores.leaderboard) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    for index, method in enumerate(scores.leaderboard.sort_values("method")["method"]):
        runs = [curve for curve in scores.curves if curve.method == method and len(curve.fd)]
        colour = "black" if method == "baseline" else palette[index % len(palette)]
        thin = LineCollection(
            [np.column_stack([curve.iteration, curve.fd]) for curve in runs], color=colour, alpha=0.25, linewidths=0.7
        )
        axes.add_collection(thin)
        whole = [curve for curve in runs if len(curve.fd) == max(len(other.fd) for other in runs)]
        if whole:
            middle = np.median([curve.fd for curve in whole], axis=0)
            axes.plot(whole[0].iteration, middle, color=colour, linewidth=2, label=f"{method} (n={len(runs)})")
    if not isinstance(scores.rules.target, str):
        axes.axhline(scores.rules.target, color="grey", linestyle="--", label=f"target {scores.rules.target:g}")
    axes.axvline(scores.rules.budget, color="grey", linestyle=":", label=f"budget {scores.rules.budget:g}")
    axes.set(
        yscale="log", xlabel="iterations", ylabel=scores.metric, title=f"{scores.leaderboard['task'].iloc[0]}: median and runs"
    )
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted("{x:g}")
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
