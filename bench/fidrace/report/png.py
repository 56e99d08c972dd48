"""Plots as PNG, byte-equal for equal tables."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from fidrace.report.style import styles
from fidrace.score.curves import longest_runs
from fidrace.score.leaderboard import Scores

FACTORS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5, 7, 10)  # ticks on speedup axes
SYMBOLS = {">=": "^", "<=": "v"}  # of lower and upper bounds


class Picture(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return png(self)


def canvas() -> tuple[Figure, Axes]:
    figure = Picture(figsize=(9, 5.5))
    axes = figure.add_axes((0.09, 0.09, 0.89, 0.85))
    axes.grid(True, which="both", alpha=0.2)
    return figure, axes


def plain(text: str) -> str:
    """Text that matplotlib draws literally: no mathematics between dollars, no _ in front, which a legend would leave out."""
    return text.replace("$", r"\$").replace("_", " _", 1 if text.startswith("_") else 0)


def name_factors(axes: Axes) -> None:
    """Name the ticks of a logarithmic axis of factors."""
    axes.set_yticks(FACTORS, [f"{one:g}×" for one in FACTORS], minor=False)
    axes.set_yticks([], minor=True)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def fd_figure(scores: Scores) -> Figure:
    """FD against training: each run thin, each method's median over seeds thick, target and budget as lines."""
    figure, axes = canvas()
    for method, style in styles(scores.leaderboard["method"], scores.rules.baseline).items():
        runs = [curve for curve in scores.curves if curve.method == method and len(curve.fd)]
        thin = LineCollection(
            [np.column_stack([curve.iteration, curve.fd]) for curve in runs], color=style.colour, alpha=0.25, linewidths=0.7
        )
        axes.add_collection(thin)
        if whole := longest_runs(runs):
            middle = np.median([curve.fd for curve in whole], axis=0)
            label = plain(f"{method} (n={len(runs)})")
            axes.plot(whole[0].iteration, middle, style.linestyle, color=style.colour, linewidth=2, label=label)
    if not isinstance(scores.rules.target, str):
        axes.axhline(scores.rules.target, color="grey", linestyle="--", label=f"target {scores.rules.target:g}")
    if np.isfinite(scores.rules.budget):
        axes.axvline(scores.rules.budget, color="grey", linestyle=":", label=f"budget {scores.rules.budget:g}")
    axes.set(
        yscale="log",
        xlabel=plain(scores.rules.unit),
        ylabel=plain(scores.metric),
        title=plain(f"{scores.leaderboard['task'].iloc[0]}: median and runs"),
    )
    for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatted("{x:g}")
    axes.legend(fontsize="small")
    return figure


def speedup_figure(scores: Scores) -> Figure:
    """Speedup against target, the hardest at the right, with 95 % bands. Triangles without a band are bounds:
    some run does not reach that target."""
    figure, axes = canvas()
    table = scores.curve[scores.curve["axis"] == scores.rules.unit]
    for method, style in styles(scores.leaderboard["method"], scores.rules.baseline).items():
        rows = table[(table["method"] == method) & table["speedup"].notna()]
        if len(rows):
            points = rows["bound"] == "="
            axes.plot(rows["target"], rows["speedup"], style.linestyle, color=style.colour, linewidth=2, label=plain(method))
            axes.fill_between(
                rows["target"], rows["ci_low"], rows["ci_high"], where=points, color=style.colour, alpha=0.12, lw=0
            )
            for bound, symbol in SYMBOLS.items():
                some = rows[rows["bound"] == bound]
                axes.plot(some["target"], some["speedup"], symbol, color=style.colour, markerfacecolor="none")
    axes.axhline(1, color="black", linewidth=1)
    if not isinstance(scores.rules.target, str):
        axes.axvline(scores.rules.target, color="grey", linestyle="--", label=f"target {scores.rules.target:g}")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=plain(f"target {scores.metric}, harder to the right"),
        ylabel="speedup over the baseline",
        title=plain(f"{scores.leaderboard['task'].iloc[0]}: speedup in {scores.rules.unit} against target"),
    )
    factors = table["speedup"].dropna()
    for formatted in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formatted("{x:g}")
    name_factors(axes)
    if len(factors):
        axes.set_ylim(max(0.3, 0.9 * factors.min()), min(10, 1.4 * factors.max()))
    shown = table.loc[table["speedup"].notna(), "target"].unique()
    if len(shown) == 1:  # else the axis has no width
        axes.set_xlim(shown[0] / 1.1, shown[0] * 1.1)
    axes.invert_xaxis()
    if len(axes.lines) > 1:
        axes.legend(fontsize="x-small", loc="upper left", ncols=3)
    return figure
