"""The protocol's target: the baseline's median FD at TARGET_SHARE of the budget, before any other method is run."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fidrace.errors import InputError, NothingToConclude
from fidrace.score.curves import Curve
from fidrace.score.reading import read_tables
from fidrace.score.rules import read_rules
from fidrace.spec.user_input import BASELINE
from fidrace.storage.locks import lock_if_shared
from fidrace.storage.study_folder import StudyFolder

TARGET_SHARE, MIN_SEEDS = 0.6, 5


def fd_at_share(curve: Curve, budget: float) -> float:
    """The curve's FD at TARGET_SHARE of the budget, log-linear between evaluations."""
    return float(np.exp(np.interp(TARGET_SHARE * budget, curve.iteration, np.log(curve.fd))))


def sets_target(curve: Curve, budget: float, baseline: str = BASELINE) -> bool:
    """True for a baseline run that finished its iterations."""
    return curve.method == baseline and curve.status == "finished" and curve.ends_by(budget) and not curve.ended_early


def target_of(curves: list[Curve], budget: float, least: int = MIN_SEEDS, baseline: str = BASELINE) -> float:
    """The median over baseline runs of FD at TARGET_SHARE of the budget, rounded up to two figures. Raises NothingToConclude
    for fewer than `least` such runs, for distances that are no numbers above 0, and for a target that a run starts at."""
    runs = [curve for curve in curves if sets_target(curve, budget, baseline)]
    if len(runs) < least:
        raise NothingToConclude(f"{len(runs)} finished baseline runs; a target takes at least {least}")
    if not all(np.isfinite(curve.fd).all() and (curve.fd > 0).all() for curve in runs):
        raise NothingToConclude("a distance of the baseline is no number above 0")
    reached = float(np.median([fd_at_share(curve, budget) for curve in runs]))
    target = round_up(reached)
    start = min((float(curve.fd[0]) for curve in curves if len(curve.fd) and curve.iteration[0] == 0), default=math.inf)
    if not target < start:
        why = "does not fall" if reached >= start else f"falls too little for a target, rounded up to {target:g}"
        distances = f"FD {reached:.4g} at {TARGET_SHARE} of the budget, {start:.4g} before training"
        raise NothingToConclude(f"the baseline {why}: {distances}")
    return target


def round_up(value: float) -> float:
    """`value` rounded up to two figures."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / unit) * unit, 12)


def baseline_distances(folder: Path) -> tuple[list[float], float]:
    """FD at TARGET_SHARE of the budget of each baseline run that sets the target in `folder`, and that budget in iterations."""
    tables = read_tables(folder)
    rules = read_rules(folder, tables, aimless=True)
    setting = [curve for curve in tables.curves if sets_target(curve, rules.budget, rules.baseline)]
    return [fd_at_share(curve, rules.budget) for curve in setting], rules.budget


def refuse_other_methods(folder: Path, methods: Iterable[str], baseline: str = BASELINE) -> None:
    """Raise InputError if `methods`, those of the runs in `folder`, are not the baseline alone."""
    if others := sorted({*methods} - {baseline}):
        raise InputError(f"{folder}: {', '.join(others)} ran already, so a target set now is post hoc; choose another folder")


def rule_target(folder: Path) -> tuple[float, int]:
    """The target by the protocol's rule for the tables in `folder`, and the number of baseline runs that set it.

    Raises InputError if another method has runs there, because a target that is set after them is post hoc;
    NothingToConclude if the baseline runs give no target (`target_of`)."""
    tables = read_tables(folder)
    curves = tables.curves
    rules = read_rules(folder, tables, aimless=True)
    refuse_other_methods(folder, (curve.method for curve in curves), rules.baseline)
    if rules.stopped or rules.searched:
        raise InputError(
            f"{folder}: a target is read off whole runs, and these have budget.{'stop' if rules.stopped else 'search'}"
        )
    budget = rules.budget
    try:
        target = target_of(curves, budget, baseline=rules.baseline)
        return target, sum(sets_target(curve, budget, rules.baseline) for curve in curves)
    except NothingToConclude as error:
        raise NothingToConclude(f"{folder}: {error}") from None


def set_target(folder: Path) -> float:
    """Set the target of the study in `folder` by the protocol's rule, store it in study.json and return it. Later commands
    that extend the study adopt it. Raises InputError without a study.json, and as `rule_target` does."""
    directory = StudyFolder(folder)
    if not (folder / "study.json").exists():
        raise InputError(f"{folder}: no study.json, so no study whose target could be set; `fidrace run` writes one")
    with lock_if_shared(folder):
        if (folder / "runs").is_dir() and not directory.rows_without_directory():  # runs at work are ahead of the tables
            directory.collect()
        target, runs = rule_target(folder)
        how = (
            f"median FD of {runs} baseline runs at {TARGET_SHARE} of the budget, rounded up to 2 figures, before any other "
            "method was run (fidrace target DIR)"
        )
        changes = {"target": target, "target_how": how, "target_by_rule": True}
        directory.manifest().model_copy(update=changes).write(folder / "study.json")
    return target
