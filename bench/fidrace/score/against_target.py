"""Speedup against target: the same factors at all targets that the baseline reached, which shows an early lead that vanishes
at low FD.
"""

from itertools import chain, product
from typing import Any

import numpy as np
import pandas as pd

from fidrace.method.base import Floats
from fidrace.score.comparison import RunTable
from fidrace.score.curves import Curve
from fidrace.score.rules import FINAL

CURVE_COLUMNS = (
    "task method axis target pairs reached baseline_reached speedup ci_low ci_high bound factor_low factor_high p_value".split()
)
POINTS = 24


def lowest_kept_target(curve: Curve, budget: float) -> float:
    """The lowest target that a run reaches by the budget and confirms; NaN if there is none."""
    fd = np.where(np.isfinite(curve.fd), curve.fd, np.inf)[1:]
    kept = np.maximum(fd[:-1], fd[1:])[curve.iteration[1:-1] <= curve.within(budget)]
    return float(kept.min()) if len(kept) and np.isfinite(kept.min()) else float("nan")


def targets(table: RunTable) -> Floats:
    """POINTS targets, evenly spaced on the log scale from just below the lowest start of a run to the target that half of the
    baseline runs keep by the budget, and the study's own target; the highest first."""
    curves = [curve for seeds in table.usable.values() for curve in seeds.values()]
    starts = [curve.fd[0] for curve in curves if len(curve.fd) and curve.iteration[0] == 0 and np.isfinite(curve.fd[0])]
    ends = [lowest_kept_target(curve, table.rules.budget) for curve in table.usable[table.rules.baseline].values()]
    ends = [end for end in ends if end > 0]
    own = [] if table.rules.target == FINAL else [float(table.rules.target)]
    if not starts or not ends or table.rules.searched:
        return np.array(own)
    low, high = float(np.nanmedian(ends)), 0.95 * min(starts)
    spaced = np.geomspace(high, low, POINTS) if low < high else np.array([low])
    rounded = {float(f"{target:.3g}") for target in spaced} | {*own}
    return np.array(sorted((target for target in rounded if target < min(starts)), reverse=True))


def speedup_curve(table: RunTable) -> pd.DataFrame:
    """curve.csv: one row for each axis, method and target, from the easiest target to the hardest. A target below the one at
    which runs stopped has a row as long as all of them, on both sides, had reached it."""
    stopped = any(curve.stopped for curve in table.curves)
    pairs = [*product(table.axes, (method for method in table.methods if method != table.rules.baseline))]
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {pair: [] for pair in pairs}
    for target in map(float, targets(table)):  # all pairs at one target, then the next: its crossings are not kept
        at_target = table.at(target)
        for axis, method in pairs:
            if stopped and any(at_target.stopped_short(name) for name in (method, table.rules.baseline)):
                continue
            comparison = at_target.compare(method, axis)
            if comparison.speedup:
                identity = {"task": table.task, "method": method, "axis": axis, "target": target}
                rows[axis, method].append({**identity, **comparison.figures()})
    return pd.DataFrame([*chain.from_iterable(rows.values())], columns=pd.Index(CURVE_COLUMNS))
