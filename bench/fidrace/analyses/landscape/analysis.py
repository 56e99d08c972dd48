"""The landscape of the loss around trained networks: straight lines between them, and the curvature at them.

The paper (arXiv 2404.07946) calls it highly smooth and concludes that less momentum is needed. Curvature is the training
loss's, which is what an optimizer meets; along lines it is the held-out loss, the one that counts. Both at averaged weights.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fidrace.analyses.landscape.bands import Band, edges, training_bands
from fidrace.analyses.landscape.curvature import check_eigenvalues, hessian_product, largest, signs, smallest, trace
from fidrace.analyses.landscape.interpolation import ALPHAS, KeptNetwork, Line, Loss, barrier, distance, losses, pairs
from fidrace.analyses.landscape.plots import barrier_lines, curvature_lines, picture
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.trained import TrainedRun, finished_runs
from fidrace.console import say
from fidrace.data.base import Data, to_unit_range
from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.evaluate.evaluator import HELDOUT_BATCH
from fidrace.evaluate.heldout import HeldoutSet
from fidrace.execute.local import default_workers, devices
from fidrace.execute.study_series import StudySeries
from fidrace.spec.random_streams import Streams
from fidrace.spec.study import Study
from fidrace.spec.task import SpeedConfig, Task
from fidrace.train.architectures import build_network
from fidrace.train.precision import set_float32
from fidrace.train.process_group import ProcessGroup

BASE, START = "baseline", "start"  # homes: seeds that share nothing; other seeds from the first's initial weights
CURVATURE_COLUMNS = "task method seed iteration band t_low t_high quantity value se".split()
BARRIER_COLUMNS = "task pair a b distance loss_a loss_b barrier at".split()

Row = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """How closely to look: into how many `bands` timesteps are split, over how many training images the loss is taken, how many
    of the largest eigenvalues, and how many random vectors for the trace."""

    bands: int
    examples: int
    eigenvalues: int
    probes: int

    def check(self, task: Task) -> None:
        """Raise InputError, before anything is trained, where the task has too few timesteps or parameters for this."""
        edges(task.diffusion.timesteps, self.bands)
        with torch.device("meta"):
            network = build_network(task.network, task.data.shape, 0, task.diffusion.learned_sigma)
        check_eigenvalues(self.eigenvalues, sum(parameter.numel() for parameter in network.parameters()))


def studies(base: Study) -> dict[str, Study]:
    """The runs to look at, by their homes: the baseline's of all seeds, and of all but the first once more from the first's
    initial weights, so that only the order of data, noise and timesteps differs. Raises InputError for a single seed."""
    if len(base.seeds) < 2:
        raise InputError("--seeds: two networks make a line; at least 2 seeds are needed")
    if base.task.network.init is not None:
        raise InputError("--set network.init: it is what this analysis sets; leave it out")
    same = base.task.model_copy(update={"network": base.task.network.model_copy(update={"init": base.seeds[0]})})
    return {BASE: base, START: replace(base, task=same, seeds=base.seeds[1:])}


def analyze_landscape(series: StudySeries, look: Look, device: str) -> Outcome:
    """Look at the finished runs of a series; raises InputError where a question does not fit its task."""
    task, runs = series.task, finished_runs(series)
    starts = [run for run in runs if run.spec.home.name == BASE]
    orders = [run for run in runs if run.spec.home.name == START and starts[:1]]
    if not starts:
        raise InputError(f"{series.root}: no run of the baseline came to its end, so there is no network to look at")
    team, data = devices(device), load_data(task.data)
    place = torch.device(team[0])
    bands = training_bands(data, bool(task.network.classes), task.diffusion.timesteps, look.bands, look.examples, place)
    kept = [KeptNetwork(run, iteration) for run in starts for iteration in iterations_to_measure(run.iterations)]
    set_float32(SpeedConfig())  # curvature takes all of float32, however the networks were trained
    with one_thread_each(task.budget.threads), ThreadPoolExecutor(default_workers(team[:1], task.budget.threads)) as workers:
        curvature = pd.DataFrame(
            [row for rows in workers.map(lambda one: curvatures(one, bands, look, data, place), kept) for row in rows],
            columns=pd.Index(CURVATURE_COLUMNS),
        )
        # only runs that start where the first does share its start
        wanted = pairs(starts, [run for run in orders if run.spec.task.network.init == starts[0].spec.seed])
        found = list(workers.map(lambda pair: line(pair, look, data, place), wanted))
    lines = pd.DataFrame([row for rows, _ in found for row in rows])
    barriers = pd.DataFrame([row for _, row in found], columns=pd.Index(BARRIER_COLUMNS))
    tables = {"landscape": curvature, "interpolation": lines, "barriers": barriers}
    words = curvature_lines(curvature) + barrier_lines(barriers)
    return Outcome(tables, picture(curvature, lines, barriers), words)


def iterations_to_measure(iterations: tuple[int, ...]) -> list[int]:
    """At which of a run's evaluations the curvature is looked at: 0, 1, 2, 4, 8, ... up to half of them, and the last."""
    last = len(iterations) - 1
    places = {0, last} | {2**k for k in range(last.bit_length()) if 2 * 2**k <= last}
    return [iterations[k] for k in sorted(places)]


@contextmanager
def one_thread_each(threads: int) -> Iterator[None]:
    """So many threads for each worker, as in training: digits do not depend on how many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def curvatures(kept: KeptNetwork, bands: list[Band], look: Look, data: Data, device: torch.device) -> list[Row]:
    """Rows of landscape.csv of one network. The same start of Lanczos and the same probes for all, so that what changes along
    training is the network."""
    say(f"curvature of {kept.name}")
    network = kept.run.network(kept.iteration, data, device)
    diffusion = kept.run.diffusion(data, device)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    size, streams = sum(parameter.numel() for parameter in parameters), Streams("landscape")
    start, probes = streams.at("start").standard_normal(size), signs(streams.at("probes"), look.probes, size)
    rows = []
    for band in bands:
        with sdpa_kernel(SDPBackend.MATH):  # the one kernel of attention that has a second derivative everywhere
            loss = band.loss(diffusion, network)
            product = hessian_product(loss, parameters)
            top = largest(product, size, look.eigenvalues, start)
            low = smallest(product, size, float(top[0]), start)
            measured, error = trace(product, probes)
        quantities = {"loss": (float(loss.detach()), np.nan)}
        quantities |= {f"eig_{k}": (float(value), np.nan) for k, value in enumerate(top, 1)}
        quantities |= {"eig_min": (low, np.nan), "trace": (measured, error)}
        spec = kept.run.spec
        where = (spec.task.name, spec.method, spec.seed, kept.iteration, band.name, band.low, band.high)
        rows += [
            dict(zip(CURVATURE_COLUMNS, (*where, name, value, se), strict=True)) for name, (value, se) in quantities.items()
        ]
    return rows


def line(pair: Line, look: Look, data: Data, device: torch.device) -> tuple[list[Row], Row]:
    """Rows of interpolation.csv of one pair, and its row of barriers.csv."""
    say(f"from {pair.a.name} to {pair.b.name}")
    a, b = (one.run.network(one.iteration, data, device) for one in (pair.a, pair.b))
    whole, parts = losses(a, b, heldout_loss(pair.a.run, look.bands, data, device))
    names = {"task": pair.a.run.spec.task.name, "pair": pair.kind, "a": pair.a.name, "b": pair.b.name}
    rows: list[Row] = [
        {**names, "alpha": alpha, "loss": loss} | {f"loss_{k}": float(part) for k, part in enumerate(by_band)}
        for alpha, loss, by_band in zip(ALPHAS.tolist(), whole.tolist(), parts, strict=True)
    ]
    height, at = barrier(ALPHAS, whole)
    ends = np.interp([0.0, 1.0], ALPHAS, whole)
    return rows, {
        **names,
        "distance": distance(a, b),
        "loss_a": ends[0],
        "loss_b": ends[1],
        "barrier": height,
        "at": at,
    }


def heldout_loss(run: TrainedRun, bands: int, data: Data, device: torch.device) -> Loss:
    """The held-out loss of evals.csv, over all timesteps and in `bands` ranges of them."""
    task, diffusion = run.spec.task, run.diffusion(data, device)
    grid = HeldoutSet.of(data.heldout, task.diffusion.timesteps, task.quality.heldout_repeats)
    labels = torch.from_numpy(data.heldout_labels) if task.network.classes else None

    def loss(network: nn.Module) -> tuple[float, list[float]]:
        def eps_mse(x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            known = None if labels is None else labels[index].to(device)
            return diffusion.eps_mse(network, to_unit_range(x0.to(device)), eps.to(device), t.to(device), known)

        return grid.loss(eps_mse, bands, ProcessGroup(device), task.speed.microbatch or HELDOUT_BATCH)

    return loss
