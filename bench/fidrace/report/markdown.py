"""The leaderboard, contrasts and guards as Markdown."""

from fidrace.report.leaderboard import (
    CONTRAST_HEADINGS,
    CONTRASTS,
    GUARD_HEADINGS,
    GUARDS,
    HEADINGS,
    contrast_lines,
    guard_lines,
    leaderboard_lines,
    title,
)
from fidrace.score.leaderboard import Scores


def markdown(scores: Scores) -> str:
    """leaderboard.md."""
    axis, lines = leaderboard_lines(scores)
    against, guards = contrast_lines(scores), guard_lines(scores)
    return "\n\n".join(
        [
            f"**{escape_markdown(title(scores, axis))}**",
            markdown_table(HEADINGS, lines),
            *map(escape_markdown, filter(None, (scores.window_note(), *scores.without_interval))),
            escape_markdown(scores.headline()),
            *([f"**{CONTRASTS}**", markdown_table(CONTRAST_HEADINGS, against)] if against else []),
            *([f"**{GUARDS}**", markdown_table(GUARD_HEADINGS, guards)] if guards else []),
            f"Target: {escape_markdown(scores.rules.how or '--target')}\n",
        ]
    )


def markdown_table(headings: list[str], lines: list[list[str]]) -> str:
    rows = [[escape_markdown(cell) for cell in row] for row in [headings, ["---"] * len(headings), *lines]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escape_markdown(text: str) -> str:
    """One line that Markdown shows as plain text, inside a table cell too."""
    return " ".join(text.replace("<", "&lt;").replace("|", "\\|").split())
