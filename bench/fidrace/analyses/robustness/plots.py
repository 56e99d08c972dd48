"""What a robustness table says: the heat map, and the lines that a person reads first."""

from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fidrace.analyses.robustness.settings import Settings
from fidrace.report.png import png

COLOURS = "PuOr"  # orange: slower, purple: faster; the colour-blind can tell them apart, and white is 1
LEAST_SPAN = np.log(1.2)  # of the colours to either side of 1: scatter alone must not look like a finding
SIGNIFICANT = 0.05
NO_NUMBER = "no number"  # the verdict of a cell in which nothing can be measured; its flags say why


def findings(table: pd.DataFrame, changes: pd.DataFrame) -> list[str]:
    """Of each method: in how many cells it is faster, slower or neither; where most and least; what each setting changes."""
    told = []
    for method, rows in table.groupby("method", sort=False):
        verdicts = rows["verdict"].value_counts()
        none = f", {verdicts[NO_NUMBER]} without a number" if NO_NUMBER in verdicts else ""
        same = f", {verdicts['identical']} identical" if "identical" in verdicts else ""
        told.append(
            f"{method}: faster in {verdicts.get('faster', 0)}, slower in {verdicts.get('slower', 0)} of {len(rows)} cells, no "
            f"difference shown in {verdicts.get('no difference shown', 0)}{same}{none} (95 % intervals); after Holm's "
            f"adjustment over the cells faster in {(rows['p_holm'] < SIGNIFICANT).sum()}, slower in "
            f"{(rows['p_slower_holm'] < SIGNIFICANT).sum()}"
        )
        points = rows[rows["bound"] == "="].sort_values("speedup", ascending=False, kind="stable")
        if len(points):
            told.append(f"{method}: largest {place_axes(points.iloc[0])}; least {place_axes(points.iloc[-1])}")
        told += [f"{method}: {format_factor(row)}" for _, row in changes[changes["method"] == method].iterrows()]
        told += [
            f"{method}: no number at {setting(row)}: {row['flags']}" for _, row in rows[rows["verdict"] == NO_NUMBER].iterrows()
        ]
    return told


def setting(row: pd.Series) -> str:
    return f"lr {row['lr']:g}, batch {row['batch']}, {row['schedule']}, clip {row['clip']}"


def interval(row: pd.Series) -> str:
    """`0.90 to 0.98`, with an open limit as infinity; empty where there is none."""
    return "" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.2f} to {row['ci_high']:.2f}"


def place_axes(row: pd.Series) -> str:
    return f"{row['speedup']:.2f}x ({interval(row) or 'no interval'}) at {setting(row)}"


def format_factor(row: pd.Series) -> str:
    """A row of effects.csv."""
    cells = "cells" if row["setting"] == "all" else "pairs of cells"
    over = f"({interval(row) or 'no interval'}; {row['cells']} {cells}, {row['seeds']} seeds)"
    if row["setting"] == "all":
        return f"over the cells in which all runs arrive, {row['ratio']:.2f}x {over}"
    return f"{row['setting']} {row['level']} against {row['against']} multiplies the factor by {row['ratio']:.2f} {over}"


def picture(table: pd.DataFrame, grid: Settings) -> bytes:
    """A panel for each method: learning rate and batch downwards, schedule and clipping across; the factor as colour, on the
    log scale about 1, and in words with its interval, bold where that excludes 1."""
    methods = list(table["method"].unique())
    down, across = len(grid.lr) * len(grid.batch), len(grid.schedule) * len(grid.clip)
    figure = Figure(figsize=(2.6 + 1.5 * across * len(methods), 1.9 + 0.85 * down), layout="constrained")
    panels = figure.subplots(1, len(methods), squeeze=False)[0]
    logs = np.log(table["speedup"].to_numpy(float))
    span = max(LEAST_SPAN, float(np.nanmax(np.abs(logs), initial=0)) if np.isfinite(logs).any() else 0)
    norm = Normalize(-span, span)
    for axes, method in zip(panels, methods, strict=True):
        draw(axes, table[table["method"] == method], grid, norm)
    colours = matplotlib.cm.ScalarMappable(norm, COLOURS)
    bar = figure.colorbar(colours, ax=panels, label="speedup over the cell's baseline")
    ticks = np.exp(np.linspace(-span, span, 5))
    bar.set_ticks(np.log(ticks).tolist(), labels=[f"{tick:.2f}×" for tick in ticks])
    figure.suptitle(f"{table['task'].iloc[0]}: where a speedup holds (bold: the 95 % interval excludes 1)")
    return png(figure)


def draw(axes: Axes, table: pd.DataFrame, grid: Settings, norm: Normalize) -> None:
    """One method's panel; `table` is in the order of the grid's cells."""
    shape = len(grid.lr) * len(grid.batch), len(grid.schedule) * len(grid.clip)
    logs = np.log(table["speedup"].to_numpy(float)).reshape(shape)
    axes.set_facecolor("lightgrey")  # under cells without a number
    axes.imshow(np.ma.masked_invalid(logs), cmap=COLOURS, norm=norm, aspect="auto")
    for place, (_, row) in zip(np.ndindex(shape), table.iterrows(), strict=True):
        dark = abs(norm(logs[place]) - 0.5) > 0.35 if np.isfinite(logs[place]) else False
        axes.text(
            place[1],
            place[0],
            words(row),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else "black",
            weight="bold" if row["verdict"] in ("faster", "slower") else "normal",
        )
    clips = [f"clip {clip}" for clip in grid.values("clip")]
    axes.set_xticks(range(shape[1]), [f"{schedule}\n{clip}" for schedule in grid.schedule for clip in clips])
    axes.set_yticks(range(shape[0]), [f"lr {lr:g}\nbatch {batch}" for lr in grid.lr for batch in grid.batch])
    axes.tick_params(length=0)
    axes.set_title(str(table["method"].iloc[0]))


def words(row: pd.Series) -> str:
    """What stands in a cell: the factor, a bound with its sign, and the interval; or that there is no number, and why."""
    if row["verdict"] == NO_NUMBER:
        return fill(f"no number: {row['flags']}", 22, max_lines=3, placeholder=" …")
    sign = {">=": "≥ ", "<=": "≤ "}.get(row["bound"], "")
    limits = "" if pd.isna(row["ci_low"]) else f"\n{row['ci_low']:.2f} – {row['ci_high']:.2f}".replace("inf", "∞")
    return f"{sign}{row['speedup']:.2f}×{limits}"
