"""Tables in a terminal, for any width: what does not fit is left out by rule, and numbers are never cut.

A narrow table first moves its notes to lines below it or drops columns, in the order that its Layout gives; then long names
fold. A console that is not UTF-8 gets ASCII.
"""

import math
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from fidrace.console import SUBSTITUTES
from fidrace.report.leaderboard import (
    CONTRAST_HEADINGS,
    CONTRASTS,
    GUARD_HEADINGS,
    GUARDS,
    HEADINGS,
    WORDS,
    claimed_factors,
    contrast_lines,
    guard_lines,
    leaderboard_lines,
    title,
)
from fidrace.report.sparklines import sparklines
from fidrace.score.leaderboard import Scores

PIPED_WIDTH = 160
CLAIMED = "claimed: by the paper, in brackets where that was on another task (`fidrace claims`)"
NOTES = ("notes", "loses")
NARROWEST_NOTES, MOST_NOTE_LINES = 16, 6  # of the notes column of a row; else notes go below the table
FOLDED = {"method": 24, "its control": 24, "claim": 24, "asked": 20, "verdict": 19}  # columns that may fold, and from where


@dataclass(frozen=True)
class Layout:
    """How a table narrows: `optional` columns leave in this order. What stood in those of `below` moves to lines below the
    table, each of which starts with the row's cell under `label`."""

    optional: tuple[str, ...]
    label: str = "method"
    below: tuple[str, ...] = ("notes",)


LEADERBOARD = Layout(("FD", "claimed", "notes", "final FD", "reached", "to target", "Holm p", "#"))
CONTRAST = Layout(("notes", "pairs", "Holm p"))
GUARD = Layout(("loses", "pairs", "held-out loss", "memorised"), below=("loses",))


class QuietConsole(Console):
    """A console whose reader may leave (`| head`) without changing the exit code."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console() -> Console:
    """The terminal, or PIPED_WIDTH columns if stdout is none, so that piped tables do not wrap. Markup is off: names of
    methods have brackets."""
    console = QuietConsole(markup=False, emoji=False)
    return console if console.is_terminal else QuietConsole(width=PIPED_WIDTH, markup=False, emoji=False)


def print_scores(scores: Scores, console: Console) -> None:
    """Print the leaderboard with claimed factors and sparklines, the headline, contrasts and guards."""
    axis, lines = leaderboard_lines(scores)
    task, sparks = str(scores.leaderboard["task"].iloc[0]), sparklines(scores)
    extra = [[claimed_factors(method, task), sparks[method]] for method in scores.leaderboard["method"]]
    added = [  # no column of claims if no method has one, and no blocks in ASCII
        *(["claimed"] if any(claim for claim, _ in extra) else []),
        *(["FD"] if not console.options.ascii_only else []),
    ]
    headings = [*HEADINGS[:-1], *added, HEADINGS[-1]]
    places = [("claimed", "FD").index(name) for name in added]
    lines = [[*line[:-1], *(more[k] for k in places), line[-1]] for line, more in zip(lines, extra, strict=True)]
    shown = print_table(console, title(scores, axis), headings, lines, LEADERBOARD)
    if "claimed" in shown and any("(" in claim for claim, _ in extra):
        print_line(console, CLAIMED)
    for note in filter(None, (scores.window_note(), scores.redundancy_note())):
        print_line(console, note)
    for line in scores.without_interval:
        print_line(console, line)
    print_line(console, scores.headline())
    if against := contrast_lines(scores):
        print_table(console, CONTRASTS, CONTRAST_HEADINGS, against, CONTRAST)
    if guards := guard_lines(scores):
        print_table(console, GUARDS, GUARD_HEADINGS, guards, GUARD)


def print_table(
    console: Console, title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], layout: Layout
) -> list[str]:
    """Print a table as wide as the console allows, and below it what had no room; returns the headings shown."""
    table, shown = fit_table(console, title, headings, lines, layout)
    console.print(table)
    moved = [headings.index(name) for name in layout.below if name in headings and name not in shown]
    below = [note_line(headings, line, moved, headings.index(layout.label)) for line in lines] if moved else []
    for text in dict.fromkeys(filter(None, below)):
        for part in wrap_notes(text, console.width):
            print_line(console, part)
    return shown


def print_in_parts(
    console: Console, title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], labels: int = 1
) -> None:
    """Print a table none of whose columns may leave: if it is too wide, as several, each with the first `labels` columns."""
    places = [*range(labels)]
    for k in range(labels, len(headings)):
        wider = pick_columns(console, "", headings, lines, [*places, k])
        if len(places) > labels and table_width(console, wider) > console.width:
            console.print(pick_columns(console, title, headings, lines, places))
            places = [*range(labels)]
        places.append(k)
    console.print(pick_columns(console, title, headings, lines, places))


def pick_columns(
    console: Console, title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], places: Sequence[int]
) -> Table:
    """The table of the columns at `places`, which two columns of the same heading do not confuse."""
    body = [[encodable(console, line[k]) for k in places] for line in lines]
    return make_table(encodable(console, title), [headings[k] for k in places], body, {})


def fit_table(
    console: Console, title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], layout: Layout
) -> tuple[Table, list[str]]:
    """The table with as many columns as the console has room for, and their headings.

    Optional columns leave in the layout's order, but those without any text before all others. If the table is too wide even
    without them, rich folds its words further.
    """
    empty = [name for name in layout.optional if name in headings and not any(line[headings.index(name)] for line in lines)]
    shown = [*headings]
    for leaving in [None, *empty, *layout.optional]:
        shown = [heading for heading in shown if heading != leaving]
        places = [headings.index(heading) for heading in shown]
        body = [[encodable(console, line[k]) for k in places] for line in lines]
        spare, widths = console.width, least_widths(shown, body)
        spare -= table_width(console, make_table("", shown, body, widths))
        if spare >= 0:
            return make_table(encodable(console, title), shown, body, share_out(spare, widths, shown, body)), shown
    return make_table(encodable(console, title), shown, body, {}), shown


def table_width(console: Console, table: Table) -> int:
    """The columns of a terminal that a table takes if it may."""
    return Measurement.get(console, console.options.update(width=10_000), table).maximum


def natural_width(headings: Sequence[str], lines: Sequence[Sequence[str]], heading: str) -> int:
    """The width of the widest cell of a column."""
    place = headings.index(heading)
    return max(map(cell_len, [heading, *(line[place] for line in lines)]))


def least_widths(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> dict[str, int]:
    """How narrow the columns of words may become while columns of numbers could leave instead."""
    widths = {}
    for heading in headings:
        if heading in NOTES:
            longest = natural_width(headings, lines, heading)
            widths[heading] = min(longest, max(NARROWEST_NOTES, math.ceil(longest / MOST_NOTE_LINES)))
        elif heading in FOLDED:
            widths[heading] = min(natural_width(headings, lines, heading), FOLDED[heading])
    return widths


def share_out(spare: int, widths: Mapping[str, int], headings: Sequence[str], lines: Sequence[Sequence[str]]) -> dict[str, int]:
    """`widths` grown towards their natural ones by `spare` columns in all, notes last."""
    grown = dict(widths)
    for heading in sorted(widths, key=lambda name: name in NOTES):
        more = min(spare, natural_width(headings, lines, heading) - grown[heading])
        grown[heading] += more
        spare -= more
    return grown


def make_table(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], widths: Mapping[str, int]) -> Table:
    """A table whose numbers are never wrapped; columns of words have the given widths, or what rich leaves them."""
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for heading in headings:
        table.add_column(
            heading,
            justify="left" if heading in WORDS else "right",
            no_wrap=heading not in {*FOLDED, *NOTES},
            overflow="fold",
            width=widths.get(heading),
        )
    for line in lines:
        table.add_row(*line)
    return table


def note_line(headings: Sequence[str], line: Sequence[str], moved: Sequence[int], label: int) -> str:
    """`label: heading cell; note` of the cells at the places `moved`; empty if those cells are."""
    parts = [line[k] if headings[k] == "notes" else f"{headings[k]} {line[k]}" for k in moved if line[k]]
    return f"{line[label]}: {'; '.join(parts)}" if parts else ""


def wrap_notes(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken between notes rather than within a note that fits on a line."""
    kept = [note if len(note) > width - 3 else note.replace(" ", "\N{NO-BREAK SPACE}") for note in text.split("; ")]
    lines = textwrap.wrap("; ".join(kept), width, subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def print_line(console: Console, text: str) -> None:
    console.print(encodable(console, text), highlight=False)


def encodable(console: Console, text: str) -> str:
    """`text`, its signs in ASCII if the console cannot take UTF-8."""
    return text if console.encoding.lower().startswith("utf") else "".join(SUBSTITUTES.get(letter, letter) for letter in text)
