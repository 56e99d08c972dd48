"""Decisions: what each look of a study that is raced until it is decided says of its methods, and which are raced on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fidrace.errors import NothingToConclude
from fidrace.score.leaderboard import SPEEDUP_COLUMNS, read_run_table
from fidrace.score.run_tables import make_run_table
from fidrace.score.speedups import FASTER, IDENTICAL, SLOWER
from fidrace.score.verdicts import adjust_p_values, judge_on_honest_axes

UNDECIDED = "undecided"


@dataclass(frozen=True)
class Decision:
    """What a look says of one method: its verdict, its factor and interval, and whether it need not be raced any further."""

    method: str
    verdict: str
    factor: float
    ci_low: float
    ci_high: float
    futility: float

    @property
    def is_made(self) -> bool:
        """True if the method is shown to be faster, slower or the same, or less fast than would matter."""
        return self.verdict in (FASTER, SLOWER, IDENTICAL) or self.ci_high < self.futility

    def __str__(self) -> str:
        if not self.is_made:
            return f"{self.method} {UNDECIDED}"
        if self.verdict == IDENTICAL:
            return f"{self.method} {IDENTICAL}"
        word = self.verdict if self.verdict in (FASTER, SLOWER) else f"less than {self.futility:g}x"
        point = "" if np.isnan(self.factor) else f"{self.factor:.2f}x "
        return f"{self.method} {word}, {point}({self.ci_low:.2f}–{self.ci_high:.2f})".replace("inf", "∞")


def decide_at(folder: Path, seeds: int) -> list[Decision]:
    """What the tables in `folder` decide at the look of `seeds` seeds, in the table's unit, as if there were no later runs. A
    method that was decided earlier has no more runs than it had then, and the decision stays. Raises InputError for tables
    that cannot be read."""
    try:
        table = read_run_table(folder)
    except NothingToConclude:
        return []
    design, rules = table.rules.until_decided, table.rules
    assert design is not None
    table = make_run_table([curve for curve in table.curves if curve.seed < seeds], rules)
    if not table.usable.get(rules.baseline):
        return []
    methods = [method for method in table.methods if method != rules.baseline]
    rows: list[dict[str, Any]] = [
        {"method": method, "axis": axis, **table.compare(method, axis).figures()}
        for method in methods
        for axis in (rules.unit, *table.honest_axes(method))
    ]
    family = len({*rules.methods, *methods} - {rules.baseline})
    judged = adjust_p_values(rows, SPEEDUP_COLUMNS, family)
    judged = judge_on_honest_axes(judged, {method: table.honest_axes(method) for method in methods})
    return [
        Decision(row["method"], row["verdict"], row["speedup"], row["ci_low"], row["ci_high"], design.futility)
        for row in judged[judged["axis"] == rules.unit].to_dict("records")
    ]


def describe_look(number: int, looks: tuple[int, ...], decisions: list[Decision]) -> str:
    """`look 2 of 5 (5 seeds): min-snr faster, 1.21x (1.05–1.38); clts, mdlrc undecided`."""
    made = [str(decision) for decision in decisions if decision.is_made]
    open_ones = [decision.method for decision in decisions if not decision.is_made]
    said = [*made, *([f"{', '.join(open_ones)} {UNDECIDED}"] if open_ones else [])]
    return f"look {number} of {len(looks)} ({looks[number - 1]} seeds): {'; '.join(said) or 'nothing to compare yet'}"
