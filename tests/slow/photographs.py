"""A reduced improved-diffusion trained end to end on crops of two photographs, by the command, in minutes on a CPU.

    python -m tests.slow.photographs [ITERATIONS]      its last figures are in docs/tasks.md

It is the study folder-121m with a narrower network. The last FD must be below that of the training images with their pixels
shuffled across images, which keeps each pixel's distribution and loses everything that pixels have to do with each other.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch

from fidrace.data.base import to_unit_range
from fidrace.data.loading import load_data
from fidrace.evaluate.features import load_features
from fidrace.evaluate.frechet import Moments, Reference, frechet_with_error
from fidrace.spec.study import define_study
from fidrace.spec.task import Task
from tests.photographs import crops

COUNT = 2000
COLUMNS = ["iteration", "train_seconds", "fd", "fd_se", "precision", "recall", "val_loss"]
CHANGES: dict[str, object] = {
    **{"data.size": 32, "data.heldout": 200, "diffusion.timesteps": 1000},
    **{"network.channels": 16, "network.multipliers": [1, 2, 2], "network.res_blocks": 1, "network.norm_groups": 8},
    **{"network.attention_resolutions": [8], "optimizer.batch": 32, "optimizer.lr": 2e-3, "optimizer.warmup": 50},
    **{"ema.decay": 0.99, "quality.samples": 400, "quality.heldout_repeats": 1, "budget.evaluations": 4, "budget.threads": 2},
    **{
        "sampler.steps": 20,
        "sampler.batch": 25,
    },  # larger chunks are slower on a CPU, which frees and allocates memory for each
}


def set_options(changes: dict[str, object]) -> list[str]:
    """`changes` as options --set of the command."""
    return [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]


def shuffled_distances(task: Task) -> tuple[float, float]:
    """FD to the training images of `quality.samples` of them: as they are, and with each pixel's values permuted among all
    images."""
    data, features = load_data(task.data), load_features(task.quality, torch.device("cpu"))
    images, rng = np.array(data.train), np.random.default_rng(0)
    moments = Moments.of(features(to_unit_range(torch.from_numpy(images))))
    reference = Reference.from_moments(moments.mean, moments.covariance)
    picked = images[rng.permutation(len(images))[: task.quality.samples]]
    flat = images.reshape(len(images), -1).copy()
    for pixel in flat.T:
        rng.shuffle(pixel)
    both = picked, flat.reshape(images.shape)[: task.quality.samples]
    real, noise = (frechet_with_error(reference, features(to_unit_range(torch.from_numpy(each))))[0] for each in both)
    return real, noise


def main(iterations: int) -> None:
    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        crops(Path(folder, "crops"), COUNT, 32, seed=0)
        changes = CHANGES | {"data.root": str(Path(folder, "crops"))}
        run = ["run", "folder-121m", "-m", "baseline", "--seeds", "1", "--budget", str(iterations), "--device", "cpu"]
        out = str(Path(folder, "out"))
        subprocess.run(
            [sys.executable, "-m", "fidrace", *run, *set_options(changes), "--out", out], check=True, stdout=subprocess.DEVNULL
        )
        rows = pd.read_csv(Path(out, "evals.csv"))
        real, noise = shuffled_distances(define_study("folder-121m", changes=changes).task)
    print(rows[COLUMNS].to_string(index=False))
    last = rows["fd"].iloc[-1]
    print(f"as many real images {real:.3f}, with pixels shuffled across images {noise:.3f}, the last samples {last:.3f}")
    print(f"{perf_counter() - start:.0f} s")
    assert last < noise


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
