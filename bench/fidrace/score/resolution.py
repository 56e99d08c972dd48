"""Whether evaluations are fine enough to tell when a run is at its target."""

import math
from statistics import median

from fidrace.score.comparison import RunTable
from fidrace.score.rules import FINAL

RESOLVED = 0.05  # the largest standard error, as a share of the distance, of an evaluation that tells one target from the next


def remarks_on_resolution(table: RunTable) -> list[str]:
    """A line if an evaluation at the target has a standard error above RESOLVED of it in the median baseline run, with the
    number of samples that brings it there."""
    rules = table.rules
    if rules.target == FINAL:
        return []
    runs, crossings = table.usable[rules.baseline], table.crossings(rules.baseline)
    errors = [runs[seed].se[crossing.at] / runs[seed].fd[crossing.at] for seed, crossing in crossings.items() if crossing]
    error = median(errors) if errors else math.nan
    if not error > RESOLVED:
        return []
    quality = rules.fixed.get("quality", {})
    samples = quality.get("samples")
    field = "trainer.samples = " if "trainer" in rules.fixed else "--set quality.samples="
    remedy = f": {field}{math.ceil(samples * (error / RESOLVED) ** 2)}" if samples else ""
    bias = "; quality.extrapolate removes the bias, which may be as large"
    bias = "" if quality.get("extrapolate") or not samples or "trainer" in rules.fixed else bias
    return [
        f"at {float(rules.target):g} the standard error of an evaluation is {100 * error:.1f} % of the distance, and up to "
        f"{100 * RESOLVED:g} % tells one target from the next{remedy}{bias}"
    ]
