"""Guards: what a method pays for its lead. Each pair is looked at when it has reached the target: at the first evaluation at
or after the crossing of either run.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fidrace.method.base import Floats
from fidrace.score.comparison import RunTable
from fidrace.score.curves import GUARDS, Curve
from fidrace.score.speedups import MIN_PAIRS, NAN
from fidrace.spec.study import BASELINE
from fidrace.storage.tables import REAL_MEMORISED

GUARD_COLUMNS = "task method guard target pairs baseline value worse_by limit ceiling lost".split()
TOLERANCE = 0.02
FLAGGED = {"precision": "loses precision", "recall": "loses recall", "memorised": "memorises"}


def guard_table(races: RunTable) -> pd.DataFrame:
    """One row per method and guard that was measured: means at the crossings of the method and of its pairs' baselines,
    by how much the method is worse, and the one-sided 95 % lower limit of that. `lost`: the limit is above TOLERANCE; for
    losses, whose bins every re-weighting moves by design, and under MIN_PAIRS it is left empty."""
    rows = [row for method in races.methods if method != BASELINE for row in guard_rows(races, method)]
    table = pd.DataFrame(rows, columns=pd.Index(GUARD_COLUMNS))
    return table.assign(ceiling=table["guard"].map({guard: ceiling(races.curves, guard) for guard in GUARDS}))


def guard_rows(races: RunTable, method: str) -> list[dict[str, Any]]:
    theirs, ours = races.costs(BASELINE, "iterations"), races.costs(method, "iterations")
    crossed = [seed for seed in ours if seed in theirs and not ours[seed].censored and not theirs[seed].censored]
    rows = []
    for guard in GUARDS:
        base, value = (
            np.array([value_at(races.usable[name][seed], guard, costs[seed].evaluation) for seed in crossed])
            for name, costs in ((BASELINE, theirs), (method, ours))
        )
        measured = np.isfinite(base) & np.isfinite(value)
        if not measured.any():
            continue
        worse = (base - value if guard in ("precision", "recall") else value - base)[measured]
        limit = lower_limit(worse)
        rows.append(
            {
                "task": races.curves[0].task,
                "method": method,
                "guard": guard,
                "target": races.rules.target,
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
    """The one-sided 95 % limit (Student) of the mean from below; NaN under MIN_PAIRS."""
    if len(worse) < MIN_PAIRS:
        return NAN
    return float(worse.mean() - stdtrit(len(worse) - 1, 0.95) * worse.std(ddof=1) / len(worse) ** 0.5)


def ceiling(curves: list[Curve], guard: str) -> float:
    """What real images score: for precision and recall as the runs noted it, NaN for losses."""
    if guard == "memorised":
        return REAL_MEMORISED
    noted = [float(curve.about.get(f"{guard}_ceiling") or NAN) for curve in curves]
    return float(np.nanmean(noted)) if np.isfinite(noted).any() else NAN


def lost_guards(table: pd.DataFrame, method: str) -> list[str]:
    """The notes for a method's row: which guards it loses."""
    found = table[(table["method"] == method) & (table["lost"] == True)]  # noqa: E712  # None is not False
    return [FLAGGED[guard] for guard in found["guard"]]
