"""Guards: what a method pays for its lead. Runs are compared at the target: each guard is interpolated to where its run's FD
is the target's, because a fast run falls far below it in one step of the grid, and would be judged at a lower FD.
"""

from typing import Any

import numpy as np
import pandas as pd

from fidrace.score.comparison import RunTable
from fidrace.score.crossings import Crossing
from fidrace.score.curves import GUARDS, Curve
from fidrace.score.speedups import LEVEL, NAN, holm, lower_limit, p_of_mean_above
from fidrace.storage.tables import REAL_MEMORISED

GUARD_COLUMNS = "task method guard target pairs baseline value worse_by limit p_value p_holm ceiling lost".split()
TOLERANCE = 0.02
FLAGGED = {"precision": "loses precision", "recall": "loses recall", "memorised": "memorises"}


def guard_table(table: RunTable) -> pd.DataFrame:
    """guards.csv: one row for each method and guard that was measured, with the means of the method and the baseline where
    they cross, by how much the method is worse, the one-sided 95 % lower limit of that, and the p of more than TOLERANCE, also
    adjusted by Holm over all guards and methods. `lost`: the adjusted p is below 0.05; empty for losses, whose bins every
    re-weighting moves by design, and for too few runs."""
    rows = [row for method in table.methods if method != table.rules.baseline for row in guard_rows(table, method)]
    guards = pd.DataFrame(rows, columns=pd.Index(GUARD_COLUMNS))
    guards["p_holm"] = holm(guards["p_value"].to_numpy(float))
    lost = [bool(p < LEVEL) if np.isfinite(p) else None for p in guards["p_holm"]]
    return guards.assign(
        lost=pd.Series(lost, guards.index, object),
        ceiling=guards["guard"].map({guard: ceiling(table.curves, guard) for guard in GUARDS}),
    )


def guard_rows(table: RunTable, method: str) -> list[dict[str, Any]]:
    baseline = table.rules.baseline
    theirs, ours = (at_crossing(table, name) for name in (baseline, method))
    paired = table.compare(method, table.rules.unit).paired
    shared = [seed for seed in ours if seed in theirs] if paired else []
    seeds = ([*theirs], [*ours]) if not shared else (shared, shared)
    rows = []
    for guard in GUARDS:
        base, value = (
            np.array([value_at(table.usable[name][seed], guard, crossings[seed]) for seed in which])
            for name, crossings, which in zip((baseline, method), (theirs, ours), seeds, strict=True)
        )
        if shared:
            measured = np.isfinite(base) & np.isfinite(value)
            base, value = base[measured], value[measured]
        else:
            base, value = base[np.isfinite(base)], value[np.isfinite(value)]
        if not len(base) or not len(value):
            continue
        sign = -1 if guard in ("precision", "recall") else 1
        groups = [sign * (value - base)] if shared else [sign * value, sign * base]
        worse = sign * float(value.mean() - base.mean())
        rows.append(
            {
                "task": table.task,
                "method": method,
                "guard": guard,
                "target": table.rules.target,
                "pairs": len(value) if shared else 0,
                "baseline": base.mean(),
                "value": value.mean(),
                "worse_by": worse,
                "limit": lower_limit(worse, groups),
                "p_value": p_of_mean_above(worse - TOLERANCE, groups) if guard in FLAGGED else NAN,
            }
        )
    return rows


def at_crossing(table: RunTable, method: str) -> dict[int, Crossing]:
    """By seed, where the method's runs cross the target; runs that do not are left out."""
    costs = table.costs(method, table.rules.unit)
    return {seed: cost.crossing for seed, cost in costs.items() if cost.crossing}


def value_at(curve: Curve, guard: str, crossing: Crossing) -> float:
    """The guard where FD is the target's, between the evaluations around the crossing; NaN if it was not measured there."""
    column = curve.columns.get(guard)
    if column is None:
        return NAN
    before = column[crossing.before] if crossing.before >= 0 and crossing.share < 1 else column[crossing.at]
    return float(before + crossing.share * (column[crossing.at] - before))


def ceiling(curves: list[Curve], guard: str) -> float:
    """The score of real images: as the runs recorded it for precision and recall, NaN for losses."""
    if guard == "memorised":
        return REAL_MEMORISED
    recorded = [float(curve.about.get(f"{guard}_ceiling") or NAN) for curve in curves]
    return float(np.nanmean(recorded)) if np.isfinite(recorded).any() else NAN


def lost_guards(guards: pd.DataFrame, method: str) -> list[str]:
    """The notes for the guards that a method loses; `unadjusted` if only its own limit shows it."""
    rows = guards[(guards["method"] == method) & guards["guard"].isin(FLAGGED) & (guards["limit"] > TOLERANCE)]
    return [
        FLAGGED[guard] + ("" if lost is True else ", unadjusted")
        for guard, lost in zip(rows["guard"], rows["lost"], strict=True)
    ]
