"""The files that a folder's scores are written to."""

from pathlib import Path

from fidrace.report.markdown import markdown
from fidrace.report.png import fd_figure, png, speedup_figure
from fidrace.score.leaderboard import Scores
from fidrace.storage.atomic import write_all
from fidrace.storage.tables import csv_text

TABLES = ("speedups.csv", "contrasts.csv", "guards.csv", "curve.csv", "leaderboard.csv", "leaderboard.md")


def table_texts(scores: Scores) -> dict[str, str]:
    """The texts of TABLES. One without rows (no contrasts, no guards) is no file."""
    tables = {"speedups": scores.speedups, "contrasts": scores.contrasts, "guards": scores.guards, "curve": scores.curve}
    kept = {name: table for name, table in tables.items() if len(table) or name == "speedups"} | {
        "leaderboard": scores.leaderboard
    }
    return {f"{name}.csv": csv_text(table) for name, table in kept.items()} | {"leaderboard.md": markdown(scores)}


def publish(folder: Path, scores: Scores) -> None:
    """Write all tables and plots made from runs.csv and evals.csv into `folder`."""
    texts = table_texts(scores)
    write_all(folder, {**texts, "fd.png": png(fd_figure(scores)), "speedup.png": png(speedup_figure(scores))})
    for name in {*TABLES} - texts.keys():
        (folder / name).unlink(missing_ok=True)
