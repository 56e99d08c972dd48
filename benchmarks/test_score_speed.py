"""How long scoring takes, and how much memory: 1,000 runs of 100 evaluations, as a large study on GPUs would have.

pytest benchmarks
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fidrace.score.leaderboard import Scores, score_folder
from fidrace.storage.tables import BINS

METHODS, SEEDS, EVALUATIONS, BUDGET = 50, 20, 100, 500_000
SECONDS, MEGABYTES = 2, 500


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    runs, evals = [], []
    n = np.arange(EVALUATIONS) * BUDGET / (EVALUATIONS - 2)
    for m in range(METHODS):
        method = f"method-{m}" if m else "baseline"
        for seed in range(SEEDS):
            pace = np.exp(rng.normal(0, 0.1) - 0.4 * m / METHODS)
            fd = 300 * 60 ** (-pace * n / BUDGET) * np.exp(rng.normal(0, 0.03, EVALUATIONS))
            run = {"task": "large", "method": method, "seed": seed}
            runs.append({**run, "status": "finished", "config_hash": "of our own loop"})
            rows = {"iteration": n, "images": 128 * n, "forwards": n, "train_seconds": n / 5, "metric": "fid", "fd": fd}
            guards = {
                "fd_se": 0.03 * fd,
                "precision": fd / 400,
                "recall": fd / 500,
                "memorised": fd / 9000,
                "val_loss": fd / 300,
            }
            evals.append(pd.DataFrame({**run, **rows, **guards, **{f"val_loss_bin{k}": fd / 300 for k in range(BINS)}}))
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    pd.concat(evals).to_csv(folder / "evals.csv", index=False)
    return folder


def test_a_thousand_runs_are_scored_in_seconds(benchmark: BenchmarkFixture, large: Path) -> None:
    scores: Scores = benchmark.pedantic(score_folder, (large, 10.0), rounds=5, warmup_rounds=1)
    assert len(scores.speedups) == 2 * (METHODS - 1)  # images and forwards repeat iterations
    assert scores.curve["target"].nunique() >= 20
    assert benchmark.stats.stats.median < SECONDS


def test_a_thousand_runs_are_scored_within_memory(large: Path) -> None:
    """By the high-water mark of the scoring process's own memory: getrusage would count what this one had when it began it."""
    code = (
        f"from fidrace.score.leaderboard import score_folder; score_folder({str(large)!r}, 10.0); "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(told.split()[1]) / 1024 < MEGABYTES
