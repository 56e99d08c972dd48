"""The gate's checks for a person, in the terminal and as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fidrace.report.markdown import markdown_table
from fidrace.report.terminal import Layout, print_line, print_table
from fidrace.score.gate import FAILS, HOLDS, NOTHING, UNDECIDED, Check

CHECK_HEADINGS = ["", "asked", "outcome", "now", "before", "now / before", "notes"]
CHECK = Layout(("notes", "before", "now", "now / before"), "asked", ("now", "before", "now / before", "notes"))
MARKS = {HOLDS: "✓", FAILS: "✗", UNDECIDED: "?", NOTHING: "–"}


def check_lines(checks: Sequence[Check]) -> list[list[str]]:
    """The checks, in the order of CHECK_HEADINGS."""
    return [
        [MARKS[check.outcome], check.asked, check.outcome, check.now, check.before, check.ratio, check.notes]
        for check in checks
    ]


def summary_line(checks: Sequence[Check]) -> str:
    """How many checks had each outcome."""
    counts = {outcome: sum(check.outcome == outcome for check in checks) for outcome in (FAILS, NOTHING, UNDECIDED, HOLDS)}
    return "gate: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    print_table(console, "the gate", CHECK_HEADINGS, check_lines(checks), CHECK)
    print_line(console, summary_line(checks))


def checks_markdown(checks: Sequence[Check], folder: Path, against: Path | None, axis: str | None) -> str:
    """A summary for a pull request."""
    on_axis = f" in {axis}" if axis else ""
    beside = f", against `{against}`" if against else ""
    return "\n\n".join(
        [
            f"### fidrace: {summary_line(checks).removeprefix('gate: ')}",
            f"Speedup over the baseline{on_axis}, `{folder}`{beside}. Factors with 95 % intervals.",
            markdown_table(CHECK_HEADINGS, check_lines(checks)),
            "A check fails only if its interval excludes what is asked; *cannot tell* needs more seeds.\n",
        ]
    )
