"""Robustness as a picture: a heat map of the factor over all settings."""

from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fidrace.analyses.robustness.settings import Settings, format_level
from fidrace.analyses.robustness.tables import NO_NUMBER
from fidrace.report.png import png

COLOUR_MAP = "PuOr"  # orange: slower, purple: faster, white: 1; the colour-blind can tell them apart
LEAST_SPAN = np.log(1.2)  # of the colours to either side of 1, so that scatter alone does not look like a finding


def robustness_png(table: pd.DataFrame, settings: Settings) -> bytes:
    """A panel for each method: learning rate and batch downwards, schedule and clipping across. Colour is the factor, on the
    log scale about 1; the text gives it with its interval, in bold if that excludes 1."""
    methods = list(table["method"].unique())
    down, across = panel_shape(settings)
    figure = Figure(figsize=(2.6 + 1.5 * across * len(methods), 1.9 + 0.85 * down), layout="constrained")
    panels = figure.subplots(1, len(methods), squeeze=False)[0]
    logs = np.log(table["speedup"].to_numpy(float))
    span = max(LEAST_SPAN, float(np.nanmax(np.abs(logs), initial=0)) if np.isfinite(logs).any() else 0)
    norm = Normalize(-span, span)
    for axes, method in zip(panels, methods, strict=True):
        draw_panel(axes, table[table["method"] == method], settings, norm)
    colours = matplotlib.cm.ScalarMappable(norm, COLOUR_MAP)
    bar = figure.colorbar(colours, ax=panels, label="speedup over the cell's baseline")
    ticks = np.exp(np.linspace(-span, span, 5))
    bar.set_ticks(np.log(ticks).tolist(), labels=[f"{tick:.2f}×" for tick in ticks])
    figure.suptitle(f"{table['task'].iloc[0]}: where a speedup holds (bold: the 95 % interval excludes 1)")
    return png(figure)


def panel_shape(settings: Settings) -> tuple[int, int]:
    """Rows and columns of a panel."""
    return len(settings.lr) * len(settings.batch), len(settings.schedule) * len(settings.clip)


def draw_panel(axes: Axes, table: pd.DataFrame, settings: Settings, norm: Normalize) -> None:
    """One method's panel; `table` has one row per setting, in order."""
    shape = panel_shape(settings)
    logs = np.log(table["speedup"].to_numpy(float)).reshape(shape)
    axes.set_facecolor("lightgrey")  # shows where there is no number
    axes.imshow(np.ma.masked_invalid(logs), cmap=COLOUR_MAP, norm=norm, aspect="auto")
    for place, (_, row) in zip(np.ndindex(shape), table.iterrows(), strict=True):
        dark = abs(norm(logs[place]) - 0.5) > 0.35 if np.isfinite(logs[place]) else False
        axes.text(
            place[1],
            place[0],
            factor_text(row),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else "black",
            weight="bold" if row["verdict"] in ("faster", "slower") else "normal",
        )
    clips = [f"clip {format_level(clip)}" for clip in settings.clip]
    axes.set_xticks(range(shape[1]), [f"{schedule}\n{clip}" for schedule in settings.schedule for clip in clips])
    axes.set_yticks(range(shape[0]), [f"lr {lr:g}\nbatch {batch}" for lr in settings.lr for batch in settings.batch])
    axes.tick_params(length=0)
    axes.set_title(str(table["method"].iloc[0]))


def factor_text(row: "pd.Series[Any]") -> str:
    """The factor, or a bound with its sign, and the interval; or why there is no number."""
    if row["verdict"] == NO_NUMBER:
        return fill(f"no number: {row['flags']}", 22, max_lines=3, placeholder=" …")
    sign = {">=": "≥ ", "<=": "≤ "}.get(row["bound"], "")
    limits = "" if pd.isna(row["ci_low"]) else f"\n{row['ci_low']:.2f} – {row['ci_high']:.2f}".replace("inf", "∞")
    return f"{sign}{row['speedup']:.2f}×{limits}"
