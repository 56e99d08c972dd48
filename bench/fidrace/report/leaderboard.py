"""The leaderboard for a person: in the terminal and as Markdown, the same cells in both."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from fidrace.method.base import Floats
from fidrace.report.png import fd_png, speedup_png
from fidrace.score.claims import Claim, load_claims
from fidrace.score.curves import longest_runs
from fidrace.score.leaderboard import Scores
from fidrace.storage.atomic import write_atomic

CONTRAST_HEADINGS = ["method", "its control", "pairs", "speedup over it", "95 % interval", "Holm p", "verdict", "notes"]
HEADINGS = ["#", "method", "reached", "to target", "speedup", "95 % interval", "Holm p", "verdict", "final FD", "notes"]
GUARD_HEADINGS = ["method", "pairs", "precision", "recall", "memorised", "held-out loss", "loses"]
GUARDS = "guards: means where each run has reached the target, beside its baselines' there"
CONTRASTS = "each method against its control, paired by seed"
WORDS = {*"method verdict notes loses claim on asked outcome claimed FD".split(), "", "its control", "measured on"}
BOUNDS = {"=": "", ">=": "≥ ", "<=": "≤ "}
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS = 12  # blocks in a sparkline, at most
ROOMY = 130  # columns of a terminal that has room for what is claimed and for sparklines
ELSEWHERE = "claimed: by the paper, in brackets where that was on another task (`fidrace claims`)"


def factor_cells(row: dict[str, Any]) -> list[str]:
    """The speedup, its interval, Holm's p and the verdict."""
    return [
        "–" if np.isnan(row["speedup"]) else f"{BOUNDS[row['bound']]}{row['speedup']:.2f}×",
        "" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.2f} – {row['ci_high']:.2f}".replace("inf", "∞"),
        "" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.2g}",
        "" if pd.isna(row["verdict"]) else row["verdict"],
    ]


def leaderboard_cells(row: dict[str, Any], budget: float, axis: str) -> list[str]:
    """One line of the leaderboard, in the order of HEADINGS."""
    limit = f"> {budget:.0f}" if axis == "iterations" else "not reached"
    return [
        str(row["rank"]),
        row["method"],
        f"{row['reached']}/{row['runs']}",
        limit if np.isnan(row["median_to_target"]) else f"{row['median_to_target']:,.0f}",
        *factor_cells(row),
        f"{row['final_fd']:.2f}",
        row["flags"],
    ]


def title(scores: Scores, axis: str) -> str:
    target = scores.rules.target
    goal = "each seed's baseline at the budget" if isinstance(target, str) else f"{scores.metric} ≤ {target:g}"
    return f"{scores.leaderboard['task'].iloc[0]}: {axis} to {goal}, paired by seed"


def leaderboard_lines(scores: Scores) -> tuple[str, list[list[str]]]:
    """The axis, and all lines of the leaderboard."""
    axis = str(scores.leaderboard["axis"].iloc[0])
    records = scores.leaderboard.to_dict("records")
    return axis, [leaderboard_cells({str(k): v for k, v in row.items()}, scores.rules.budget, axis) for row in records]


def contrast_lines(scores: Scores) -> list[list[str]]:
    """The methods against their controls, in the order of CONTRAST_HEADINGS."""
    table = scores.contrasts[scores.contrasts["axis"] == scores.leaderboard["axis"].iloc[0]]
    return [
        [row["method"], row["control"], str(row["pairs"]), *factor_cells({str(k): v for k, v in row.items()}), row["flags"]]
        for row in table.to_dict("records")
    ]


def guard_lines(scores: Scores) -> list[list[str]]:
    """What each method pays for its lead, in the order of GUARD_HEADINGS; the first line is what real images score."""
    measured = scores.guards
    ceilings = measured.drop_duplicates("guard").set_index("guard")["ceiling"].to_dict()
    shown = ("precision", "recall", "memorised", "val_loss")
    real = ["" if pd.isna(ceilings.get(guard)) else f"{ceilings[guard]:.3f}" for guard in shown]
    body = [["(real images)", "", *real, ""]] if any(real) else []
    for method in [method for method in scores.leaderboard["method"] if method in set(measured["method"])]:
        rows = {row["guard"]: row for row in measured[measured["method"] == method].to_dict("records")}
        pairs = max(row["pairs"] for row in rows.values())
        values = [f"{rows[guard]['value']:.3f} ({rows[guard]['baseline']:.3f})" if guard in rows else "" for guard in shown]
        body.append([method, str(pairs), *values, ", ".join(guard for guard in rows if rows[guard]["lost"] is True)])
    return body


def make_console() -> Console:
    """The terminal, or 160 columns where there is none, so that piped tables do not wrap. Brackets are no markup: a
    method's name has them."""
    console = Quiet(markup=False, emoji=False)
    return console if console.is_terminal else Quiet(width=160, markup=False, emoji=False)


class Quiet(Console):
    """A console whose reader may leave (`| head`) without changing the exit code."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def claims_of(method: str) -> list[Claim]:
    """The published claims for a method."""
    return [claim for claim in load_claims() if claim.method == method]


def claimed_factors(method: str, task: str) -> str:
    """The factors that are claimed for a method, those made on another task in brackets: `2×`, `(2×) (2.6×)`."""
    factors = [f"{claim.factor:g}×" if claim.task == task else f"({claim.factor:g}×)" for claim in claims_of(method)]
    return " ".join(factors)


def sparkline(values: Floats, low: float, high: float) -> str:
    """Blocks as high as the logarithms of `values`, SPARKS of them at most, between those of `low` and `high`; a space for
    what is no number."""
    values = values[np.unique(np.linspace(0, len(values) - 1, SPARKS).round().astype(int))] if len(values) else values
    with np.errstate(all="ignore"):
        shares = np.log(values / low) / np.log(high / low)
    return "".join(BLOCKS[int(np.clip(share, 0, 1) * 7.999)] if np.isfinite(share) else " " for share in shares)


def sparklines(scores: Scores) -> dict[str, str]:
    """The median FD of each method over training, all methods on one scale."""
    medians = {method: median_fd(scores, method) for method in scores.leaderboard["method"]}
    known = np.concatenate([[1.0, 2.0], *([line[np.isfinite(line) & (line > 0)] for line in medians.values()])])[2:]
    if not len(known):
        return dict.fromkeys(medians, "")
    return {method: sparkline(line, float(known.min()), float(known.max())) for method, line in medians.items()}


def median_fd(scores: Scores, method: str) -> Floats:
    """The medians over the runs that came furthest; empty where there is none."""
    runs = longest_runs([curve for curve in scores.curves if curve.method == method])
    return np.median([curve.fd for curve in runs], axis=0) if runs else np.array([])


def print_scores(scores: Scores, console: Console) -> None:
    axis, body = leaderboard_lines(scores)
    headings = HEADINGS
    if console.width >= ROOMY:
        sparks, task = sparklines(scores), str(scores.leaderboard["task"].iloc[0])
        extra = [[claimed_factors(method, task), sparks[method]] for method in scores.leaderboard["method"]]
        # a method without a claim leaves its cell empty; where no method has one there is no column
        shown = slice(0 if any(claim for claim, _ in extra) else 1, 2)
        headings = [*HEADINGS[:-1], *["claimed", "FD"][shown], HEADINGS[-1]]
        body = [[*line[:-1], *more[shown], line[-1]] for line, more in zip(body, extra, strict=True)]
    console.print(make_table(title(scores, axis), headings, body))
    if "claimed" in headings and any("(" in line[headings.index("claimed")] for line in body):
        console.print(ELSEWHERE)
    if note := scores.redundancy_note():
        console.print(note)
    console.print(scores.headline())
    if against := contrast_lines(scores):
        console.print(make_table(CONTRASTS, CONTRAST_HEADINGS, against))
    if guards := guard_lines(scores):
        console.print(make_table(GUARDS, GUARD_HEADINGS, guards))


def make_table(title: str, headings: list[str], body: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in WORDS else "right", no_wrap=heading != "notes")
    for line in body:
        table.add_row(*line)
    return table


def markdown(scores: Scores) -> str:
    axis, body = leaderboard_lines(scores)
    against, guards = contrast_lines(scores), guard_lines(scores)
    return "\n\n".join(
        [
            f"**{escape_markdown(title(scores, axis))}**",
            markdown_table(HEADINGS, body),
            escape_markdown(scores.headline()),
            *([f"**{CONTRASTS}**", markdown_table(CONTRAST_HEADINGS, against)] if against else []),
            *([f"**{GUARDS}**", markdown_table(GUARD_HEADINGS, guards)] if guards else []),
            f"Target: {escape_markdown(scores.rules.how)}\n",
        ]
    )


def markdown_table(headings: list[str], body: list[list[str]]) -> str:
    rows = [[escape_markdown(cell) for cell in row] for row in [headings, ["---"] * len(headings), *body]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escape_markdown(text: str) -> str:
    """Text that stays text, and in its cell, in Markdown."""
    return " ".join(text.replace("<", "&lt;").replace("|", "\\|").split())


def publish(folder: Path, scores: Scores) -> None:
    """All that is made from runs.csv and evals.csv, in `folder`; a table without rows (no contrasts, no guards) is no file."""
    tables = {"speedups": scores.speedups, "contrasts": scores.contrasts, "guards": scores.guards, "curve": scores.curve}
    for name, table in {**tables, "leaderboard": scores.leaderboard}.items():
        if len(table) or name == "speedups":
            write_atomic(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        else:
            (folder / f"{name}.csv").unlink(missing_ok=True)
    write_atomic(folder / "leaderboard.md", markdown(scores))
    write_atomic(folder / "fd.png", fd_png(scores))
    write_atomic(folder / "speedup.png", speedup_png(scores))
