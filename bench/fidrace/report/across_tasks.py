"""The leaderboard over tasks as cells of text, which terminal, Markdown and page share, and its files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from fidrace.report.across_tasks_png import across_tasks_png
from fidrace.report.leaderboard import format_factor, format_interval
from fidrace.report.markdown import escape_markdown, markdown_table
from fidrace.report.terminal import print_in_parts, print_line
from fidrace.score.across_tasks import TAU, AcrossTasks
from fidrace.storage.tables import csv_text

TITLE = "speedup over the baseline, task by task"
ORDERS = "does one task's order of methods predict another's?"
ORDER_HEADINGS = ["task", "other task", "methods", "rank correlation", "what chance leaves", "verdicts alike", "opposed"]
PROFILE = f"profile to {TAU:g}×"
READING = (
    "Each factor with its 95 % interval, as `fidrace score` has it for that folder. mean: the geometric mean over the tasks "
    "where the method was raced, with an interval from the scatter of runs; it speaks of these tasks only, and is not adjusted "
    f"for the number of methods. {PROFILE}: the mean of the method's performance profile over ratios from 1 to {TAU:g}, "
    "in this field of methods.",
    "rank correlation: Kendall's, of the methods raced on both. what chance leaves: its ends if all pairs of methods whose "
    "order is not shown on both tasks were in the other, or in the same order. verdicts alike, opposed: methods whose own "
    "intervals lie on the same side of 1 on both tasks, and on different sides.",
)


def headings(across: AcrossTasks) -> list[str]:
    return ["method", *across.tasks, "mean", "95 % interval", "tasks", PROFILE]


def mean_lines(across: AcrossTasks) -> list[list[str]]:
    """One line for each method, in the order of `headings`."""
    rows: Mapping[Any, dict[Any, Any]] = {(row["task"], row["method"]): row for row in across.factors.to_dict("records")}
    lines = []
    for mean in across.means.to_dict("records"):
        factors = [cell(rows.get((task, mean["method"]))) for task in across.tasks]
        score = "" if np.isnan(mean["profile_score"]) else f"{mean['profile_score']:.2f}"
        counts = f"{mean['tasks']}/{mean['of']}"
        together = [format_factor(mean), format_interval(mean)] if mean["method"] in across.shared else ["", ""]
        lines.append([mean["method"], *factors, *together, counts, score])
    return lines


def cell(row: Mapping[str, Any] | None) -> str:
    """`1.22× 1.14 – 1.31`; empty for a method that was not raced."""
    return "" if row is None else f"{format_factor(row)} {format_interval(row)}".strip()


def order_lines(across: AcrossTasks) -> list[list[str]]:
    """One line for each two tasks, in the order of ORDER_HEADINGS."""
    return [
        [
            row["task"],
            row["other"],
            str(row["methods"]),
            "" if np.isnan(row["correlation"]) else f"{row['correlation']:.2f}",
            "" if np.isnan(row["ci_low"]) else f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
            str(row["alike"]),
            str(row["opposed"]),
        ]
        for row in across.orders.to_dict("records")
    ]


def print_across_tasks(across: AcrossTasks, console: Console) -> None:
    print_in_parts(console, TITLE, headings(across), mean_lines(across))
    print_in_parts(console, ORDERS, ORDER_HEADINGS, order_lines(across), labels=2)
    for line in (*READING, *across.remarks):
        print_line(console, line)


def across_tasks_markdown(across: AcrossTasks) -> str:
    """across-tasks.md."""
    return "\n\n".join(
        [
            f"**{TITLE}**",
            markdown_table(headings(across), mean_lines(across)),
            f"**{ORDERS}**",
            markdown_table(ORDER_HEADINGS, order_lines(across)),
            "\n\n".join(map(escape_markdown, (*READING, *across.remarks))),
            "![Factors from task to task, and performance profiles](across-tasks.png)\n",
        ]
    )


def csv_files(across: AcrossTasks) -> dict[str, str]:
    """The tables by the names of their files."""
    tables = {"factors": across.factors, "means": across.means, "profiles": across.profiles, "orders": across.orders}
    return {f"{name}.csv": csv_text(table) for name, table in tables.items()}


def files_of(across: AcrossTasks) -> dict[str, str | bytes]:
    """Tables, Markdown and picture by the names of their files."""
    more: dict[str, str | bytes] = {"across-tasks.md": across_tasks_markdown(across)}
    return {**csv_files(across), **more, "across-tasks.png": across_tasks_png(across)}
