"""Common random numbers: what methods share, what seeds do not, and that neither depends on the process."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from fidrace.data.loading import load_data
from fidrace.method.registry import Registry
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

TASK = load_task("digits")
DATA = load_data(TASK.data)
ALONE = ProcessGroup(torch.device("cpu"))


class Seen(Exception):
    """The loss has been called; no need to go on."""


def first_batch(method: str, seed: int) -> dict[str, torch.Tensor]:
    """Initial weights, and the images, noise and timesteps that the first step hands to the loss."""
    training = Training(TASK, Registry().compose(method), seed, DATA, ALONE)
    weights = torch.cat([parameter.detach().flatten() for parameter in training.network.parameters()])
    caught = {}

    def catch(network: object, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, labels: object) -> None:
        caught.update(x0=x0, eps=eps, t=t)
        raise Seen

    training.diffusion.eps_mse = catch  # type: ignore[method-assign, assignment]
    with pytest.raises(Seen):
        training.step()
    return {"weights": weights, **caught}


def test_methods_that_differ_only_in_p_share_weights_images_noise_and_uniforms() -> None:
    one, other = first_batch("baseline", 0), first_batch("clts[horizon=1]", 0)
    for name in ("weights", "x0", "eps", "t"):  # at progress 0 clts is uniform, so equal u means equal t
        assert torch.equal(one[name], other[name]), name


def test_uniforms_are_shared_where_p_differs() -> None:
    """Timesteps of a method with another p come from the same u: they keep the order of the baseline's."""
    training = Training(TASK, Registry().compose("clts[sigma=0.1]"), 0, DATA, ALONE)
    u = training.streams.uniform("timesteps", 300, 64)
    chosen = training.method.timesteps(u, 300)
    uniform = Registry().compose("baseline")
    uniform.prepare(training.method.parts[0].schedule)
    plain = uniform.timesteps(u, 300)
    assert not np.array_equal(chosen, plain)
    assert (np.diff(chosen[np.argsort(u)]) >= 0).all()
    assert (np.diff(plain[np.argsort(u)]) >= 0).all()


def test_two_seeds_share_nothing() -> None:
    one, other = first_batch("baseline", 0), first_batch("baseline", 1)
    for name, tensor in one.items():
        assert not torch.equal(tensor, other[name]), name
    latents = [Streams(seed).normal("latents", 0, (1000, 1, 8, 8)).reshape(1000, 64) for seed in (0, 1)]
    assert len(np.unique(np.concatenate(latents), axis=0)) == 2000
    assert abs(np.corrcoef(latents[0].ravel(), latents[1].ravel())[0, 1]) < 4 / 64000**0.5


def test_names_and_steps_are_independent_streams() -> None:
    streams = Streams(0)
    draws = [streams.uniform(name, step, 4) for name in ("timesteps", "flips") for step in (0, 1, 2)]
    assert len({tuple(draw) for draw in draws}) == 6
    long = streams.at("timesteps", 0).random(10**5)
    assert not np.isin(streams.at("timesteps", 1).random(10**4), long).any()


def test_order_is_whole_epochs_laid_end_to_end() -> None:
    streams = Streams(3)
    sequence = np.concatenate([streams.order(step, 64, 150) for step in range(75)])
    assert len(sequence) == 75 * 64 == 32 * 150
    for epoch in sequence.reshape(32, 150):
        assert sorted(epoch) == list(range(150))
    assert not np.array_equal(sequence[:150], sequence[150:300])


def test_streams_are_the_same_in_another_process() -> None:
    head = "from fidrace.spec.random_streams import Streams; s = Streams(7); "
    code = head + "print(s.integer('init'), s.uniform('u', 5, 3).tolist())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    streams = Streams(7)
    assert printed == {f"{streams.integer('init')} {streams.uniform('u', 5, 3).tolist()}\n"}
