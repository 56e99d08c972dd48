"""Consistency: do separately trained networks draw the same images from the same latents (arXiv 2404.07946)?

All networks get the same latents[N, C, H, W] and labels[N], through DDIM without noise whatever sampler the task uses, in
float32. networks.py says which are trained, pairs.py which are compared, agreement.py how alike two of them are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor

from fidrace.analyses.consistency.agreement import check_latents, derangement, draw_resamples
from fidrace.analyses.consistency.denoisers import exact_denoiser, gaussian_denoiser, untrained_network
from fidrace.analyses.consistency.networks import RING
from fidrace.analyses.consistency.pairs import (
    EXACT,
    GAUSSIAN,
    NEITHER,
    GeneratorPair,
    Group,
    Relation,
    TrainedGenerator,
    group_pairs,
)
from fidrace.analyses.consistency.plots import Strip, curves_png, strips_png
from fidrace.analyses.consistency.tables import PairScores, findings, format_groups, group_table, pair_table
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.trained import TrainedRun, finished_runs
from fidrace.console import say
from fidrace.data.base import Data, select_images
from fidrace.data.loading import load_data
from fidrace.errors import NothingToConclude
from fidrace.evaluate.features import Features, load_features
from fidrace.execute.local import devices
from fidrace.execute.study_series import StudySeries
from fidrace.score.reading import read_curves
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import Task
from fidrace.spec.user_input import BASELINE
from fidrace.train.diffusion import Diffusion, Network
from fidrace.train.noise import draw_normals
from fidrace.train.precision import full_precision
from fidrace.train.sampler import sample

STREAMS = Streams("consistency")
PICTURED_LATENTS = 14
DENOISERS = {GAUSSIAN: gaussian_denoiser, EXACT: exact_denoiser}


@dataclass(frozen=True)
class GeneratedImages:
    """What a generator makes of the latents: pixels[N, C, H, W] in [-1, 1], features[N, D]."""

    pixels: Tensor
    features: Tensor

    def permute(self, order: Tensor) -> "GeneratedImages":
        return GeneratedImages(self.pixels[order], self.features[order])


@dataclass(frozen=True)
class Probe:
    """The latents [N, C, H, W] and labels [N] that every generator gets."""

    task: Task
    data: Data
    latents: Tensor
    labels: Tensor | None
    features: Features

    @classmethod
    def of(cls, task: Task, count: int, device: torch.device) -> "Probe":
        data, classes = load_data(task.data), task.network.classes
        latents = draw_normals(STREAMS, "latents", 0, (count, *data.train.shape[1:]), device)
        labels = torch.from_numpy(STREAMS.at("labels").integers(classes, size=count)).to(device) if classes else None
        return cls(task, data, latents, labels, load_features(task.quality, device))

    def draw(self, network: Network, diffusion: Diffusion) -> GeneratedImages:
        config = self.task.sampler.model_copy(update={"kind": "ddim"})
        with full_precision():
            images = sample(config, network, diffusion, self.latents, STREAMS, self.labels)
        return GeneratedImages(images, self.features(images))

    def real(self) -> GeneratedImages:
        """The first N held-out images, or all if there are fewer: how different real images are."""
        first = np.arange(min(len(self.latents), len(self.data.heldout)))
        images = select_images(self.data.heldout, first).to(self.latents.device)
        return GeneratedImages(images, self.features(images))


def analyze_consistency(series: StudySeries, latents: int, device: str) -> Outcome:
    """Compare the networks of a series. Raises InputError if a network was not kept, and NothingToConclude if fewer than two
    baseline runs finished."""
    place = torch.device(devices(device)[0])
    runs, task = {run.name: run for run in finished_runs(series)}, series.task
    torch.set_num_threads(task.budget.threads)
    trained = [TrainedGenerator.of(run) for run in runs.values()]
    pairs, base = group_pairs(trained), {one.name: one for one in trained if one.is_base}
    if NEITHER not in {pair.group for pair in pairs}:
        raise NothingToConclude("no two baseline networks of different seeds finished")
    probe, scores = Probe.of(task, check_latents(latents), place), PairScores(draw_resamples(latents, STREAMS.at("resamples")))
    first = next(iter(runs.values()))
    iterations, process = first.iterations, first.diffusion(probe.data, place)
    say(f"drawing {latents} images from each of {len(runs)} networks at {len(iterations)} evaluations")

    score_untrained(scores, probe, process, [one.order for one in base.values()])
    denoisers = draw_from_denoisers(probe, process)
    pairs += denoiser_pairs(list(denoisers), base)
    pairs += [
        GeneratorPair(Group(Relation.SHUFFLED), a, shuffled_name(b), base[a].seeds | base[b].seeds) for a, b in pairwise(base)
    ]
    order = torch.from_numpy(derangement(latents, STREAMS.at("shuffled")))

    strips: list[Strip] = []
    for iteration in iterations:
        images = {name: probe.draw(run.network(iteration, probe.data, place), process) for name, run in runs.items()}
        images |= denoisers
        scores.add(iteration, pairs, images | {shuffled_name(name): images[name].permute(order) for name in base})
        strips += draw_strips(iteration, iterations, trained, {name: one.pixels for name, one in images.items()})
    scores.add_real(probe.real())

    groups, distances = group_table(scores, task.name), frechet_distances(runs)
    tables = {"consistency": pair_table(scores, task.name, distances), "consistency-groups": groups}
    return Outcome(
        {name: format_groups(table) for name, table in tables.items()},
        curves_png(groups),
        findings(groups, scores, task, latents, distances),
        {"consistency-grid": strips_png(strips, task.name)},
    )


def score_untrained(scores: PairScores, probe: Probe, process: Diffusion, seeds: list[int]) -> None:
    """Add the control before training: networks of `seeds` with their zero layers redrawn, as iteration 0."""
    names, device = {f"untrained seed {seed}": seed for seed in seeds}, probe.latents.device
    images = {
        name: probe.draw(untrained_network(probe.task, probe.data, seed, device), process) for name, seed in names.items()
    }
    group = Group(Relation.UNTRAINED)
    scores.add(0, [GeneratorPair(group, a, b, frozenset((names[a], names[b]))) for a, b in combinations(names, 2)], images)


def draw_from_denoisers(probe: Probe, process: Diffusion) -> dict[str, GeneratedImages]:
    """The images of each closed-form denoiser that the data are small enough for."""
    networks = {name: of(probe.task, probe.data, process, probe.latents.device) for name, of in DENOISERS.items()}
    return {name: probe.draw(network, process) for name, network in networks.items() if network}


def denoiser_pairs(denoisers: list[str], base: dict[str, TrainedGenerator]) -> list[GeneratorPair]:
    return [
        GeneratorPair(Group(Relation.DENOISER, denoiser), denoiser, name, one.seeds)
        for denoiser in denoisers
        for name, one in base.items()
    ]


def shuffled_name(name: str) -> str:
    """The name of a generator whose latents were permuted."""
    return f"{name}, latents shuffled"


def frechet_distances(runs: dict[str, TrainedRun]) -> dict[tuple[str, int], float]:
    """The Fréchet distance of each run, by its name and the iteration."""
    curves = {name: read_curves(run.directory)[0] for name, run in runs.items()}
    return {(name, int(n)): float(fd) for name, run in curves.items() for n, fd in zip(run.iteration, run.fd, strict=True)}


def draw_strips(
    iteration: int, iterations: tuple[int, ...], trained: list[TrainedGenerator], pixels: dict[str, Tensor]
) -> Iterator[Strip]:
    """The rows of the picture at this iteration: two baseline networks at the first evaluation in training and halfway; at the
    end one network of each kind, of different seeds if possible, and the denoisers."""
    last = iterations[-1]
    if iteration not in (iterations[min(1, len(iterations) - 1)], iterations[len(iterations) // 2], last):
        return
    base = [one for one in trained if one.is_base]
    labels = {one.name: f"baseline, seed {one.order}" for one in base[: RING if iteration == last else 2]}
    if iteration == last:
        by_subject: dict[str, list[TrainedGenerator]] = {}
        for one in trained:
            by_subject.setdefault(one.subject, []).append(one)
        for subject, several in by_subject.items():
            if subject != BASELINE:
                shown = several[min(1, len(several) - 1)]
                labels[shown.name] = f"{subject}, seed {shown.order}"
        labels |= {name: name for name in DENOISERS if name in pixels}
    for name, label in labels.items():
        yield Strip(iteration, label, pixels[name][:PICTURED_LATENTS].cpu().numpy())
