"""Settings that make training faster change its last digits at most."""

import numpy as np
import pytest
import torch

from fidrace.data.base import Data
from fidrace.method.registry import Registry
from fidrace.spec.task import Task, load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup
from tests.losses import recorded_graphs

STEPS = 6
COLOURED = {
    **{"network.channels": 16, "network.norm_groups": 8, "network.attention_resolutions": [8], "network.classes": 4},
    **{"network.resblock_updown": True, "network.dropout": 0.1, "data.flip": True, "ema.decay": 0.5},
    **{"optimizer.batch": 12, "optimizer.warmup": 0},
}


def data(count: int = 40) -> Data:
    """Coloured 16x16 noise in bytes, with labels."""
    chance = np.random.default_rng(5)
    images = chance.integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)
    labels = chance.integers(0, 4, count)
    return Data(images, labels, images[:8], labels[:8], 256, "")


def trained(**changes: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses [STEPS, B], final weights and averaged weights of a short run."""
    task: Task = load_task("digits", {**COLOURED, **{key.replace("__", "."): value for key, value in changes.items()}})
    torch.set_num_threads(1)
    training = Training(task, Registry().compose("min-snr"), 0, data(), ProcessGroup(torch.device("cpu")))
    training.advance(STEPS)
    weights = [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in (training.network, training.ema)]
    return training.pending_losses().numpy(), weights[0].numpy(), weights[1].numpy()


@pytest.fixture(scope="module")
def plain() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return trained()


@pytest.fixture(scope="module")
def without_dropout() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return trained(network__dropout=0.0)


@pytest.mark.parametrize("changes", [{"speed__resident": False}, {"speed__checkpointing": True}])
def test_the_same_to_the_last_bit(changes: dict[str, object], plain: tuple[np.ndarray, ...]) -> None:
    """Images read as they are needed; activations computed again, with the same dropout."""
    for ours, theirs in zip(trained(**changes), plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("changes", [{"speed__fused": False}, {"speed__foreach": False}])
def test_the_same_but_for_rounding(changes: dict[str, object], plain: tuple[np.ndarray, ...]) -> None:
    for ours, theirs in zip(trained(**changes), plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    "changes",
    [{"speed__channels_last": True}, *({"speed__microbatch": count} for count in (1, 5, 12))],
    ids=["channels_last", "parts of 1", "parts of 5", "parts of 12"],
)
def test_the_same_but_for_rounding_where_nothing_is_dropped(
    changes: dict[str, object], without_dropout: tuple[np.ndarray, ...]
) -> None:
    """Dropout's chances go by the order in memory, and are drawn anew for each part."""
    for ours, theirs in zip(trained(network__dropout=0.0, **changes), without_dropout, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_moments_lie_as_their_weights_do_after_a_checkpoint(without_dropout: tuple[np.ndarray, ...]) -> None:
    """Resumed in the layout that some tasks train in: the rest of the run is the same to the last bit."""
    changes = {**COLOURED, "network.dropout": 0.0, "speed.channels_last": True}
    task, alone = load_task("digits", changes), ProcessGroup(torch.device("cpu"))
    whole = Training(task, Registry().compose("min-snr"), 0, data(), alone)
    whole.advance(3)
    facts = whole.iteration, whole.seconds
    saved = {name: tensor.clone().contiguous() for name, tensor in whole.tensors().items()}
    resumed = Training(task, Registry().compose("min-snr"), 0, data(), alone)
    resumed.load(saved, *facts)
    for run in (whole, resumed):
        run.advance(STEPS)
    for mine, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_bf16_is_near_and_is_not_fp32(plain: tuple[np.ndarray, ...]) -> None:
    """bfloat16 has 8 bits of mantissa: losses agree to a percent, and not to four digits."""
    loss = trained(speed__precision="bf16")[0]
    np.testing.assert_allclose(loss, plain[0], rtol=0.01)
    assert np.abs(loss / plain[0] - 1).max() > 1e-4
    assert loss.dtype == np.float32


def test_a_compiled_network_keeps_the_names_of_its_weights() -> None:
    """So that a checkpoint serves both; that it trains alike takes a minute to show (tests/slow/compiled.py)."""
    plain, compiled = (
        Training(
            load_task("digits", COLOURED | change), Registry().compose("baseline"), 0, data(), ProcessGroup(torch.device("cpu"))
        )
        for change in ({}, {"speed.compile": True})
    )
    assert compiled.tensors().keys() == plain.tensors().keys()


def test_training_and_evaluation_are_each_compiled_once_for_a_fixed_batch(one_thread: None) -> None:
    """In the order of a run: the evaluation, with an odd last chunk and held-out images of another number, comes first."""
    task = load_task("digits", COLOURED | {"network.dropout": 0.0, "speed.compile": True, "sampler.batch": 10})
    plain = load_task("digits", COLOURED | {"network.dropout": 0.0, "sampler.batch": 10})
    with recorded_graphs((3, 16, 16)) as graphs:
        runs = [
            Training(one, Registry().compose("min-snr"), 0, data(), ProcessGroup(torch.device("cpu"))) for one in (task, plain)
        ]
        chance = torch.Generator().manual_seed(0)
        for counts in ((10, 7), (23, 8)):
            for count in counts:
                x, t = torch.randn(count, 3, 16, 16, generator=chance), torch.randint(0, 1000, (count,), generator=chance)
                compiled, expected = (run.predict(x, t, torch.arange(count) % 4) for run in runs)
                torch.testing.assert_close(compiled, expected)
            for run in runs:
                run.advance(2)
    assert graphs == [[10], [12]]
    assert all(isinstance(size, int) for (size,) in graphs)
    torch.testing.assert_close(*(run.pending_losses() for run in runs))


@pytest.mark.parametrize("changes", [{}, {"speed.channels_last": True}, {"network.heads": 4}])
def test_attention_takes_the_flash_kernel(changes: dict[str, object], one_thread: None) -> None:
    training = Training(
        load_task("digits", COLOURED | changes), Registry().compose("baseline"), 0, data(), ProcessGroup(torch.device("cpu"))
    )
    with torch.profiler.profile() as profile:
        training.advance(1)
    kernels = {event.key for event in profile.key_averages() if "attention" in event.key}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in kernels
    assert "aten::_scaled_dot_product_attention_math" not in kernels
