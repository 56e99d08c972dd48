"""Tables ready to be compared: from the curves of a folder to one `RunTable`, and whether two of them compare."""

from dataclasses import replace
from pathlib import Path

from fidrace.errors import InputError
from fidrace.score.comparison import RunTable
from fidrace.score.curves import Curve
from fidrace.score.reading import Tables
from fidrace.score.rules import Rules
from fidrace.storage.manifest import differences


def make_run_table(curves: list[Curve], rules: Rules, tables: Tables | None = None) -> RunTable:
    """One table of all curves; a run that is marked finished but has lost rows becomes `incomplete`."""
    marked = [
        replace(curve, status="incomplete") if curve.status == "finished" and not rules.whole(curve) else curve
        for curve in curves
    ]
    present = {curve.method for curve in curves}
    methods = dict.fromkeys([rules.baseline, *rules.methods, *(curve.method for curve in curves)])
    told = (tables.metric, (*tables.remarks, *remarks_on_search(curves, rules)), tables.described) if tables else ()
    return RunTable(marked, rules, [method for method in methods if method in present], *told)


def remarks_on_search(curves: list[Curve], rules: Rules) -> list[str]:
    """How much of the grid was measured, if runs were searched, and what follows for other targets."""
    if not rules.searched:
        return []
    due = sum(n <= curve.iteration[-1] for curve in curves if len(curve.fd) for n in rules.evaluations_at)
    measured = sum(len(curve.fd) for curve in curves)
    return [
        f"searched: {measured} of {due} evaluations were measured, those that the study's own target needs; other targets are "
        "compared at the evaluations that all runs have, and curve.csv has no rows for them"
    ]


def check_comparable(folder: Path, table: RunTable, other_folder: Path, other: RunTable) -> None:
    """Raise InputError, naming the first field that differs, if two folders hold runs of different tasks or fixed parts."""
    fixed = [side.rules.fixed for side in (table, other)]
    if not all(fixed):  # without a study.json only the hash is known
        hashes = [{curve.config_hash for curve in side.curves} - {""} for side in (table, other)]
        fixed = [{"config_hash": min(known)} for known in hashes] if all(hashes) else [{}, {}]
    told = [
        {
            "task": one.task,
            "baseline": one.rules.baseline,
            "paired": one.rules.paired,
            "unit": one.rules.unit,
            "metric": one.metric,
            **one.described,
        }
        for one in (table, other)
    ]
    for name, ours, theirs in differences(told[0] | fixed[0], told[1] | fixed[1]):
        raise InputError(f"{name} is {ours} in {folder} and {theirs} in {other_folder}: different fixed parts do not compare")
