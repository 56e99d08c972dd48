"""Speedup against target: the same factors over all targets that the baseline reached, so that an early lead which vanishes
at low FD is seen.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from fidrace.method.base import Floats
from fidrace.score.comparison import RunTable
from fidrace.score.curves import AXES, Curve
from fidrace.score.rules import FINAL
from fidrace.spec.study import BASELINE

CURVE_COLUMNS = "task method axis target pairs reached baseline_reached speedup ci_low ci_high bound p_value".split()
POINTS = 24


def lowest_kept_target(curve: Curve, budget: float) -> float:
    """The lowest target that a run reaches by the budget and confirms; NaN where there is none."""
    fd = np.where(np.isfinite(curve.fd), curve.fd, np.inf)[1:]
    pairs = np.maximum(fd[:-1], fd[1:])[curve.iteration[1:-1] <= curve.within(budget)]
    return float(pairs.min()) if len(pairs) and np.isfinite(pairs.min()) else float("nan")


def targets(races: RunTable) -> Floats:
    """POINTS numbers, evenly spread on the log scale: from just under where any run starts to what half the baseline runs
    keep by the budget; and the study's own target."""
    runs = [curve for seeds in races.usable.values() for curve in seeds.values()]
    starts = [one.fd[0] for one in runs if len(one.fd) and one.iteration[0] == 0 and np.isfinite(one.fd[0])]
    ends = [lowest_kept_target(curve, races.rules.budget) for curve in races.usable[BASELINE].values()]
    own = [] if races.rules.target == FINAL else [float(races.rules.target)]
    if not starts or not np.isfinite(ends).any():
        return np.array(own)
    low, high = float(np.nanmedian(ends)), 0.95 * min(starts)
    spread = np.geomspace(high, low, POINTS) if low < high else np.array([low])
    rounded = {float(f"{target:.3g}") for target in spread} | {*own}
    return np.array(sorted((target for target in rounded if target < min(starts)), reverse=True))


def speedup_curve(races: RunTable) -> pd.DataFrame:
    """The rows of curve.csv: every method, axis and target, from the easiest target to the hardest."""
    raced = [races.at(float(target)) for target in targets(races)]
    rows: list[dict[str, Any]] = []
    for axis, method in product(AXES, races.methods):
        for race in raced if method != BASELINE else []:
            found = race.compare(method, axis)
            if found.seeds:
                identity = {"task": races.curves[0].task, "method": method, "axis": axis, "target": race.rules.target}
                rows.append({**identity, **found.figures()})
    return pd.DataFrame(rows, columns=pd.Index(CURVE_COLUMNS))
