"""The files that a folder's scores are written to."""

from pathlib import Path

from fidrace.report.markdown import markdown
from fidrace.report.png import fd_png, speedup_png
from fidrace.score.leaderboard import Scores
from fidrace.storage.atomic import write_all
from fidrace.storage.tables import csv_text


def publish(folder: Path, scores: Scores) -> None:
    """Write all tables and plots made from runs.csv and evals.csv into `folder`. A table without rows (no contrasts, no
    guards) gets no file."""
    tables = {"speedups": scores.speedups, "contrasts": scores.contrasts, "guards": scores.guards, "curve": scores.curve}
    kept = {name: table for name, table in tables.items() if len(table) or name == "speedups"}
    files: dict[str, bytes | str] = {f"{name}.csv": csv_text(table) for name, table in kept.items()}
    files |= {"leaderboard.csv": csv_text(scores.leaderboard), "leaderboard.md": markdown(scores)}
    write_all(folder, files | {"fd.png": fd_png(scores), "speedup.png": speedup_png(scores)})
    for name in tables.keys() - kept.keys():
        (folder / f"{name}.csv").unlink(missing_ok=True)
