"""Two ways to lessen the scatter of factors for which no run trains beyond its confirmed crossing, beside the window.

python -m tests.slow.shorter_windows     prints the table of docs/statistics.md, from published runs (seconds)
"""

from collections.abc import Callable

import numpy as np

from fidrace.method.base import Floats
from fidrace.report.markdown import markdown_table
from fidrace.score.crossings import cost_of_target
from fidrace.score.curves import Curve
from fidrace.score.windows import Window
from tests.search_simulation import PUBLISHED, look, published_runs
from tests.simulation import curves
from tests.slow.windows import CHOSEN, percent

AROUND = 2  # evaluations on either side of the crossing that the line goes through
Run = tuple[Floats, Floats]  # n[E], fd[E]
Way = Callable[[Run, Run, float], tuple[float, float]]


def stopped(run: Run, target: float) -> Run:
    """What a run has measured that stops at the target, and not at the window's lower edge."""
    n, fd = run
    reached = look(fd, (target * CHOSEN, target), 2, stop=True).reached
    return n[: reached + 1], fd[: reached + 1]


def averaged(theirs: Run, ours: Run, target: float) -> tuple[float, float]:
    """ln of the baseline's cost over the method's, averaged over the window; and the share of the window that is left."""
    sides = [curves(n, fd[None]) for n, fd in (theirs, ours)]
    window = Window(CHOSEN, target, "iterations", max(theirs[0][-1], ours[0][-1]))
    costs = [[cost_of_target(curve, target, window.axis, window.budget) for curve in side] for side in sides]
    (one, other), share = window.average(sides, costs, True)
    return float(np.log(one[0].cost / other[0].cost)), share


def averaged_over_what_is_left(theirs: Run, ours: Run, target: float) -> tuple[float, float]:
    return averaged(stopped(theirs, target), stopped(ours, target), target)


def on_a_line(theirs: Run, ours: Run, target: float) -> tuple[float, float]:
    """The same of a straight line that is fitted to ln FD over ln n around the crossing."""
    one, other = (line_cost(*run, target) for run in (theirs, ours))
    return float(np.log(one / other)), np.nan


def line_cost(n: Floats, fd: Floats, target: float) -> float:
    below = fd <= target
    place = int(np.flatnonzero(below[:-1] & below[1:])[0])
    around = slice(max(1, place - AROUND), place + AROUND)  # the logarithm has no iteration 0
    slope, start = np.polyfit(np.log(n[around]), np.log(fd[around]), 1)
    return float(np.exp((np.log(target) - start) / slope))


WAYS: dict[str, Way] = {
    f"window {CHOSEN:g}": averaged,
    f"window {CHOSEN:g}, runs that stop at the target": averaged_over_what_is_left,
    f"a line through {2 * AROUND} evaluations": on_a_line,
}


def rows(name: str) -> list[list[str]]:
    """Of each way: the scatter of pairs relative to that at the target alone, and how far factors move, over all methods with
    at least four pairs whose crossings are confirmed, and that scatter."""
    published, target = published_runs(name)
    runs = {
        (run.method, run.seed): (np.array(run.iteration, float), np.array(run.fd))
        for run in published
        if is_confirmed(run, target)
    }
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for method in dict.fromkeys(method for method, _ in runs if method != "baseline"):
        pairs = [
            (runs["baseline", seed], runs[one, seed]) for one, seed in runs if one == method and ("baseline", seed) in runs
        ]
        alone = np.array([alone_at(*pair, target) for pair in pairs])
        if len(pairs) < 4 or np.ptp(alone) <= 0.02:
            continue
        for name_of_way, way in WAYS.items():
            factors, shares = np.array([way(*pair, target) for pair in pairs]).T
            scatter = factors.std(ddof=1) / alone.std(ddof=1)
            found[name_of_way].append((scatter, abs(factors.mean() - alone.mean()), float(np.median(shares))))
    return [[name, way, *told(np.array(values))] for way, values in found.items()]


def is_confirmed(run: Curve, target: float) -> bool:
    crossing = cost_of_target(run, target, "iterations", run.iteration[-1]).crossing
    return crossing is not None and crossing.confirmed


def alone_at(theirs: Run, ours: Run, target: float) -> float:
    one, other = (cost_of_target(curves(n, fd[None])[0], target, "iterations", n[-1]).cost for n, fd in (theirs, ours))
    return float(np.log(one / other))


def told(values: Floats) -> list[str]:
    """The cells of methods[M, 3]."""
    scatter, moved, share = values.T
    left = "" if np.isnan(share).any() else percent(float(share.mean()))
    return [
        str(len(values)),
        left,
        f"{np.exp(np.log(scatter).mean()):.2f}",
        percent(float(np.median(moved))),
        percent(moved.max()),
    ]


def main() -> None:
    headings = ["published runs", "way", "methods", "% of the window left", "scatter, mean", "% moved, median", "most"]
    print(markdown_table(headings, [row for name in PUBLISHED for row in rows(name)]))


if __name__ == "__main__":
    main()
