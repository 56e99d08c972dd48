"""A short trial of a method on a real task: does it train, does it resume exactly, and what does its step cost?"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from fidrace.data.loading import load_data
from fidrace.execute.events import Event
from fidrace.execute.run import Interrupted, Run
from fidrace.method.registry import Registry
from fidrace.spec.study import RunSpec, define_study
from fidrace.spec.task import load_task
from fidrace.spec.user_input import BASELINE
from fidrace.train.loop import OBSERVE_EVERY, Training
from fidrace.train.process_group import ProcessGroup

STEPS = 50
QUICK = {"budget.evaluations": 1, "quality.samples": 80, "sampler.steps": 2, "quality.heldout_repeats": 1}


class Unequal(Exception):
    """The run did not finish, or differs after an interruption."""


def race_briefly(name: str, methods_path: Sequence[str], task: str = "digits") -> str:
    """Train `name` for 50 iterations without and with an interruption halfway; returns its loss and FD for the user. Raises
    Unequal if the two runs differ, and any error of the method."""
    study = define_study(task, [name], "0,", STEPS // 2, changes=QUICK, methods_path=methods_path)
    spec = next(spec for spec in study.specs() if spec.method == study.methods[-1])
    with tempfile.TemporaryDirectory() as folder:
        whole = execute_run(spec, Path(folder, "whole"))
        try:
            execute_run(spec, Path(folder, "parts"), stop_at=STEPS // 2)
        except Interrupted:
            resumed = execute_run(spec, Path(folder, "parts"))
    if whole.row["status"] != "finished":
        raise Unequal(f"the run {whole.row['status']}: {whole.row['error']}")
    mine, theirs = whole.training.tensors(), resumed.training.tensors()
    for key in mine.keys() | theirs.keys():
        if key not in mine or key not in theirs or not np.array_equal(mine[key].cpu(), theirs[key].cpu(), equal_nan=True):
            raise Unequal(f"{key} differs after an interruption")
    first, last = whole.evaluations[0], whole.evaluations[-1]
    return f"held-out loss {first['val_loss']:.3f} to {last['val_loss']:.3f}, {first['metric']} {last['fd']:.1f}"


def execute_run(spec: RunSpec, root: Path, stop_at: int | None = None) -> Run:
    """Execute `spec` below `root`; raises Interrupted at iteration `stop_at`."""

    def ignore(event: Event) -> None:
        pass

    run = Run(spec, root, ProcessGroup(torch.device("cpu")), ignore)
    run.execute(lambda: run.training.iteration == stop_at)
    return run


def step_ratio(name: str, registry: Registry, blocks: int, task: str = "digits", **changes: object) -> float:
    """The time of a step of `name` divided by that of the baseline, including the delivery of losses to the method.

    Steps of the two alternate in one process, in blocks of OBSERVE_EVERY steps. The time of each position in a block is its
    median over the blocks, after one block to warm up.
    """
    loaded = load_task(task, changes)
    data = load_data(loaded.data)
    torch.set_num_threads(loaded.budget.threads)
    ranks = ProcessGroup(torch.device("cpu"))
    trainings = [Training(loaded, registry.compose(method), 0, data, ranks) for method in (name, BASELINE)]
    times = np.zeros((blocks + 1, OBSERVE_EVERY, 2))
    for block in times:
        for step in block:
            for side, training in enumerate(trainings):
                start = perf_counter()
                training.advance(1)
                step[side] = perf_counter() - start
    ours, theirs = np.median(times[1:], axis=0).sum(axis=0)
    return float(ours / theirs)
