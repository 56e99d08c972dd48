"""Batches are what the streams of (seed, iteration) say, image by image, on however many processes and from wherever read."""

import numpy as np
import pytest
import torch

from fidrace.spec.random_streams import Streams
from fidrace.spec.task import load_task
from fidrace.train.batches import Batches
from fidrace.train.noise import draw_normals
from fidrace.train.process_group import ProcessGroup
from tests.test_speed import COLOURED, data

TASK = load_task("digits", COLOURED)
B = TASK.optimizer.batch


def batches(rank: int = 0, count: int = 1, **changes: object) -> Batches:
    task = load_task("digits", COLOURED | changes)
    return Batches(task, data(), Streams(3), ProcessGroup(torch.device("cpu"), rank, count))


@pytest.mark.parametrize("changes", [{}, {"speed.resident": False}], ids=["resident", "read ahead"])
@pytest.mark.parametrize("n", [0, 7])
def test_images_are_flipped_where_their_uniform_says_so_and_keep_their_labels(n: int, changes: dict[str, object]) -> None:
    streams, source, batch = Streams(3), data(), batches(**changes).at(n)
    places, flips = streams.order(n, B, len(source.train)), streams.uniform("flips", n, B) < 0.5
    assert 0 < flips.sum() < B
    for k, place in enumerate(places):
        image = source.train[place].astype(np.float32) / 127.5 - 1
        np.testing.assert_allclose(batch.x0[k], image[:, :, ::-1] if flips[k] else image, atol=1e-6)
    assert batch.labels is not None
    assert batch.labels.tolist() == source.train_labels[places].tolist()
    assert len(set(batch.labels.tolist())) > 1
    assert torch.equal(batch.eps, draw_normals(streams, "noise", n, (B, 3, 16, 16)))
    np.testing.assert_array_equal(batch.uniforms, streams.uniform("timesteps", n, B))


def test_where_the_task_flips_nothing_nothing_is_flipped() -> None:
    plain, source = batches(**{"data.flip": False}).at(0), data()
    image = source.train[Streams(3).order(0, B, len(source.train))].astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(plain.x0, image, atol=1e-6)


def test_the_parts_of_three_processes_laid_end_to_end_are_the_batch() -> None:
    whole, parts = batches().at(5), [batches(rank, 3).at(5) for rank in range(3)]
    for name in ("x0", "eps", "labels"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name
    assert all(np.array_equal(part.uniforms, whole.uniforms) for part in parts)


def test_what_is_drawn_ahead_serves_a_run_that_is_taken_up_elsewhere() -> None:
    """Iterations in order, then from another one on, are those drawn alone."""
    ahead = batches(**{"speed.resident": False})
    for n in (0, 1, 2, 9, 10, 4):
        assert torch.equal(ahead.at(n).eps, batches().at(n).eps), n
