"""Consistency: do separately trained networks draw the same images from the same latents (arXiv 2404.07946)?

Homes of the series: `seeds`, the baseline and the methods with every seed; `again`, one baseline run a second time; `start-K`,
a baseline run with the initial weights of seed K and the data order of another; and one for each other architecture.
All networks see the same latents, through DDIM without noise whatever the task samples with, in float32.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor

from fidrace.analyses.consistency.agreement import check_latents, derangement, resamples
from fidrace.analyses.consistency.denoisers import exact_denoiser, gaussian_denoiser, untrained_network
from fidrace.analyses.consistency.pairs import AGAIN, NEITHER, SEEDS, START, Member, Pair, pairs_of
from fidrace.analyses.consistency.plots import Strip, curves_png, strips_png
from fidrace.analyses.consistency.tables import (
    AGAINST,
    EXACT,
    GAUSSIAN,
    SHUFFLED,
    UNTRAINED,
    Comparison,
    findings,
    group_table,
    pair_table,
)
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.trained import TrainedRun, finished_runs
from fidrace.console import say
from fidrace.data.base import Data, select_images
from fidrace.data.loading import load_data
from fidrace.errors import InputError, NothingToConclude
from fidrace.evaluate.features import Features, full_precision, load_features
from fidrace.execute.local import devices
from fidrace.execute.study_series import StudySeries
from fidrace.spec.random_streams import Streams
from fidrace.spec.study import BASELINE, Study, parse_assignment
from fidrace.spec.task import NetworkConfig, Task, validate
from fidrace.storage.tables import EVAL_COLUMNS, read_table
from fidrace.train.diffusion import Diffusion, Network
from fidrace.train.sampler import sample

RING = 3  # seeds whose initial weights are given to another; a run each
STREAMS = Streams("consistency")
PICTURED = 14  # latents in the grid


def studies(base: Study, networks: list[str]) -> dict[str, Study]:
    """By home; `networks` as in --network, none for the two that follow from the task. Raises InputError."""
    own = base.task.network
    if len(base.seeds) < 2:
        raise InputError("consistency compares networks of different seeds: --seeds takes at least 2")
    if own.init is not None:
        raise InputError("--set network.init: consistency gives networks their initial weights itself")
    ring = base.seeds[:RING]
    found = {SEEDS: base, AGAIN: baseline(base, own, ring[:1])}
    for seed, start in zip(ring, (*ring[1:], ring[0]), strict=True):
        found[f"{START}{start}"] = baseline(base, own.model_copy(update={"init": start}), (seed,))
    for text in networks or [f"channels={2 * own.channels}", f"res_blocks={own.res_blocks + 1}"]:
        name, network = architecture(own, text)
        if name in found:
            raise InputError(f"--network {text}: listed twice")
        found[name] = baseline(base, network, base.seeds)
    return found


def baseline(base: Study, network: NetworkConfig, seeds: tuple[int, ...]) -> Study:
    """The baseline alone, on another network."""
    task = base.task.model_copy(update={"network": network})
    return replace(base, task=task, resolved=base.resolved[:1], seeds=seeds, contrasts=())


def architecture(own: NetworkConfig, text: str) -> tuple[str, NetworkConfig]:
    """`channels=16,res_blocks=2` as a name for folders and a network; raises InputError where it is none, or the task's own."""
    changes = {}
    for part in re.split(r",(?![^\[{]*[\]}])", text):  # not at commas inside brackets
        if "=" not in part.strip("= "):
            raise InputError(f"--network {text}: write FIELD=VALUE[,FIELD=VALUE], for instance channels=16")
        key, value = parse_assignment(part)
        changes[key.removeprefix("network.")] = value
    if "init" in changes:
        raise InputError(f"--network {text}: another init is no other architecture; consistency gives initial weights itself")
    kept = {field: value for field, value in (own.model_dump() | changes).items() if value != "none"}
    network = validate(NetworkConfig, kept, f"--network {text}")
    if network == own:
        raise InputError(f"--network {text}: this is the task's own network")
    return "+".join(re.sub(r"[^\w.]+", "-", f"{key}={value}").strip("-.") for key, value in changes.items()), network


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
        latents = torch.from_numpy(STREAMS.normal("latents", 0, (count, *data.train.shape[1:]))).to(device)
        labels = torch.from_numpy(STREAMS.at("labels").integers(classes, size=count)).to(device) if classes else None
        return cls(task, data, latents, labels, load_features(task.quality, device))

    def draw(self, network: Network, diffusion: Diffusion) -> GeneratedImages:
        config = self.task.sampler.model_copy(update={"kind": "ddim"})
        with full_precision():
            images = sample(config, network, diffusion, self.latents, STREAMS, self.labels)
        return GeneratedImages(images, self.features(images))

    def real(self) -> GeneratedImages:
        """Held-out images, as many as there are latents if there are so many: how different real images are."""
        shown = np.arange(len(self.data.heldout))[: len(self.latents)]
        images = select_images(self.data.heldout, shown).to(self.latents.device)
        return GeneratedImages(images, self.features(images))


def analyze_consistency(series: StudySeries, latents: int, device: str) -> Outcome:
    """Compare the networks of a series; raises InputError, and NothingToConclude where too few finished."""
    where = torch.device(devices(device)[0])
    runs, task = {one.name: one for one in finished_runs(series)}, series.task
    torch.set_num_threads(task.budget.threads)
    members = [Member.of(one) for one in runs.values()]
    pairs, base = pairs_of(members), {one.name: one for one in members if (one.home, one.method) == (SEEDS, BASELINE)}
    if NEITHER not in {pair.group for pair in pairs}:
        raise NothingToConclude("no two baseline networks of different seeds finished")
    probe = Probe.of(task, check_latents(latents), where)
    comparison = Comparison(resamples(latents, STREAMS.at("resamples")))
    iterations = next(iter(runs.values())).iterations
    say(f"drawing {latents} images from each of {len(runs)} networks at {len(iterations)} evaluations")

    process = next(iter(runs.values())).diffusion(probe.data, where)
    before = {f"untrained seed {one.order}": one.order for one in base.values()}
    started = {name: probe.draw(untrained_network(task, probe.data, seed, where), process) for name, seed in before.items()}
    pairs_before = [Pair(UNTRAINED, a, b, frozenset((before[a], before[b]))) for a, b in combinations(before, 2)]
    comparison.add(0, pairs_before, started)
    known = {
        GAUSSIAN: gaussian_denoiser(task, probe.data, process, where),
        EXACT: exact_denoiser(task, probe.data, process, where),
    }
    ideal = {name: probe.draw(network, process) for name, network in known.items() if network}
    pairs += [Pair(AGAINST.format(name), name, other, one.seeds) for name in ideal for other, one in base.items()]
    pairs += [Pair(SHUFFLED, a, shuffled_latents(b), base[a].seeds | base[b].seeds) for a, b in pairwise(base)]
    order = torch.from_numpy(derangement(latents, STREAMS.at("shuffled")))

    strips: list[Strip] = []
    for iteration in iterations:
        seen = {name: probe.draw(one.network(iteration, probe.data, where), process) for name, one in runs.items()}
        comparison.add(iteration, pairs, seen | ideal | {shuffled_latents(name): seen[name].permute(order) for name in base})
        strips += moment(iteration, iterations, members, {name: one.pixels for name, one in (seen | ideal).items()})
    comparison.add_real(probe.real())

    groups = group_table(comparison, task.name)
    return Outcome(
        {"consistency": pair_table(comparison, task.name, distances_reached(runs)), "consistency-groups": groups},
        curves_png(groups),
        findings(groups, comparison, task, latents, distances_reached(runs)),
        {"consistency-grid": strips_png(strips, task.name)},
    )


def shuffled_latents(name: str) -> str:
    return f"{name}, latents shuffled"


def distances_reached(runs: dict[str, TrainedRun]) -> dict[tuple[str, int], float]:
    """The Fréchet distance of each run, by its name and the iteration."""
    tables = {name: read_table(one.directory / "evals.csv", EVAL_COLUMNS) for name, one in runs.items()}
    return {
        (name, int(n)): float(fd) for name, rows in tables.items() for n, fd in zip(rows["iteration"], rows["fd"], strict=True)
    }


def moment(iteration: int, iterations: tuple[int, ...], members: list[Member], pixels: dict[str, Tensor]) -> Iterator[Strip]:
    """The rows of the grid that show this iteration: a few networks at the first evaluation in training and halfway, and one
    of each kind, with seeds that differ where that can be, and the ideal denoisers at the end."""
    last = iterations[-1]
    if iteration not in (iterations[min(1, len(iterations) - 1)], iterations[len(iterations) // 2], last):
        return
    own = [one for one in members if (one.home, one.method) == (SEEDS, BASELINE)]
    shown = {one.name: f"baseline, seed {one.order}" for one in own[: RING if iteration == last else 2]}
    if iteration == last:
        kinds: dict[str, list[Member]] = {}
        for one in members:
            kinds.setdefault(one.subject, []).append(one)
        for subject, several in kinds.items():
            if subject != BASELINE:
                shown[several[min(1, len(several) - 1)].name] = f"{subject}, seed {several[min(1, len(several) - 1)].order}"
        shown |= {name: name for name in (GAUSSIAN, EXACT) if name in pixels}
    for name, label in shown.items():
        yield Strip(iteration, label, pixels[name][:PICTURED].cpu().numpy())
