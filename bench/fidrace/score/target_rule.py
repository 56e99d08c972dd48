"""The protocol's target: from baseline runs alone, before any other method is run.

python -m fidrace.score.target_rule DIR        prints the target for the study in DIR
"""

import math
import sys
from pathlib import Path

import numpy as np

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.curves import Curve, read_curves
from fidrace.score.rules import read_rules
from fidrace.spec.study import BASELINE

TARGET_SHARE, MIN_SEEDS = 0.6, 5


def fd_at_share(curve: Curve, budget: float) -> float:
    """The curve's FD at SHARE of the budget, log-linear between evaluations."""
    return float(np.exp(np.interp(TARGET_SHARE * budget, curve.iteration, np.log(curve.fd))))


def sets_target(curve: Curve, budget: float) -> bool:
    return curve.method == BASELINE and curve.status == "finished" and curve.ends_by(budget) and not curve.timed_out


def target_of(curves: list[Curve], budget: float, least: int = MIN_SEEDS) -> float:
    """The median over baseline runs of FD at 0.6 of the budget, rounded up to two figures. Raises NothingToConclude for
    fewer than `least` runs."""
    values = [fd_at_share(curve, budget) for curve in curves if sets_target(curve, budget)]
    if len(values) < least:
        raise NothingToConclude(f"{len(values)} finished baseline runs; a target takes at least {least}")
    median = float(np.median(values))
    unit = 10.0 ** (math.floor(math.log10(median)) - 1)
    return round(math.ceil(median / unit) * unit, 12)


def main(folder: Path) -> None:
    curves = read_curves(folder)
    budget = read_rules(folder, curves, None).budget
    target = target_of(curves, budget)
    values = sorted(fd_at_share(curve, budget) for curve in curves if sets_target(curve, budget))
    print(
        f"FD of {len(values)} baseline runs at {TARGET_SHARE * budget:g} of {budget} iterations:", *(f"{v:.2f}" for v in values)
    )
    print(f"target: {target:g}")


if __name__ == "__main__":
    try:
        main(Path(*sys.argv[1:2]))
    except (InputError, NothingToConclude) as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 3)
