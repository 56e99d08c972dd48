"""The support of published tables against the target, a panel for each pair of curves."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fidrace.report.png import png
from fidrace.report.style import COLOURS, INK
from fidrace.score.published_support import PairSupport

COLUMNS = 4
LOWEST, HIGHEST = 0.4, 60.0  # factors that a panel shows
MARKS = 5  # targets that are named below a panel
TICKS = (0.5, 1, 2, 5, 10, 20, 50)


def published_png(supports: Sequence[PairSupport]) -> bytes:
    """published.png."""
    shown = [one for one in supports if one.end]
    rows = math.ceil(len(shown) / COLUMNS)
    figure = Figure(figsize=(3.1 * COLUMNS, 2.5 * rows))
    figure.subplots_adjust(left=0.065, right=0.99, bottom=0.07, top=0.97, wspace=0.22, hspace=0.3)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes, one in zip(panels.flat, shown, strict=False):
        draw_support(axes, one)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("target FID, harder to the right (dashed: published factor; dotted: where the baseline's curve ends)")
    figure.supylabel("factor that the table supports", x=0.004)
    return png(figure)


def draw_support(axes: Axes, one: PairSupport) -> None:
    """The band of a pair, with a gap where a run only touches the target. Between two FIDs that were measured it is that of the
    harder one, because no run is seen there."""
    targets = np.array([support.target for support in one.at_targets])[::-1]
    low, high = (
        np.clip([np.nan if support.touched else getattr(support, end) for support in one.at_targets], LOWEST, HIGHEST)[::-1]
        for end in ("low", "high")
    )
    axes.stairs(high[:-1], targets, baseline=low[:-1], fill=True, color=COLOURS[0], alpha=0.35, lw=0)
    axes.axhline(1, color=INK, linewidth=0.8)
    if one.pair.stated.factor:
        axes.axhline(one.pair.stated.factor, color=COLOURS[1], linestyle="--", linewidth=1.2)
    if one.end:
        axes.axvline(one.end.target, color="grey", linestyle=":")
    axes.set(xscale="log", yscale="log", ylim=(LOWEST, HIGHEST))
    axes.set_title(one.pair.name, fontsize="medium")
    axes.set_yticks(TICKS, [f"{tick:g}×" for tick in TICKS])
    axes.set_yticks([], minor=True)
    marks = np.geomspace(targets[0], targets[-1], MARKS)
    axes.set_xticks(marks, [f"{mark:.3g}" for mark in marks])
    axes.set_xticks([], minor=True)
    axes.tick_params(labelsize="small")
    axes.invert_xaxis()
    axes.grid(True, which="major", alpha=0.2)
