"""plan.png: the smallest factor that is shown, against the number of seeds."""

import numpy as np

from fidrace.report.plan import Ask, at_power, plan_title
from fidrace.report.png import FACTORS, canvas, png
from fidrace.report.style import DASHES, INK, styles
from fidrace.score.plan import Plan

COUNTS = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100)
HIGHEST = 10  # factor that is drawn


def plan_png(plan: Plan, ask: Ask) -> bytes:
    """A thin line for each method at the first power; the last of them, which stands for all if there are several, thick at every
    power, with a band up to its upper limit."""
    figure, axes = canvas()
    *others, chief = plan.with_scatter
    looks = styles([one.method for one in others], plan.table.rules.baseline)
    for one in others:
        label = f"{one.method}, {at_power(ask.powers[0])}"
        style = looks[one.method]
        heights = [one.scatter.smallest_factor(n, ask.powers[0], plan.level) for n in COUNTS] if one.scatter else []
        axes.plot(COUNTS[: len(heights)], heights, style.linestyle, color=style.colour, linewidth=1, label=label)
    assert chief.scatter
    for power, dash in zip(ask.powers, [*DASHES.values()] * len(ask.powers), strict=False):
        heights = [chief.scatter.smallest_factor(n, power, plan.level) for n in COUNTS]
        axes.plot(COUNTS, heights, dash, color=INK, linewidth=2.5, label=f"{chief.method}, {at_power(power)}")
    low, high = (
        [scatter.smallest_factor(n, ask.powers[0], plan.level) for n in COUNTS]
        for scatter in (chief.scatter, chief.scatter.upper)
    )
    axes.fill_between(COUNTS, low, high, color=INK, alpha=0.1, lw=0, label="up to the scatter's upper limit")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="seeds",
        ylabel="smallest factor that is shown",
        title=plan_title(plan),
        ylim=(1, min(HIGHEST, 1.05 * float(np.max(high)))),
    )
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.set_xticks([], minor=True)
    shown = [one for one in (*FACTORS, 1.05) if 1 <= one <= axes.get_ylim()[1]]
    axes.set_yticks(shown, [f"{one:g}×" for one in shown])
    axes.set_yticks([], minor=True)
    axes.legend(fontsize="small", ncols=2)
    return png(figure)
