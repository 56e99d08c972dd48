"""Guards: what a method pays for its lead. The two runs of a pair are compared at the target: each at its first evaluation at
or after its crossing.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fidrace.method.base import Floats
from fidrace.score.comparison import RunTable
from fidrace.score.curves import GUARDS, Curve
from fidrace.score.speedups import MIN_PAIRS, NAN
from fidrace.spec.user_input import BASELINE
from fidrace.storage.tables import REAL_MEMORISED

GUARD_COLUMNS = "task method guard target pairs baseline value worse_by limit ceiling lost".split()
TOLERANCE = 0.02
FLAGGED = {"precision": "loses precision", "recall": "loses recall", "memorised": "memorises"}


def guard_table(table: RunTable) -> pd.DataFrame:
    """guards.csv: one row for each method and guard that was measured, with the means of the method and its paired baselines
    at their crossings, by how much the method is worse, and the one-sided 95 % lower limit of that. `lost`: the limit is above
    TOLERANCE; empty for losses, whose bins every re-weighting moves by design, and for fewer than MIN_PAIRS pairs."""
    rows = [row for method in table.methods if method != BASELINE for row in guard_rows(table, method)]
    guards = pd.DataFrame(rows, columns=pd.Index(GUARD_COLUMNS))
    return guards.assign(ceiling=guards["guard"].map({guard: ceiling(table.curves, guard) for guard in GUARDS}))


def guard_rows(table: RunTable, method: str) -> list[dict[str, Any]]:
    theirs, ours = table.costs(BASELINE, "iterations"), table.costs(method, "iterations")
    crossed = [seed for seed in ours if seed in theirs and not ours[seed].censored and not theirs[seed].censored]
    rows = []
    for guard in GUARDS:
        base, value = (
            np.array([value_at(table.usable[name][seed], guard, costs[seed].evaluation) for seed in crossed])
            for name, costs in ((BASELINE, theirs), (method, ours))
        )
        measured = np.isfinite(base) & np.isfinite(value)
        if not measured.any():
            continue
        worse = (base - value if guard in ("precision", "recall") else value - base)[measured]
        limit = lower_limit(worse)
        rows.append(
            {
                "task": table.task,
                "method": method,
                "guard": guard,
                "target": table.rules.target,
                "pairs": int(measured.sum()),
                "baseline": base[measured].mean(),
                "value": value[measured].mean(),
                "worse_by": worse.mean(),
                "limit": limit,
                "lost": bool(limit > TOLERANCE) if guard in FLAGGED and not np.isnan(limit) else None,
            }
        )
    return rows


def value_at(curve: Curve, guard: str, evaluation: int | None) -> float:
    column = curve.columns.get(guard)
    return NAN if column is None or evaluation is None else float(column[evaluation])


def lower_limit(worse: Floats) -> float:
    """The one-sided lower 95 % limit (Student) of the mean; NaN for fewer than MIN_PAIRS values."""
    if len(worse) < MIN_PAIRS:
        return NAN
    return float(worse.mean() - stdtrit(len(worse) - 1, 0.95) * worse.std(ddof=1) / len(worse) ** 0.5)


def ceiling(curves: list[Curve], guard: str) -> float:
    """The score of real images: as the runs recorded it for precision and recall, NaN for losses."""
    if guard == "memorised":
        return REAL_MEMORISED
    recorded = [float(curve.about.get(f"{guard}_ceiling") or NAN) for curve in curves]
    return float(np.nanmean(recorded)) if np.isfinite(recorded).any() else NAN


def lost_guards(guards: pd.DataFrame, method: str) -> list[str]:
    """The notes for the guards that a method loses."""
    lost = guards[(guards["method"] == method) & (guards["lost"] == True)]  # noqa: E712  # None is not False
    return [FLAGGED[guard] for guard in lost["guard"]]
