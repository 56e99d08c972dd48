"""Verdicts for a person: claims beside measurements, and the gate's checks, in the terminal and as Markdown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from fidrace.report.leaderboard import BOUNDS, make_table, markdown_table
from fidrace.score.claims import EVIDENCE, ClaimVerdict
from fidrace.score.gate import FAILS, HOLDS, NOTHING, UNDECIDED, Check

CLAIM_HEADINGS = ["claim", "on", "method", "claimed", "measured", "pairs", "verdict", "notes"]
EVIDENCE_HEADINGS = ["claim", "measured on", "to", "method", "claimed", "measured", "pairs", "notes"]
CHECK_HEADINGS = ["", "asked", "outcome", "now", "before", "now / before", "notes"]
EVIDENCE_TITLE = "evidence from elsewhere: no verdict on the claim"
MARKS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", NOTHING: "–"}


def claim_lines(judged: Sequence[ClaimVerdict]) -> list[list[str]]:
    """The claims with their verdicts, in the order of CLAIM_HEADINGS."""
    lines = []
    for one in judged:
        if one.verdict != EVIDENCE:
            claim, pairs = one.claim, str(len(one.found.seeds)) if one.found else ""
            reconstructed = " (as reconstructed)" if "as reconstructed" in one.notes else ""
            notes = "; ".join(note for note in one.notes if note != "as reconstructed")
            ours = [factor(one), pairs, one.verdict + reconstructed, notes]
            lines.append([claim.id, claim.task, claim.method, f"{claim.factor:g}×", *ours])
    return lines


def evidence_lines(judged: Sequence[ClaimVerdict]) -> list[list[str]]:
    """What was measured elsewhere than where a claim was made, in the order of EVIDENCE_HEADINGS."""
    lines = []
    for one in judged:
        if one.verdict == EVIDENCE and one.found:
            goal = one.target if isinstance(one.target, str) else f"{one.target:g}"
            ours = [factor(one), str(len(one.found.seeds)), "; ".join(one.notes)]
            lines.append([one.claim.id, one.measured_on, goal, one.claim.method, f"{one.claim.factor:g}×", *ours])
    return lines


def factor(one: ClaimVerdict) -> str:
    """`1.22× [1.14, 1.31]`."""
    found = one.found.speedup if one.found else None
    if found is None:
        return "–"
    point = "–" if np.isnan(found.factor) else f"{BOUNDS[found.bound]}{found.factor:.2f}×"
    return point if np.isnan(found.ci_low) else f"{point} [{found.ci_low:.2f}, {found.ci_high:.2f}]".replace("inf", "∞")


def print_claims(judged: Sequence[ClaimVerdict], console: Console) -> None:
    console.print(make_table("claims and what was measured", CLAIM_HEADINGS, claim_lines(judged)))
    if evidence := evidence_lines(judged):
        console.print(make_table(EVIDENCE_TITLE, EVIDENCE_HEADINGS, evidence))


def check_lines(checks: Sequence[Check]) -> list[list[str]]:
    return [[MARKS[one.outcome], one.asked, one.outcome, one.now, one.before, one.ratio, one.notes] for one in checks]


def summary_line(checks: Sequence[Check]) -> str:
    """One line: how many checks came out how."""
    counts = {outcome: sum(one.outcome == outcome for one in checks) for outcome in (FAILS, NOTHING, UNDECIDED, HOLDS)}
    return "gate: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    console.print(make_table("the gate", CHECK_HEADINGS, check_lines(checks)))
    console.print(summary_line(checks))


def checks_markdown(checks: Sequence[Check], folder: Path, against: Path | None, axis: str) -> str:
    """A summary for a pull request."""
    beside = f", against `{against}`" if against else ""
    return "\n\n".join(
        [
            f"### fidrace: {summary_line(checks).removeprefix('gate: ')}",
            f"Speedup over the baseline in {axis}, `{folder}`{beside}. Factors with 95 % intervals, paired by seed.",
            markdown_table(CHECK_HEADINGS, check_lines(checks)),
            "A check fails only where its interval excludes what is asked; *cannot tell* takes more seeds.\n",
        ]
    )
