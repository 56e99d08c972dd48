"""The gate's checks for a person, in the terminal and as Markdown, and for a program, as JSON."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fidrace.report.json_lines import to_json
from fidrace.report.markdown import markdown_table
from fidrace.report.terminal import Layout, print_line, print_table
from fidrace.score.checks import Check, MedianCost
from fidrace.score.estimates import FAILS, HOLDS, NOTHING, UNDECIDED, Estimate
from fidrace.score.speedups import Speedup

CHECK_HEADINGS = ["", "asked", "outcome", "now", "before", "now / before", "notes"]
CHECK = Layout(("notes", "before", "now", "now / before"), "asked", ("now", "before", "now / before", "notes"))
MARKS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", NOTHING: "–"}
SPEEDUP_FIELDS = ("factor", "ci_low", "ci_high", "bound", "pairs", "runs")


def check_lines(checks: Sequence[Check]) -> list[list[str]]:
    """The checks, in the order of CHECK_HEADINGS."""
    return [
        [MARKS[check.outcome], check.asked, check.outcome, *map(shown, (check.now, check.before, check.ratio)), note(check)]
        for check in checks
    ]


def shown(figure: Speedup | MedianCost | Estimate | None) -> str:
    return "" if figure is None else str(figure)


def note(check: Check) -> str:
    return "; ".join(check.notes)


def summary_line(checks: Sequence[Check]) -> str:
    """How many checks had each outcome."""
    counts = {outcome: sum(check.outcome == outcome for check in checks) for outcome in (FAILS, NOTHING, UNDECIDED, HOLDS)}
    return "gate: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    print_table(console, "the gate", CHECK_HEADINGS, check_lines(checks), CHECK)
    print_line(console, summary_line(checks))


def checks_markdown(checks: Sequence[Check], folder: Path, against: Path | None) -> str:
    """A summary for a pull request."""
    beside = f", against `{against}`" if against else ""
    return "\n\n".join(
        [
            f"### fidrace: {summary_line(checks).removeprefix('gate: ')}",
            f"Speedup over the baseline in {checks[0].axis}, `{folder}`{beside}. Factors with 95 % intervals.",
            markdown_table(CHECK_HEADINGS, check_lines(checks)),
            "A check fails only if its interval excludes what is asked; *cannot tell* needs more seeds.\n",
        ]
    )


def comment_marker(folder: Path) -> str:
    """The first line of a comment, which is not shown: by it a program finds the comment that the next one replaces."""
    name = re.sub(r"[^\w./]+", "-", str(folder))  # neither > nor -- may stand within a comment of HTML
    return f"<!-- fidrace check {name.strip('-')} -->"


def checks_json(checks: Sequence[Check], folder: Path, against: Path | None, exit_code: int, meaning: str) -> str:
    """All checks as one JSON document. null: not measured, or a limit that is open."""
    content = {
        "folder": str(folder),
        "against": str(against) if against else None,
        "exit_code": exit_code,
        "meaning": meaning,
        "checks": [check_record(check) for check in checks],
    }
    return to_json(content, indent=1)


def check_record(check: Check) -> dict[str, Any]:
    ratio = check.ratio
    return {
        **{name: getattr(check, name) for name in ("kind", "method", "axis", "asked", "bound", "outcome")},
        "now": figure_record(check.now),
        "before": figure_record(check.before),
        "ratio": ratio and {name: getattr(ratio, name) for name in ("factor", "ci_low", "ci_high", "how")},
        "seeds_needed": check.seeds_needed,
        "notes": check.notes,
    }


def figure_record(figure: Speedup | MedianCost | None) -> dict[str, Any] | None:
    """A factor with its limits, or a cost."""
    if isinstance(figure, Speedup):
        return {name: getattr(figure, name) for name in SPEEDUP_FIELDS}
    return None if figure is None else {"cost": figure.cost}
