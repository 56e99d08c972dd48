"""Notes: what a reader must know before believing a factor."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fidrace.score.comparison import RunTable
from fidrace.score.crossings import TargetCost, is_flat
from fidrace.score.curves import Curve
from fidrace.score.grids import distinct_runs
from fidrace.score.imports import notes_on_imports
from fidrace.score.method_comparison import MIXED, MethodComparison
from fidrace.score.provenance import weakest
from fidrace.score.rules import FINAL
from fidrace.score.signatures import SIGNATURES, SLOW, signatures
from fidrace.score.speedups import MIN_PAIRS
from fidrace.spec.measurement import SignatureConfig
from fidrace.storage.manifest import MethodRecord
from fidrace.storage.tables import GPU_HOURS

UNUSABLE = ("failed", "diverged", "running", "incomplete")  # statuses that a note counts


def notes_of(
    table: RunTable, method: str, axis: str, comparison: MethodComparison | None = None, reference: str = ""
) -> list[str]:
    """The notes on a method's row: on its runs, and on their `comparison` with a `reference` (default: the baseline) if there
    is one; then also on the baseline's runs."""
    baseline = table.rules.baseline
    reference = reference or baseline
    runs = [curve for curve in table.curves if curve.method == method]
    record = table.rules.methods.get(method, MethodRecord())
    declared = table.rules.declared_seeds
    goals = table.usable[baseline] if table.rules.target == FINAL and table.rules.paired else table.usable[method]
    aimed = [curve for seed, curve in table.usable[method].items() if seed in goals]
    grid = table.rules.evaluations_at if table.rules.searched else ()
    unmeasured, theirs = ({*table.crossings(name)} - {*table.costs(name, axis)} for name in (method, baseline))
    notes = {
        "post hoc": table.rules.post_hoc,
        "extended": declared is not None and any(curve.seed not in declared for curve in runs),
        "horizon": record.horizon,
        "as reconstructed": record.evidence == "reconstructed",
        "noise not N(0, I)": not record.keeps_noise,
        f"tuned by {record.tuned_by} trials": bool(record.tuned_by),
        "untuned": not record.tuned_by and any(one.tuned_by for one in table.rules.methods.values()),
        "flat at target": bool(aimed) and np.mean([is_flat(c, table.target(c.seed), grid) for c in aimed]) > 0.5,
        MIXED: axis != "seconds" in table.honest_axes(method) and MIXED in table.compare(method, "seconds", reference).notes,
        f"{len(unmeasured)} without {axis}": bool(unmeasured),
        f"baseline: {len(theirs)} without {axis}": bool(theirs) and method != baseline == reference,
    }
    found = notes_on_imports([curve for curve in table.curves if curve.method in (method, reference)])
    found += [note for note, holds in notes.items() if holds]
    found += notes_of_comparison(comparison) if comparison else []
    found += count_unusable(table, method) + notes_of_signatures(table, method)
    told = [one for one in table.rules.guarantees if one.method == method]
    if "trainer" in table.rules.fixed and not told and table.usable[method]:
        found.append("unknown: provenance")  # `fidrace run` of the study writes it
    if weak := weakest(told):
        found.append(weak)
    if method != baseline and reference == baseline:
        found += [f"baseline: {count}" for count in count_unusable(table, baseline)]
    return found


def notes_of_comparison(comparison: MethodComparison) -> list[str]:
    """Notes on the size of a comparison, on the grids behind it, and on costs that are not what they seem."""
    found = comparison.speedup
    small = f"fewer than {MIN_PAIRS} {'pairs' if comparison.paired else 'runs a side'}"
    notes = {
        small: comparison.is_too_small,
        "unpaired": not comparison.paired,
        "no scatter": bool(found and found.detectable == np.inf),
        **dict.fromkeys(comparison.notes, True),
    }
    return [
        *(note for note, holds in notes.items() if holds),
        *notes_of_costs(comparison.ours),
        *(f"baseline: {note}" for note in notes_of_costs(comparison.theirs)),
    ]


def notes_of_costs(costs: Sequence[TargetCost]) -> list[str]:
    """How many runs arrived at their last evaluation only, did not stay at the target, or were there at their first one."""
    crossings = [cost.crossing for cost in costs if cost.crossing]
    counts = {
        "unconfirmed": sum(not crossing.confirmed for crossing in crossings),
        "relapsed": sum(crossing.relapsed for crossing in crossings),
        "above the target again for a while": sum(crossing.left and not crossing.relapsed for crossing in crossings),
        "at target at the first evaluation": sum(crossing.before < 0 for crossing in crossings),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def count_unusable(table: RunTable, method: str) -> list[str]:
    """Notes such as `2 failed`: how many runs of the method failed, ended early, have not ended, or are copies of others."""
    runs = [curve for curve in table.curves if curve.method == method]
    statuses = [curve.status for curve in runs]
    counts = {status: statuses.count(status) for status in UNUSABLE}
    counts["without evaluations"] = sum(curve.status == "finished" and not len(curve.fd) for curve in runs)
    counts[f"ended by {GPU_HOURS}"] = sum(curve.timed_out for curve in runs)
    counts["stopped at the crossing"] = sum(curve.stopped for curve in runs)
    counts["stopped before this target"] = table.stopped_short(method)
    if method == table.rules.baseline and table.rules.target == FINAL:
        ended = [curve for curve in runs if curve.status == "finished"]
        counts["no better than at the start"] = sum(not table.is_usable_target(curve) for curve in ended)
    counts["copies of another run"] = count_copies([*table.usable[method].values()])
    return [f"{count} {what}" for what, count in counts.items() if count]


def notes_of_signatures(table: RunTable, method: str) -> list[str]:
    """How many runs of the method show each signature of a failure; that they are slow, if most of them are."""
    if method not in table.known_signatures:
        table.known_signatures[method] = count_signatures(table, method)
    return table.known_signatures[method]


def count_signatures(table: RunTable, method: str) -> list[str]:
    """The same, found anew."""
    rules, limits = table.rules, SignatureConfig(**table.rules.fixed.get("signatures", {}))
    shown = Counter(
        name
        for seed, run in table.usable[method].items()
        for name in signatures(
            run.columns | {"fd": run.fd, "fd_se": run.se},
            None if rules.target == FINAL else table.target(seed),
            rules.budget,
            limits,
        )
    )
    least = {SLOW: len(table.usable[method]) / 2}  # of single runs the time to target says it already
    return [f"{shown[name]} {name}" for name in SIGNATURES if shown[name] > least.get(name, 0)]


def count_copies(runs: list[Curve]) -> int:
    return len(runs) - len(distinct_runs({curve.seed: curve for curve in runs}))
