"""Difficulty: what is hard to learn at which timestep, over training (open question 1 of arXiv 2404.07946)?

The timesteps are split into equal bands. For every averaged network that the baseline kept, and every band, this measures the
held-out eps-MSE, on the same images, eps and timesteps for all networks, and the gradient of the eps-MSE on training images:
the norm of its expectation, and the noise of a batch. In float32, without dropout.
"""

from collections.abc import Iterator

import numpy as np
import torch

from fidrace.analyses.difficulty.measures import Examples, gradient_of, loss_of
from fidrace.analyses.difficulty.plots import difficulty_png
from fidrace.analyses.difficulty.tables import band_table, findings, network_table
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.timesteps import split_timesteps
from fidrace.analyses.trained import TrainedRun, finished_runs
from fidrace.console import say
from fidrace.data.base import Data
from fidrace.data.loading import load_data
from fidrace.errors import NothingToConclude
from fidrace.execute.local import devices
from fidrace.execute.study_series import StudySeries
from fidrace.method.base import Floats
from fidrace.spec.task import Task
from fidrace.storage.atomic import Row
from fidrace.train.precision import full_precision

GRADIENT_BATCHES = 8  # independent ones
GRADIENT_BATCH = 64  # examples in each of these
HELDOUT_BATCH = 1000  # examples at a time

Bands = list[tuple[int, int]]


def plan_bands(task: Task, bands: int) -> Bands:
    """The task's timesteps in `bands` ranges [low, high); raises InputError unless there are at least two, each of at least one
    timestep."""
    return split_timesteps(task.diffusion.timesteps, bands, fewest=2)


def analyze_difficulty(series: StudySeries, bands: Bands, device: str) -> Outcome:
    """Measure every kept network of a series. Raises InputError if a network is missing, and NothingToConclude if no run
    finished."""
    task, runs, place = series.task, finished_runs(series), torch.device(devices(device)[0])
    if not runs:
        raise NothingToConclude("no run finished")
    torch.set_num_threads(task.budget.threads)
    data = load_data(task.data)
    heldout = [Examples.heldout(task, data, *ends, band) for band, ends in enumerate(bands)]
    say(f"measuring {len(runs)} runs at {len(runs[0].iterations)} evaluations, in {len(bands)} bands")
    with full_precision():
        networks = network_table([row for run in runs for row in network_rows(run, bands, heldout, data, place)])
    summary = band_table(networks)
    return Outcome(
        {"difficulty": networks, "difficulty-cells": summary},
        difficulty_png(networks, summary),
        findings(networks, summary),
    )


def network_rows(run: TrainedRun, bands: Bands, heldout: list[Examples], data: Data, device: torch.device) -> Iterator[Row]:
    """A row for each evaluation and band of a run."""
    task, seed, diffusion = run.spec.own_task, run.spec.seed, run.diffusion(data, device)
    count = GRADIENT_BATCHES * GRADIENT_BATCH
    training = [Examples.training(task, data, *ends, band, seed, count) for band, ends in enumerate(bands)]
    for iteration in run.iterations:
        network = run.network(iteration, data, device)
        for band, (low, high) in enumerate(bands):
            loss, error = loss_of(network, diffusion, heldout[band], device, task.speed.microbatch or HELDOUT_BATCH)
            gradient = gradient_of(network, diffusion, training[band], device, GRADIENT_BATCH)
            yield {
                "task": task.name,
                "seed": seed,
                "iteration": iteration,
                "t": (low + high - 1) / 2,
                "abar": middle_abar(diffusion.abar, low, high),
                "loss": loss,
                "loss_se": error,
                "grad_norm": gradient.norm,
                "grad_noise": gradient.noise(task.optimizer.batch),
            }


def middle_abar(abar: Floats, low: int, high: int) -> float:
    """abar[T] at the middle of a band, interpolated if that lies between two timesteps."""
    return float(np.interp((low + high - 1) / 2, np.arange(len(abar)), abar))
