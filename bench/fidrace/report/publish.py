"""The files that a folder's scores are written to."""

from pathlib import Path

from fidrace.report.markdown import markdown
from fidrace.report.png import fd_png, speedup_png
from fidrace.score.leaderboard import Scores
from fidrace.storage.atomic import write_atomic


def publish(folder: Path, scores: Scores) -> None:
    """Write all tables and plots made from runs.csv and evals.csv into `folder`. A table without rows (no contrasts, no
    guards) gets no file."""
    tables = {"speedups": scores.speedups, "contrasts": scores.contrasts, "guards": scores.guards, "curve": scores.curve}
    for name, table in {**tables, "leaderboard": scores.leaderboard}.items():
        if len(table) or name == "speedups":
            write_atomic(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        else:
            (folder / f"{name}.csv").unlink(missing_ok=True)
    write_atomic(folder / "leaderboard.md", markdown(scores))
    write_atomic(folder / "fd.png", fd_png(scores))
    write_atomic(folder / "speedup.png", speedup_png(scores))
