"""The leaderboard for a person: in the terminal and as Markdown, the same cells in both."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.report.plots import fd_png
from bench.score.leaderboard import Scores
from bench.store import write_atomic

HEADINGS = ["#", "method", "reached", "to target", "speedup", "95 % interval", "Holm p", "verdict", "final FD", "notes"]
BOUNDS = {"=": "", ">=": "≥ ", "<=": "≤ "}


def cells(row: dict[str, Any], budget: float, axis: str) -> list[str]:
    """One line of the leaderboard, in the order of HEADINGS."""
    limit = f"> {budget:.0f}" if axis == "iterations" else "not reached"
    return [
        str(row["rank"]),
        row["method"],
        f"{row['reached']}/{row['runs']}",
        limit if np.isnan(row["median_to_target"]) else f"{row['median_to_target']:,.0f}",
        "–" if np.isnan(row["speedup"]) else f"{BOUNDS[row['bound']]}{row['speedup']:.2f}×",
        "" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.2f} – {row['ci_high']:.2f}".replace("inf", "∞"),
        "" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.2g}",
        "" if pd.isna(row["verdict"]) else row["verdict"],
        f"{row['final_fd']:.2f}",
        row["flags"],
    ]


def title(scores: Scores, axis: str) -> str:
    target = scores.rules.target
    goal = "each seed's baseline at the budget" if isinstance(target, str) else f"{scores.metric} ≤ {target:g}"
    return f"{scores.leaderboard['task'].iloc[0]}: {axis} to {goal}, paired by seed"


def lines(scores: Scores) -> tuple[str, list[list[str]]]:
    """The axis, and all lines of the leaderboard."""
    axis = str(scores.leaderboard["axis"].iloc[0])
    records = scores.leaderboard.to_dict("records")
    return axis, [cells({str(k): v for k, v in row.items()}, scores.rules.budget, axis) for row in records]


def stdout() -> Console:
    """The terminal, or 160 columns where there is none, so that piped tables do not wrap."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def terminal(scores: Scores, console: Console) -> None:
    axis, body = lines(scores)
    table = Table(title=title(scores, axis), title_justify="left", header_style="bold")
    for heading in HEADINGS:
        words = heading in ("method", "verdict", "notes")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading != "notes")
    for line in body:
        table.add_row(*line)
    console.print(table)
    console.print(scores.headline())


def markdown(scores: Scores) -> str:
    axis, body = lines(scores)
    rows = [HEADINGS, ["---"] * len(HEADINGS), *body]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"**{title(scores, axis)}**\n\n{table}\n\n{scores.headline()}\n\nTarget: {scores.rules.how}\n"


def publish(folder: Path, scores: Scores) -> None:
    """speedups.csv, leaderboard.csv, leaderboard.md and fd.png in `folder`."""
    write_atomic(folder / "speedups.csv", scores.speedups.to_csv(index=False, lineterminator="\n"))
    write_atomic(folder / "leaderboard.csv", scores.leaderboard.to_csv(index=False, lineterminator="\n"))
    write_atomic(folder / "leaderboard.md", markdown(scores))
    write_atomic(folder / "fd.png", fd_png(scores))
