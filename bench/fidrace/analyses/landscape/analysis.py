"""The landscape of the loss around trained networks: straight lines between them, and the curvature at them.

The paper (arXiv 2404.07946) calls it highly smooth and concludes that less momentum is needed. Curvature is that of the
training loss, which an optimizer meets; on lines it is the held-out loss, which counts in the end. Both use averaged weights.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fidrace.analyses.landscape.curvature import (
    check_eigenvalues,
    estimate_trace,
    hessian_product,
    largest_eigenvalues,
    rademacher_probes,
    smallest_eigenvalue,
)
from fidrace.analyses.landscape.examples import BandExamples, training_examples
from fidrace.analyses.landscape.interpolation import (
    KeptNetwork,
    Loss,
    NetworkPair,
    choose_pairs,
    losses_on_line,
    weight_distance,
)
from fidrace.analyses.landscape.plots import landscape_png
from fidrace.analyses.landscape.tables import (
    barrier_row,
    barrier_table,
    curvature_row,
    curvature_table,
    findings,
    line_rows,
    line_table,
)
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.timesteps import split_timesteps
from fidrace.analyses.trained import TrainedRun, finished_runs
from fidrace.console import say
from fidrace.data.base import Data, to_unit_range
from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.evaluate.evaluator import HELDOUT_BATCH
from fidrace.evaluate.guards import HeldoutSet
from fidrace.execute.local import default_workers, devices
from fidrace.execute.study_series import StudySeries
from fidrace.spec.random_streams import Streams
from fidrace.spec.study import Study
from fidrace.spec.task import SpeedConfig, Task
from fidrace.storage.atomic import Row
from fidrace.train.architectures import build_network
from fidrace.train.precision import set_float32
from fidrace.train.process_group import ProcessGroup

BASE, START = "baseline", "start"  # homes: seeds that share nothing; other seeds from the first's initial weights


@dataclass(frozen=True)
class Resolution:
    """How closely to measure: the number of `bands` of timesteps, of training `examples` in the loss, of the largest
    `eigenvalues`, and of random vectors (`probes`) for the trace."""

    bands: int
    examples: int
    eigenvalues: int
    probes: int

    def check(self, task: Task) -> None:
        """Raise InputError, before anything is trained, if the task has too few timesteps or parameters."""
        split_timesteps(task.diffusion.timesteps, self.bands)
        with torch.device("meta"):
            network = build_network(task.network, task.data.shape, 0, task.diffusion.learned_sigma)
        check_eigenvalues(self.eigenvalues, sum(parameter.numel() for parameter in network.parameters()))


def plan_studies(base: Study) -> dict[str, Study]:
    """Studies by home: the baseline of all seeds, and of all but the first again from the first's initial weights, so that only
    the order of data, noise and timesteps differs. Raises InputError for a single seed."""
    if len(base.seeds) < 2:
        raise InputError("--seeds: a line needs two networks, so at least 2 seeds")
    if base.own_task.network.init is not None:
        raise InputError("--set network.init: landscape chooses initial weights itself; leave it out")
    same = base.own_task.model_copy(update={"network": base.own_task.network.model_copy(update={"init": base.seeds[0]})})
    return {BASE: base, START: replace(base, task=same, seeds=base.seeds[1:])}


def analyze_landscape(series: StudySeries, resolution: Resolution, device: str) -> Outcome:
    """Measure the networks of a series. Raises InputError if a network is missing, or if no run of the baseline finished."""
    task, runs = series.task, finished_runs(series)
    starts = [run for run in runs if run.spec.home.name == BASE]
    if not starts:
        raise InputError(f"{series.root}: no run of the baseline finished, so there is no network to measure")
    # of the first seed, if its own run diverged, no baseline is left that shares the initial weights
    orders = [run for run in runs if run.spec.home.name == START and run.spec.own_task.network.init == starts[0].spec.seed]
    team, data = devices(device), load_data(task.data)
    place, threads = torch.device(team[0]), task.budget.threads
    labelled, T = bool(task.network.classes), task.diffusion.timesteps
    bands = training_examples(data, labelled, T, resolution.bands, resolution.examples, place)
    kept = [KeptNetwork(run, iteration) for run in starts for iteration in iterations_to_measure(run.iterations)]
    set_float32(SpeedConfig())  # curvature needs all of float32, however the networks were trained
    with limit_threads(threads), ThreadPoolExecutor(default_workers(team[:1], threads)) as workers:
        # the only attention kernel that has a second derivative everywhere; the choice is the process's and not a thread's
        with sdpa_kernel(SDPBackend.MATH):
            curvature = curvature_table(
                [*chain(*workers.map(lambda one: measure_curvature(one, bands, resolution, data, place), kept))]
            )
        measured = list(
            workers.map(lambda pair: measure_line(pair, resolution.bands, data, place), choose_pairs(starts, orders))
        )
    lines, barriers = line_table([row for rows, _ in measured for row in rows]), barrier_table([row for _, row in measured])
    tables = {"landscape": curvature, "interpolation": lines, "barriers": barriers}
    return Outcome(tables, landscape_png(curvature, lines, barriers), findings(curvature, barriers))


def iterations_to_measure(iterations: tuple[int, ...]) -> list[int]:
    """The evaluations of a run at which curvature is measured: 0, 1, 2, 4, 8, ... up to half of them, and the last."""
    last = len(iterations) - 1
    places = {0, last} | {2**k for k in range(last.bit_length()) if 2 * 2**k <= last}
    return [iterations[k] for k in sorted(places)]


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Give torch `threads` threads for each worker, as in training, so that digits do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_curvature(
    kept: KeptNetwork, bands: list[BandExamples], resolution: Resolution, data: Data, device: torch.device
) -> list[Row]:
    """Rows of landscape.csv of one network. Lanczos starts from the same vector and the trace uses the same probes for every
    network, so that what changes along training is the network."""
    say(f"curvature of {kept.name}")
    network, diffusion = kept.run.network(kept.iteration, data, device), kept.run.diffusion(data, device)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    size, streams = sum(parameter.numel() for parameter in parameters), Streams("landscape")
    start = streams.at("start").standard_normal(size)
    probes = rademacher_probes(streams.at("probes"), resolution.probes, size)
    rows: list[Row] = []
    for band in bands:
        loss = band.loss(diffusion, network)
        product = hessian_product(loss, parameters)
        top = largest_eigenvalues(product, size, resolution.eigenvalues, start)
        low = smallest_eigenvalue(product, size, float(top[0]), start)
        trace, error = estimate_trace(product, probes)
        rows.append(curvature_row(kept, band, "loss", float(loss.detach())))
        rows += [curvature_row(kept, band, f"eig_{k}", float(value)) for k, value in enumerate(top, 1)]
        rows += [curvature_row(kept, band, "eig_min", low), curvature_row(kept, band, "trace", trace, error)]
    return rows


def measure_line(pair: NetworkPair, bands: int, data: Data, device: torch.device) -> tuple[list[Row], Row]:
    """Rows of interpolation.csv of one pair, and its row of barriers.csv."""
    say(f"from {pair.a.name} to {pair.b.name}")
    a, b = (one.run.network(one.iteration, data, device) for one in (pair.a, pair.b))
    losses, by_band = losses_on_line(a, b, heldout_loss(pair.a.run, bands, data, device))
    return line_rows(pair, losses, by_band), barrier_row(pair, weight_distance(a, b), losses)


def heldout_loss(run: TrainedRun, bands: int, data: Data, device: torch.device) -> Loss:
    """The held-out loss of evals.csv, over all timesteps and in `bands` ranges of them."""
    task, diffusion = run.spec.own_task, run.diffusion(data, device)
    heldout = HeldoutSet.of(data.heldout, task.diffusion.timesteps, task.quality.heldout_repeats)
    labels = torch.from_numpy(data.heldout_labels) if task.network.classes else None

    def loss(network: nn.Module) -> tuple[float, list[float]]:
        def eps_mse(x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            known = None if labels is None else labels[index].to(device)
            return diffusion.eps_mse(network, to_unit_range(x0.to(device)), eps.to(device), t.to(device), known)

        return heldout.loss(eps_mse, bands, ProcessGroup(device), task.speed.microbatch or HELDOUT_BATCH)

    return loss
