"""Common random numbers: what methods share, what seeds do not, and that neither depends on the process."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from fidrace.data.loading import load_data
from fidrace.method.registry import Registry
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import load_task
from fidrace.train.diffusion import Examples
from fidrace.train.loop import Training
from fidrace.train.noise import draw_normals, to_normals
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

    def catch(network: object, examples: Examples) -> None:
        caught.update(x0=examples.x0, eps=examples.eps, t=examples.t)
        raise Seen

    training.diffusion.losses = catch  # type: ignore[method-assign, assignment]
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
    latents = [draw_normals(Streams(seed), "latents", 0, (1000, 1, 8, 8)).reshape(1000, 64).numpy() for seed in (0, 1)]
    assert len(np.unique(np.concatenate(latents), axis=0)) == 2000
    assert abs(np.corrcoef(latents[0].ravel(), latents[1].ravel())[0, 1]) < 4 / 64000**0.5


def test_names_and_steps_are_independent_streams() -> None:
    streams = Streams(0)
    draws = [streams.uniform(name, step, 4) for name in ("timesteps", "flips") for step in (0, 1, 2)]
    assert len({tuple(draw) for draw in draws}) == 6
    long = streams.at("timesteps", 0).random(10**5)
    assert not np.isin(streams.at("timesteps", 1).random(10**4), long).any()


@pytest.mark.parametrize("shape", [(64,), (3, 5, 5), (1, 1, 1), (3, 128, 128)])
def test_the_noise_of_an_example_does_not_depend_on_those_drawn_with_it(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    whole, part = Streams(0).bits("noise", 5, 12, size), Streams(0).bits("noise", 5, 4, size, first=6)
    assert np.array_equal(whole[6:10], part)
    assert torch.equal(to_normals(torch.from_numpy(whole), shape)[6:10], to_normals(torch.from_numpy(part), shape))
    assert len(np.unique(whole)) > 0.99 * whole.size  # no example repeats another


def test_noise_is_normal_and_independent() -> None:
    noise = draw_normals(Streams(1), "noise", 2, (2**14, 64)).double().numpy()
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.001
    assert stats.kstest((noise**2).sum(axis=1), "chi2", args=(64,)).pvalue > 0.001  # also of numbers that one pair gives
    for values in (noise, noise**2):
        correlations = np.corrcoef(values, rowvar=False)[np.triu_indices(64, 1)] * 2**7
        assert stats.kstest(correlations, "norm").pvalue > 0.001
    tails = [(np.abs(noise) > z).sum() / (noise.size * 2 * stats.norm.sf(z)) for z in (3, 4)]
    assert tails == pytest.approx([1, 1], abs=0.25)


def test_normals_are_those_of_box_and_muller_in_float64() -> None:
    extreme = np.array([[0, 1, -1, 2**31 - 1, -(2**31), 2**30, -(2**30), 12345]], np.int32)
    bits = np.concatenate([extreme, np.roll(extreme, 3), Streams(0).bits("noise", 0, 1000, 8)])
    found = to_normals(torch.from_numpy(bits), (8,)).numpy()
    below, angle = ((bits.astype(np.int64) % 2**31 + 0.5) / 2**31)[:, :4], (bits.astype(float) * np.pi / 2**31)[:, 4:]
    expected = np.sqrt(-2 * np.log(below)) * np.exp(1j * angle)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 6.7
    # float32 has steps of 2^-24 below 1, where the radius is 3e-4
    np.testing.assert_allclose(found, np.concatenate([expected.real, expected.imag], 1), atol=4e-4)


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
