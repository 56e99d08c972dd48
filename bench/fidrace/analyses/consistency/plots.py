"""Consistency as pictures: scores over training, and the images that each network makes of the same latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fidrace.analyses.consistency.pairs import EXACT, GAUSSIAN, NEITHER, Group, Relation, group_label
from fidrace.analyses.consistency.tables import SPACES
from fidrace.report.png import png
from fidrace.report.style import COLOURS, INK

GREY = "#777777"
BASELINE_STYLES: dict[Group, dict[str, Any]] = {  # in the order of the legend
    NEITHER: {"color": INK, "linewidth": 2.5, "marker": "o"},
    Group(Relation.SAME_START): {"color": INK, "linestyle": "--", "marker": "^", "markerfacecolor": "white"},
    Group(Relation.SAME_ORDER): {"color": INK, "linestyle": ":", "marker": "s", "markerfacecolor": "white"},
    Group(Relation.SAME_RUN): {"color": INK, "linestyle": "-", "linewidth": 1, "marker": "x"},
    Group(Relation.DENOISER, GAUSSIAN): {"color": GREY, "linestyle": "-.", "marker": "D"},
    Group(Relation.DENOISER, EXACT): {"color": GREY, "linestyle": "--", "marker": "d"},
    Group(Relation.SHUFFLED): {"color": GREY, "linestyle": ":", "marker": "+"},
}
MARKERS = "vPX<>dph"


def curves_png(groups: pd.DataFrame) -> bytes:
    """Score against iterations, pixels and features side by side; a star at 0 for untrained networks with random outputs.
    Iteration 0 is left out: if outputs begin at zero, all networks are the same function there."""
    figure = Figure(figsize=(12, 6.6))
    for axes, space in zip(figure.subplots(1, 2, sharey=True), SPACES, strict=True):
        draw_scores(axes, groups[groups["space"] == space], space)
    first = figure.axes[0]
    first.set_ylabel("score (0: the same function, 1: a shared latent tells nothing)")
    handles, labels = first.get_legend_handles_labels()
    figure.suptitle(f"{groups['task'].iloc[0]}: how alike are the images that two networks draw of the same latent?")
    figure.legend(handles, labels, loc="lower center", ncols=3, fontsize="small")
    figure.tight_layout(rect=(0, 0.035 * -(-len(labels) // 3) + 0.01, 1, 1))
    return png(figure)


def draw_scores(axes: Axes, groups: pd.DataFrame, space: str) -> None:
    """Score against iterations in one space, a line for each group."""
    for group, style in group_styles(list(groups["group"].unique())).items():
        rows = groups[(groups["group"] == group) & (groups["iteration"] > 0)]
        axes.plot(rows["iteration"], rows["score"], **{"markersize": 5, "label": group_label(group), **style})
        if group == NEITHER:
            axes.fill_between(rows["iteration"], rows["ci_low"], rows["ci_high"], color=INK, alpha=0.12, linewidth=0)
    untrained = Group(Relation.UNTRAINED)
    rows = groups[groups["group"] == untrained]
    label = group_label(untrained)
    axes.plot(rows["iteration"], rows["score"], color=INK, marker="*", markersize=13, linestyle="none", label=label)
    axes.set(xlabel="iteration", title=space, ylim=(-0.03, 1.1))
    axes.grid(True, alpha=0.2)


def group_styles(groups: Sequence[Group]) -> dict[Group, dict[str, Any]]:
    """How each group is drawn: the baseline's own in black, denoisers and the shuffled control in grey, every other subject in
    its own colour and symbol, solid against other seeds, dashed against its own."""
    styles = {group: style for group, style in BASELINE_STYLES.items() if group in groups}
    subjects = [group.subject for group in groups if group.relation is Relation.OTHER_SEED]
    for k, subject in enumerate(subjects):
        style = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "linewidth": 1.3}
        styles[Group(Relation.OTHER_SEED, subject)] = style
        styles[Group(Relation.SAME_SEED, subject)] = style | {"linestyle": "--", "markerfacecolor": "white"}
    return styles


@dataclass(frozen=True)
class Strip:
    """What one network makes of the first latents at an iteration: images[N, C, H, W] in [-1, 1]."""

    iteration: int
    label: str
    images: NDArray[np.float32]


def strips_png(strips: Sequence[Strip], task: str) -> bytes:
    """A block of rows for each iteration, a row for each network, a column for each latent."""
    blocks = [list(block) for _, block in groupby(strips, key=lambda strip: strip.iteration)]
    height = sum(len(block) + 1 for block in blocks)
    figure = Figure(figsize=(11, 0.58 * height + 0.3))
    figure.text(
        0.01, 1 - 0.18 / figure.get_figheight(), f"{task}: a column is a latent, a row a network", va="center", weight="bold"
    )
    row, unit = 0.0, 0.58 / figure.get_figheight()
    top = 1 - 0.3 / figure.get_figheight()
    for block in blocks:
        figure.text(0.01, top - (row + 0.7) * unit, f"iteration {block[0].iteration}", va="center", style="italic")
        row += 1
        for strip in block:
            axes = figure.add_axes((0.25, top - (row + 0.96) * unit, 0.745, 0.92 * unit))
            axes.imshow(join_images(strip.images), cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
            axes.set_anchor("W")
            axes.axis("off")
            figure.text(0.24, top - (row + 0.5) * unit, strip.label, va="center", ha="right", fontsize=9)
            row += 1
    return png(figure)


def join_images(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images [N, C, H, W] beside each other with white between them: [H, N (W + gap), 3]."""
    gap = max(1, images.shape[3] // 8)
    shown = np.nan_to_num((images + 1) / 2).clip(0, 1)
    if shown.shape[1] == 1:
        shown = shown.repeat(3, axis=1)
    framed = np.pad(shown, ((0, 0), (0, 0), (0, 0), (0, gap)), constant_values=1)
    return framed.transpose(2, 0, 3, 1).reshape(images.shape[2], -1, 3)
