"""Factors from task to task, and performance profiles, as one picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fidrace.report.png import SYMBOLS, name_factors, plain, png
from fidrace.report.style import INK, Style, styles
from fidrace.score.across_tasks import TAU, AcrossTasks

LONG = 60  # letters in the names of all tasks, from which on these are written aslant
APART = 0.03  # of the methods at one task, so that their intervals do not cover each other


def across_tasks_png(across: AcrossTasks) -> bytes:
    """across-tasks.png: at the left each method's factor on each task, in the order given, with its 95 % interval; at the right
    the profiles of methods raced on all tasks."""
    figure = Figure(figsize=(12, 5.5))
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.1, top=0.93, wspace=0.16)
    factors, profiles = figure.subplots(1, 2, width_ratios=(1.5, 1))
    look = styles(across.shared, across.baseline)
    draw_factors(factors, across, look)
    draw_profiles(profiles, across, look)
    return png(figure)


def draw_factors(axes: Axes, across: AcrossTasks, look: dict[str, Style]) -> None:
    methods = across.shared
    for k, method in enumerate(methods):
        rows = across.factors[(across.factors["method"] == method) & across.factors["speedup"].notna()]
        x = rows["task"].map(across.tasks.index) + APART * (k - (len(methods) - 1) / 2)
        style, factor = look[method], rows["speedup"]
        axes.plot(x, factor, style.linestyle, color=style.colour, linewidth=1.5, label=plain(method))
        known = rows["ci_low"].notna()
        axes.vlines(
            x[known],
            rows.loc[known, "ci_low"].clip(lower=0.1),
            rows.loc[known, "ci_high"].clip(upper=100),
            color=style.colour,
            lw=1,
        )
        for bound, symbol in {"=": "o", **SYMBOLS}.items():
            some = rows["bound"] == bound
            axes.plot(x[some], factor[some], symbol, color=style.colour, markersize=4)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set(yscale="log", title="methods raced on two tasks or more", ylabel="speedup over the baseline (95 % interval)")
    axes.set_xticks(range(len(across.tasks)), map(plain, across.tasks))
    if sum(map(len, across.tasks)) > LONG:
        axes.tick_params(axis="x", labelsize="small", labelrotation=20)
    axes.set_xlim(-0.4, len(across.tasks) - 0.6)
    name_factors(axes)
    axes.set_ylim(*factor_limits(across))
    if methods:
        axes.legend(fontsize="x-small", loc="upper left", ncols=3)
    axes.grid(True, axis="y", alpha=0.2)


def factor_limits(across: AcrossTasks) -> tuple[float, float]:
    """The smallest and the largest factor that the charts show."""
    shown = across.factors.loc[across.factors["method"].isin(across.shared), "speedup"].dropna()
    return (0.85 * min(1, shown.min()), 1.2 * max(1, shown.max())) if len(shown) else (0.5, 2.0)


def draw_profiles(axes: Axes, across: AcrossTasks, look: dict[str, Style]) -> None:
    for method, profile in across.profiles.groupby("method", sort=False):
        style = look[str(method)]
        x = np.append(profile["ratio"].clip(upper=TAU), TAU)
        y = np.append(profile["share"], profile.loc[profile["ratio"] <= TAU, "share"].iloc[-1])
        axes.step(x, y, where="post", linestyle=style.linestyle, color=style.colour, linewidth=1.5, label=plain(str(method)))
    axes.set(
        xlim=(1, TAU),
        ylim=(-0.02, 1.02),
        xlabel="times what the fastest needs",
        ylabel="share of tasks",
        title="performance profiles",
    )
    axes.grid(True, alpha=0.2)
    if len(across.profiles):
        axes.legend(fontsize="x-small", loc="lower right")
