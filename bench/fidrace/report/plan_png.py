"""plan.png: the smallest factor that is shown, against the number of seeds."""

from itertools import cycle

from fidrace.report.plan import Ask, at_power, plan_title
from fidrace.report.png import FACTORS, canvas, plain, png
from fidrace.report.style import DASHES, INK, styles
from fidrace.score.plan import MethodPlan, Plan

COUNTS = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100)
HIGHEST = 10  # factor that is drawn


def plan_png(plan: Plan, ask: Ask) -> bytes:
    """A thin line for each method at the first power. The last of them, which stands for all if there are several, has a thick
    line for every power, and a band up to its upper limit."""
    figure, axes = canvas()
    first = ask.powers[0]
    *others, chief = plan.with_scatter
    looks = styles([one.method for one in others], plan.table.rules.baseline)
    for one in others:
        style, label = looks[one.method], plain(f"{one.method}, {at_power(first)}")
        axes.plot(COUNTS, heights(one, first, plan), style.linestyle, color=style.colour, linewidth=1, label=label)
    for power, dash in zip(ask.powers, cycle(DASHES.values()), strict=False):
        label = plain(f"{chief.method}, {at_power(power)}")
        axes.plot(COUNTS, heights(chief, power, plan), dash, color=INK, linewidth=2.5, label=label)
    low, high = heights(chief, first, plan), heights(chief, first, plan, upper=True)
    axes.fill_between(COUNTS, low, high, color=INK, alpha=0.1, lw=0, label="up to the scatter's upper limit")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="seeds",
        ylabel="smallest factor that is shown",
        title=plain(plan_title(plan)),
        ylim=(1, min(HIGHEST, 1.05 * max(high))),
    )
    axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
    axes.set_xticks([], minor=True)
    shown = [one for one in (*FACTORS, 1.05) if 1 <= one <= axes.get_ylim()[1]]
    axes.set_yticks(shown, [f"{one:g}×" for one in shown])
    axes.set_yticks([], minor=True)
    axes.legend(fontsize="small", ncols=2)
    return png(figure)


def heights(one: MethodPlan, power: float, plan: Plan, upper: bool = False) -> list[float]:
    """The smallest factors that COUNTS of seeds show, or would at the upper limit of the scatter."""
    assert one.scatter
    scatter = one.scatter.upper if upper else one.scatter
    return [scatter.smallest_factor(seeds, power, plan.level) for seeds in COUNTS]
