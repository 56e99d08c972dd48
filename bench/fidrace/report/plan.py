"""A plan for a person, as tables in the terminal, and for a program, as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from fidrace.report.cost import time_text
from fidrace.report.json_lines import to_json
from fidrace.report.leaderboard import race_title
from fidrace.report.terminal import Layout, print_line, print_table
from fidrace.score.plan import LIKE_THESE, MethodPlan, Plan
from fidrace.score.power import MOST_PLANNED, SURE, Scatter

UNSURE = 1.5  # if a pilot's scatter may be larger by this factor, only its upper limit is a plan


@dataclass(frozen=True)
class Ask:
    """What a plan is asked: factors above 1, powers, and numbers of seeds."""

    factors: Sequence[float]
    powers: Sequence[float]
    seeds: Sequence[int]


def print_plan(plan: Plan, ask: Ask, console: Console) -> None:
    """The smallest factor by seeds, the seeds by factor for each power, the time that they take, and what to know of them."""
    print_line(console, plan_title(plan))
    headings = ["method", "scatter", *(["r"] if any(not math.isnan(one.correlation) for one in plan.methods) else [])]
    counts, factors = [f"{seeds} seeds" for seeds in ask.seeds], [f"{factor:g}×" for factor in ask.factors]
    level, first = plan.level, ask.powers[0]
    lines = [
        [*scatter_cells(one)[: len(headings)], *(factor_text(one.scatter, seeds, first, level) for seeds in ask.seeds)]
        for one in plan.methods
    ]
    show(console, f"the smallest factor that is shown {at_power(first)}, and the scatter", [*headings, *counts], lines)
    for power in ask.powers:
        lines = [[one.method, *(seeds_text(one.scatter, c, power, level) for c in ask.factors)] for one in plan.methods]
        show(console, f"seeds that show a factor {at_power(power)}", ["method", *factors], lines)
    if any(not math.isnan(one.seconds) for one in plan.with_scatter):
        lines = [[one.method, *(time_cells(one, ask.factors, first, level))] for one in plan.methods]
        title = f"time for these seeds of a method and the baseline {at_power(first)}"
        show(console, title, ["method", "one seed", *factors], lines)
    for line in remarks(plan):
        print_line(console, line)


def show(console: Console, title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table that in a narrow terminal loses columns from its right."""
    print_line(console, title)  # not as the table's own, which folds at the table's width
    print_table(console, "", headings, lines, Layout(tuple(headings[:2:-1]), below=()))


def plan_title(plan: Plan) -> str:
    table = plan.table
    paired = all(one.paired for one in plan.methods)
    return race_title(table.task, plan.axis, table.metric, table.rules.target, paired)


def at_power(power: float) -> str:
    return f"at {100 * power:g} % power"


def scatter_cells(one: MethodPlan) -> list[str]:
    """The method, its scatter with the upper limit in brackets, and the correlation of a pair."""
    scatter = f"{one.scatter.deviation:.3f} [{one.scatter.upper.deviation:.3f}]" if one.scatter else "–"
    return [one.method, scatter, "" if math.isnan(one.correlation) else f"{one.correlation:.2f}"]


def factor_text(scatter: Scatter | None, seeds: int, power: float, level: float) -> str:
    found = scatter.smallest_factor(seeds, power, level) if scatter else math.nan
    return "–" if math.isnan(found) else f"{found:.2f}×" if found < 100 else ">100×"


def seeds_text(scatter: Scatter | None, factor: float, power: float, level: float) -> str:
    """The number of seeds, in brackets at the upper limit of the scatter."""
    if scatter is None:
        return "–"
    likely, most = (count_text(one.seeds_for(factor, power, level)) for one in (scatter, scatter.upper))
    return f"{likely} [{most}]"


def count_text(seeds: float) -> str:
    return f"{seeds:.0f}" if seeds < math.inf else f">{MOST_PLANNED}"


def time_cells(one: MethodPlan, factors: Sequence[float], power: float, level: float) -> list[str]:
    """The time of one seed, and of as many as show each factor."""
    if one.scatter is None or math.isnan(one.seconds):
        return ["–"] * (1 + len(factors))
    needed = [one.scatter.seeds_for(factor, power, level) for factor in factors]
    return [time_text(one.seconds), *(time_text(seeds * one.seconds) if seeds < math.inf else "–" for seeds in needed)]


def remarks(plan: Plan) -> list[str]:
    """What to know of the tables: the brackets, the level, the methods that stand for others, and what seeds do not mend."""
    known = plan.with_scatter
    worst = min(known, key=lambda one: one.known)
    assert worst.scatter
    unsure = worst.scatter.uncertainty
    sizes = sorted({one.known for one in known})
    of = f"{sizes[0]}{f' to {sizes[-1]}' if len(sizes) > 1 else ''} {'pairs' if worst.paired else 'runs a side'}"
    lines = [
        f"scatter: standard deviation of ln(factor) over seeds, from {of}. It is uncertain itself: in brackets, at its upper "
        f"{100 * SURE:.0f} % limit, up to {unsure:.2f} times as large{'; plan by these' if unsure > UNSURE else ''}.",
        f"shown: the verdict faster, one-sided p < {plan.level:.2g}"
        + (f", of the least favourable of {plan.family} methods under Holm (--methods-in-family)." if plan.family > 2 else "."),
    ]
    if any(one.method == LIKE_THESE for one in known):
        lines.append(f"{LIKE_THESE}: a method that is not among them, with their median scatter and time.")
    if any(not one.paired for one in known):
        lines.append("unpaired: seeds are seeds a side, compared by Welch.")
    if all(math.isnan(one.seconds) for one in known):
        lines.append("time: not known, because runs.csv does not tell train_seconds.")
    if any(one.open for one in plan.methods):
        lines.append("open: a run that does not arrive leaves its method's limit open, and then no number of seeds decides.")
    return [*lines, *(note for one in plan.methods for note in one.notes)]


def plan_json(plan: Plan, ask: Ask, folder: str) -> str:
    """The plan as one JSON document. null: not known, or more than MOST_PLANNED seeds."""
    content = {
        "folder": folder,
        "task": plan.table.task,
        "axis": plan.axis,
        "metric": plan.table.metric,
        "target": plan.table.rules.target,
        "baseline": plan.table.rules.baseline,
        "methods_in_family": plan.family,
        "level": plan.level,
        "methods": [method_record(one, ask, plan.level) for one in plan.methods],
    }
    return to_json(content, indent=1)


def method_record(one: MethodPlan, ask: Ask, level: float) -> dict[str, Any]:
    record = {
        "method": one.method,
        "paired": one.paired,
        "known": one.known,
        "scatter": one.scatter and one.scatter.deviation,
        "scatter_upper": one.scatter and one.scatter.upper.deviation,
        "correlation": one.correlation,
        "seconds_per_seed": one.seconds,
        "open": one.open,
        "notes": one.notes,
    }
    needed = [need_record(one, factor, power, level) for power in ask.powers for factor in ask.factors]
    shown = [
        {
            "seeds": seeds,
            "power": power,
            "factor": one.scatter.smallest_factor(seeds, power, level),
            "factor_upper": one.scatter.upper.smallest_factor(seeds, power, level),
        }
        for power in ask.powers
        for seeds in ask.seeds
        if one.scatter
    ]
    return {**record, "seeds_needed": needed if one.scatter else [], "smallest_factor": shown}


def need_record(one: MethodPlan, factor: float, power: float, level: float) -> dict[str, float]:
    """The seeds that show a factor, and their hours."""
    if one.scatter is None:
        return {}
    seeds, upper = (scatter.seeds_for(factor, power, level) for scatter in (one.scatter, one.scatter.upper))
    hours, hours_upper = (count * one.seconds / 3600 for count in (seeds, upper))
    return {
        "factor": factor,
        "power": power,
        "seeds": seeds,
        "seeds_upper": upper,
        "hours": hours,
        "hours_upper": hours_upper,
    }
