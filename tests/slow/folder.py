"""The task `folder` with its own defaults on 200 small pictures, from the command to a leaderboard.

    python -m tests.slow.folder [OPTIONS of fidrace run]      without options: all defaults; docs/tasks.md has its last time

The pictures are crops of two photographs, 48x48, and are brought to 32x32 by the task. The wall time is that of
`fidrace run folder --set data.root=DIR` and nothing else. Every method must be in the leaderboard, and the baseline's last
FD below its first.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import pandas as pd

from fidrace.spec.study import define_study
from tests.photographs import crops

COUNT, SIZE = 200, 48
COLUMNS = ["rank", "method", "reached", "runs", "speedup", "ci_low", "ci_high", "verdict", "final_fd", "seconds_per_1000"]


def main(options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        pictures, out = Path(place, "pictures"), Path(place, "out")
        crops(pictures, COUNT, SIZE, seed=0)
        words = ["run", "folder", "--set", f"data.root={pictures}", "--out", str(out), *options]
        start = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fidrace", *words],
            env={**os.environ, "FIDRACE_CACHE": str(Path(place, "cache"))},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds, used = perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        board, runs, evals = (pd.read_csv(out / name) for name in ("leaderboard.csv", "runs.csv", "evals.csv"))
    print(board[COLUMNS].to_string(index=False))
    trained, evaluated = runs["train_seconds"].sum(), runs["eval_seconds"].sum()
    print(
        f"{seconds / 60:.1f} minutes, {(used.ru_utime + used.ru_stime) / 60:.1f} of CPU time, for {len(runs)} runs of "
        f"{runs['iterations'].max()} iterations; in the runs "
        f"{1000 * trained / runs['iterations'].sum():.0f} ms a step, {trained / 60:.1f} minutes of training, "
        f"{evaluated / 60:.1f} of evaluation"
    )
    assert set(board["method"]) == set(define_study("folder").methods)
    fd = evals[evals["method"] == "baseline"].groupby("seed")["fd"]
    assert (fd.last() < fd.first()).all()


if __name__ == "__main__":
    main(sys.argv[1:])
