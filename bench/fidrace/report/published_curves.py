"""Published speedups for a person: each factor beside what the source's own table supports, in a terminal and as a page."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from fidrace.report.leaderboard import BOUNDS
from fidrace.report.markdown import escape_markdown, markdown_table
from fidrace.report.terminal import Layout, print_line, print_table, wrap_notes
from fidrace.score.published_curves import Published
from fidrace.score.published_support import PairSupport, Support, unsupported

TITLE = "published speedups, and what their tables support (one run a side)"
HEADINGS = ["claim", "published", "at FID", "supported", "lies", "at best", "interpolated", "notes"]
LAYOUT = Layout(("notes", "interpolated", "at best", "lies"), label="claim")
READING = (
    "published: – if no factor was read for these curves. at FID: where the baseline's curve ends. supported: the factors that "
    "the two curves leave open there; each run arrived after one of its points and by the next, and nothing else is known. "
    "lies: where in that the published factor is.",
    "at best: the highest lower end over all FIDs of the two curves, picked after looking. FIDs that a run only touches, at "
    "one point and above it again at the next, are left out of it: by the protocol the run has not arrived. interpolated: "
    "log-linear in FID between points that may lie far apart.",
    "unconfirmed: at the target at the last point only. That run may have needed more: the upper end is open if it is the "
    "baseline, the lower end if it is the method.",
    "No row is a verdict: seeds scatter, and one run does not say how much.",
)
NOTHING = "runs from which no factor follows"
NOTHING_HEADINGS = ["source", "task", "runs", "points", "notes"]
NOTHING_LAYOUT = Layout(("notes", "points"), label="task")
SOURCES = "where each was read: --out DIR"
SOURCE_HEADINGS = ["source", "publication", "points read in", "factor read in"]
COMMAND = "fidrace claims --published --out docs"
HEAD = f"""# Published speedups, and what their own tables support

<!-- made by `{COMMAND}` -->

A paper says k× faster and prints some points of two curves. These points bracket what either run needed to a target, and so
the factor.

    fidrace claims --published              this page in the terminal
    {COMMAND}   this page, published.csv (every pair at every FID) and published.png

`fidrace score DIR --baseline NAME --target FID` says the same of a table of your own ([own-tables.md](own-tables.md)); what a
bracket is: [protocol.md](protocol.md#evaluation-grids). `fidrace claims` without the option lists claims on tasks that fidrace
races."""
PICTURE = """![Supported factor against target FID](published.png)

The supported factor against the target, harder to the right: a band that reaches the top has no upper end. Dashed: the
published factor. Dotted: the FID of the table above. A gap: FIDs that a run only touches."""


def factor(value: float) -> str:
    """A factor to three figures: `1.00×`, `46.7×`."""
    return f"{value:#.3g}".removesuffix(".") + "×"


def bracket(support: Support) -> str:
    """`1.00×–46.7×`, or one bound if the other end is open."""
    if np.isinf(support.high):
        return f"≥ {factor(support.low)}" if support.low > 0 else "any factor"
    return f"{factor(support.low)}–{factor(support.high)}" if support.low > 0 else f"≤ {factor(support.high)}"


def support_line(one: PairSupport) -> list[str]:
    """The row of a pair, in the order of HEADINGS."""
    stated, end, best = one.pair.stated, one.end, one.best
    return [
        one.pair.name,
        "–" if stated.factor is None else f"{stated.factor:g}×",
        f"{end.target:g}" if end else "–",
        bracket(end) if end else "–",
        one.place,
        f"≥ {factor(best.low)} at {best.target:g}" if best and best.low > 0 else "",
        f"{BOUNDS[end.bound]}{factor(end.factor)}" if end and not np.isnan(end.factor) else "",
        "; ".join(one.notes),
    ]


def divided_lines(published: Published) -> list[str]:
    """What each published factor divides."""
    stated = dict.fromkeys(pair.stated for pair in published.pairs if pair.stated.factor)
    return [
        f"{', '.join(method for _, method in one.runs)} on {', '.join(one.tasks)}: {one.factor:g}× is {one.divides}"
        for one in stated
    ]


def nothing_lines(published: Published) -> list[list[str]]:
    """Runs from which no factor follows, in the order of NOTHING_HEADINGS."""
    return [
        [row["source"], row["task"], str(row["runs"]), "–".join(map(str, sorted({row["fewest"], row["most"]}))), row["why"]]
        for row in unsupported(published).to_dict("records")
    ]


def source_lines(published: Published) -> list[list[str]]:
    """Where points and factors were read, in the order of SOURCE_HEADINGS."""
    places = {
        key: dict.fromkeys(pair.stated.factor_read_in for pair in published.pairs if pair.source.key == key)
        for key in published.sources
    }
    return [
        [key, source.title, "; ".join(filter(None, [source.read_in, source.inexact])), "; ".join(filter(None, places[key]))]
        for key, source in published.sources.items()
    ]


def print_published(published: Published, supports: Sequence[PairSupport], console: Console) -> None:
    """Print both tables and how to read them."""
    print_table(console, TITLE, HEADINGS, [support_line(one) for one in supports], LAYOUT)
    for sentence in (*divided_lines(published), *READING):
        for line in wrap_notes(sentence, console.width):
            print_line(console, line)
    print_table(console, NOTHING, NOTHING_HEADINGS, nothing_lines(published), NOTHING_LAYOUT)
    print_line(console, SOURCES)


def published_markdown(published: Published, supports: Sequence[PairSupport]) -> str:
    """published.md."""
    parts = [
        HEAD,
        markdown_table(HEADINGS, [support_line(one) for one in supports]),
        *map(escape_markdown, READING),
        PICTURE,
        "## What is divided",
        "\n".join(f"- {escape_markdown(line)}" for line in divided_lines(published)),
        "## Points without a curve, curves without a baseline",
        markdown_table(NOTHING_HEADINGS, nothing_lines(published)),
        "## Sources",
        markdown_table(SOURCE_HEADINGS, source_lines(published)),
    ]
    return "\n\n".join(parts) + "\n"
