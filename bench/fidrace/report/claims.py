"""Published claims for a person: each beside what was measured."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from fidrace.report.leaderboard import BOUNDS
from fidrace.report.terminal import Layout, print_table
from fidrace.score.claims import EVIDENCE, ClaimVerdict

CLAIM_HEADINGS = ["claim", "on", "method", "claimed", "measured", "pairs", "verdict", "notes"]
EVIDENCE_HEADINGS = ["claim", "measured on", "to", "method", "claimed", "measured", "pairs", "notes"]
EVIDENCE_TITLE = "evidence from elsewhere: no verdict on the claim"
CLAIM = Layout(("notes", "pairs", "on", "method"), label="claim")
EVIDENCE_LAYOUT = Layout(("notes", "pairs", "method", "measured on"), label="claim")
RECONSTRUCTED = "as reconstructed"


def claim_lines(verdicts: Sequence[ClaimVerdict]) -> list[list[str]]:
    """The claims with their verdicts, in the order of CLAIM_HEADINGS."""
    lines = []
    for verdict in verdicts:
        if verdict.verdict != EVIDENCE:
            claim, pairs = verdict.claim, str(len(verdict.found.seeds)) if verdict.found else ""
            suffix = f" ({RECONSTRUCTED})" if RECONSTRUCTED in verdict.notes else ""
            notes = "; ".join(note for note in verdict.notes if note != RECONSTRUCTED)
            measured = [factor_text(verdict), pairs, verdict.verdict + suffix, notes]
            lines.append([claim.id, claim.task, claim.method, f"{claim.factor:g}×", *measured])
    return lines


def evidence_lines(verdicts: Sequence[ClaimVerdict]) -> list[list[str]]:
    """What was measured on another task than the claim's, in the order of EVIDENCE_HEADINGS."""
    lines = []
    for verdict in verdicts:
        if verdict.verdict == EVIDENCE and verdict.found:
            claim, goal = verdict.claim, verdict.target if isinstance(verdict.target, str) else f"{verdict.target:g}"
            measured = [factor_text(verdict), str(len(verdict.found.seeds)), "; ".join(verdict.notes)]
            lines.append([claim.id, verdict.measured_on, goal, claim.method, f"{claim.factor:g}×", *measured])
    return lines


def factor_text(verdict: ClaimVerdict) -> str:
    """The measured factor with its interval: `1.22× [1.14, 1.31]`."""
    speedup = verdict.found.speedup if verdict.found else None
    if speedup is None:
        return "–"
    point = "–" if np.isnan(speedup.factor) else f"{BOUNDS[speedup.bound]}{speedup.factor:.2f}×"
    return point if np.isnan(speedup.ci_low) else f"{point} [{speedup.ci_low:.2f}, {speedup.ci_high:.2f}]".replace("inf", "∞")


def print_claims(verdicts: Sequence[ClaimVerdict], console: Console) -> None:
    print_table(console, "claims and what was measured", CLAIM_HEADINGS, claim_lines(verdicts), CLAIM)
    if evidence := evidence_lines(verdicts):
        print_table(console, EVIDENCE_TITLE, EVIDENCE_HEADINGS, evidence, EVIDENCE_LAYOUT)
