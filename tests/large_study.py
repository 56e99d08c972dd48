"""The tables of a study as large as any: 20 methods x 10 seeds x 40 evaluations, made up, with pictures of one seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fidrace.evaluate.sample_grid import frame_png
from fidrace.method.registry import Registry
from fidrace.spec.study import Study, define_study
from fidrace.storage.manifest import Manifest
from fidrace.storage.study_folder import directory_of
from fidrace.storage.tables import BINS, FRAME


def large_study(folder: Path) -> Study:
    """Write study.json, runs.csv, evals.csv and the pictures of seed 0; each run's FD falls at a pace of its own."""
    methods = sorted(Registry().methods)[:20]
    study = define_study("digits", methods, "10", 400, 34.0, {"budget.evaluations": 40})
    chance = np.random.default_rng(0)
    runs, evals = [], []
    for place, method in enumerate(study.methods):
        for seed in study.seeds:
            run = {"task": "digits", "method": method, "seed": seed, "status": "finished"}
            run |= {"config_hash": study.task.fixed_hash(), "method_hash": study.resolved[place].hash}
            runs.append(run)
            pace = 0.006 * (1 + 0.02 * place) * np.exp(chance.normal(0, 0.05))
            for n in study.task.budget.evaluation_steps():
                fd = (20 + 90 * np.exp(-pace * n)) * np.exp(chance.normal(0, 0.01))
                seconds, losses = round(n / 20 + chance.random(), 3), fd / 100 * chance.random(BINS)
                measured = {"metric": "fd_digits", "fd": fd, "fd_se": fd / 50, "val_loss": losses.mean()}
                guards = dict(zip(("precision", "recall", "memorised"), chance.random(3), strict=True))
                bins = {f"val_loss_bin{k}": loss for k, loss in enumerate(losses)}
                costs = {"iteration": n, "images": 64 * n, "forwards": n, "train_seconds": seconds}
                evals.append({"task": "digits", "method": method, "seed": seed, **costs, **measured, **guards, **bins})
                if seed == 0:
                    directory = folder / directory_of({**run, "seed": "0"})
                    directory.mkdir(parents=True, exist_ok=True)
                    images = torch.from_numpy(chance.uniform(-1, 1, (36, 1, 8, 8)).round(1))  # as hard to compress as any
                    (directory / FRAME.format(n)).write_bytes(frame_png(images))
    Manifest.of(study).write(folder / "study.json")
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(evals).to_csv(folder / "evals.csv", index=False)
    return study
