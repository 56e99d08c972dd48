"""Averages of the weights: their responses, and what they do to the network that is trained."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from ema_pytorch import EMA

from fidrace.data.loading import load_data
from fidrace.method.base import NoiseSchedule
from fidrace.method.noise_schedule import cosine_abar
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

pytestmark = pytest.mark.usefixtures("one_thread")
TASK = load_task("digits", {"ema.decay": 0.9})


def training(name: str) -> Training:
    return Training(TASK, Registry().compose(name), 0, load_data(TASK.data), ProcessGroup(torch.device("cpu")))


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_the_power_average_has_the_width_that_its_parameter_says(sigma: float) -> None:
    """EDM2's response: step i of N has the weight that a power of i says, with the standard deviation sigma N."""
    method = Registry().compose(f"power-ema[sigma={sigma}]")
    method.prepare(NoiseSchedule(cosine_abar(1000)))
    share = np.array([])
    for n in range(1, 5001):
        decay = method.decay(n)
        assert decay is not None
        share = np.append(share * decay, 1 - decay)
    i = np.arange(1, 5001) / 5000
    assert share.sum() == pytest.approx(1, abs=1e-9)
    mean = (share * i).sum()
    assert np.sqrt((share * (i - mean) ** 2).sum()) == pytest.approx(sigma, rel=0.002)
    slope = np.polyfit(np.log(i[500:]), np.log(share[500:]), 1)[0]
    assert mean == pytest.approx((slope + 1) / (slope + 2), rel=0.002)  # of the density i^gamma


def test_an_average_that_warms_up_forgets_its_beginning() -> None:
    one = Registry().compose("ema-warmup")
    one.prepare(NoiseSchedule(cosine_abar(1000), ema_decay=0.9999))
    left = np.prod([one.decay(n) for n in range(1, 10_001)])  # type: ignore[misc]
    assert left < 1e-9 < 0.36 < 0.9999**10_000
    assert one.decay(1) == 2 / 11
    assert one.decay(10**6) == 0.9999


@pytest.mark.parametrize("name", ["baseline", "ema-warmup", "power-ema", "no-ema"])
def test_the_average_is_the_recursion_of_its_decays(name: str) -> None:
    one = training(name)
    mean = weights(one.ema)
    for n in range(1, 8):
        one.step()
        decay = one.method.decay(n)
        mean = mean + (1 - (0.9 if decay is None else decay)) * (weights(one.network) - mean)
        torch.testing.assert_close(weights(one.ema), mean, rtol=0, atol=1e-6)
    assert torch.equal(weights(one.ema), weights(one.network)) == (name == "no-ema")


def test_switching_is_that_of_another_library() -> None:
    """ema_pytorch beside the loop, given the weights that each step comes to: it averages and switches as the method does."""
    one = training("switch-ema[every=4]")
    online = deepcopy(one.network)
    theirs = EMA(online, beta=0.9, update_after_step=-2, update_every=1, power=1e9, update_model_with_ema_every=None)
    theirs.step.fill_(5)  # past its warm-up
    theirs.initted.fill_(True)
    for n in range(1, 10):
        before = weights(one.network)
        one.step()
        if n % 4:
            online.load_state_dict(one.network.state_dict())
            theirs.update()
            torch.testing.assert_close(weights(one.ema), weights(theirs.ema_model), rtol=0, atol=1e-6)
            assert not torch.equal(weights(one.network), weights(one.ema))
        else:
            assert torch.equal(weights(one.network), weights(one.ema))
            assert not torch.equal(weights(one.network), before)
            theirs.ema_model.load_state_dict(one.ema.state_dict())
            theirs.update_model_with_ema()
            assert torch.equal(weights(online), weights(one.network))


@pytest.mark.parametrize("name", ["switch-ema[every=3]", "power-ema"])
def test_interrupted_and_resumed_is_uninterrupted(name: str) -> None:
    whole, first, second = (training(name) for _ in range(3))
    whole.advance(8)
    first.advance(4)
    second.load(first.tensors(), 4, 0.0)
    second.advance(4)
    assert torch.equal(weights(whole.network), weights(second.network))
    assert torch.equal(weights(whole.ema), weights(second.ema))


def test_a_decay_outside_its_range_is_named(tmp_path) -> None:
    (tmp_path / "over.py").write_text(
        "from fidrace.method import Method\n\nclass Over(Method, name='over', source='', evidence='inferred'):\n"
        "    '''Over.'''\n    def decay(self, n):\n        return 1 + n / 100\n"
    )
    method = Registry([tmp_path]).compose("over")
    with pytest.raises(ValueError, match=r"over: decay is 1\.01 at step 1, outside \[0, 1\]"):
        method.decay(1)
