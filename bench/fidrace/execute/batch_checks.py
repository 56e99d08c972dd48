"""Checks of the hooks that take tensors: they change something, draw nothing of their own, and what they make of the noise.

A check raises Unfit with one line.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fidrace.data.loading import load_data
from fidrace.method.base import TENSORS
from fidrace.method.conformance import Check, Unfit
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.diffusion import Examples
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

STEPS = 100  # batches that moments are taken over


class Moments(NamedTuple):
    """Of noise of D numbers over independent batches: its mean, E|eps|^2 / D, and its coefficient on x0, each with its standard
    error."""

    mean: tuple[float, float]
    square: tuple[float, float]
    on_x0: tuple[float, float]

    def __str__(self) -> str:
        (mean, _), (square, _), (on_x0, _) = self
        return f"noise: mean {mean:+.3f}, E|eps|^2/D {square:.3f}, {on_x0:+.3f} of x0 in it"


def make_training(registry: Registry, name: str) -> Training:
    """A run of the method on digits, with weights some way off their start, at which a network predicts 0."""
    task = load_task("digits")
    training = Training(task, registry.compose(name), 0, load_data(task.data), ProcessGroup(torch.device("cpu")))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in training.network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return training


def outcome(training: Training, n: int) -> list[Tensor]:
    """What the hooks make of the batch of step n, and the further loss of its network."""
    batch = training.batches.at(n)
    t = torch.from_numpy(training.method.timesteps(batch.uniforms, n))
    examples = training.make_examples(batch, t, n)
    shown = examples.eps if examples.shown is None else examples.shown
    wanted = (examples.x0, examples.eps) if examples.wanted is None else examples.wanted
    return [examples.x0, examples.eps, shown, *wanted, further_loss(training, examples)]


def further_loss(training: Training, examples: Examples) -> Tensor:
    if "auxiliary" not in training.method.claims:
        return torch.zeros(())
    with torch.no_grad():
        losses = training.diffusion.losses(training.network, examples)
        value = training.taps.auxiliary(losses, training.ranks)
    if not value.isfinite():
        raise Unfit(f"the further loss is {float(value)}")
    return value


def settings(training: Training) -> tuple[object, ...]:
    """The kind of optimizer, and how many parameters each group trains with which settings."""
    groups = training.optimizer.param_groups
    numbers = [{name: value for name, value in group.items() if name != "params"} for group in groups]
    return type(training.optimizer), [len(group["params"]) for group in groups], numbers


def check_effect(registry: Registry, name: str) -> None:
    plain = make_training(registry, "baseline")
    theirs = outcome(plain, 0)
    for part in registry.compose(name).parts:
        if TENSORS & {*part.aspects()}:
            training = make_training(registry, str(part))
            if settings(training) == settings(plain) and all(map(torch.equal, outcome(training, 0), theirs)):
                raise Unfit(f"{part} changes nothing: neither images, noise, target, loss nor optimizer")


def check_repeats(registry: Registry, name: str) -> None:
    """One step gives one outcome, asked first or after others: hooks draw from what they are given, and keep nothing."""
    one, other = make_training(registry, name), make_training(registry, name)
    first = outcome(one, 3)
    for n in (0, 7):
        outcome(other, n)
    if not all(map(torch.equal, first, outcome(other, 3))):
        raise Unfit("step 3 differs after others: it draws from a generator of its own, or keeps something")


CHECKS: dict[str, Check] = {
    "it changes the examples, the loss or the optimizer": check_effect,
    "one step gives one outcome": check_repeats,
}


def measure_noise(registry: Registry, name: str, steps: int = STEPS) -> Moments:
    """The moments of a method's noise over the batches of digits."""
    training, found = make_training(registry, name), []
    for n in range(steps):
        batch = training.batches.at(n)
        t = torch.from_numpy(training.method.timesteps(batch.uniforms, n))
        examples = training.make_examples(batch, t, n)
        x0, eps = examples.x0.double(), (examples.eps if examples.shown is None else examples.shown).double()
        found.append(torch.stack([eps.mean(), eps.square().mean(), (x0 * eps).sum() / x0.square().sum()]))
    values = torch.stack(found)
    means, errors = values.mean(0).tolist(), (values.std(0) / steps**0.5).tolist()
    return Moments(*zip(means, errors, strict=True))
