"""What hooks return is looked at: nonsense is named, and what does not go together is refused."""

from pathlib import Path

import pytest
import torch

from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup
from tests.conftest import Refused

pytestmark = pytest.mark.usefixtures("one_thread")
AUXILIARY = "def auxiliary(self, predicted, wanted, taps, gather): return "
TARGET = "def target(self, x0, eps, signal, noise, draw): return "
OPTIMIZER = "def build_optimizer(self, groups, lr, betas, weight_decay): return "
COUPLE = "def couple(self, x0, eps, draw): return "


def training(name: str, registry: Registry | None = None, **changes: object) -> Training:
    task = load_task("digits", changes)
    method = (registry or Registry()).compose(name)
    return Training(task, method, 0, load_data(task.data), ProcessGroup(torch.device("cpu")))


def write_method(folder: Path, *lines: str) -> Registry:
    """The registry with the method `odd`, whose class has these lines."""
    head = "from fidrace.method import Method\n\nclass Odd(Method, name='odd', source='', evidence='inferred'):\n"
    (folder / "odd.py").write_text(head + "".join(f"    {line}\n" for line in lines))
    return Registry([folder])


@pytest.mark.parametrize(
    ("hook", "named"),
    [
        (COUPLE + "(None, eps[..., :7])", "noise has shape torch.Size([64, 1, 8, 7])"),
        (COUPLE + "(None, eps.double())", "noise has dtype torch.float64"),
        (COUPLE + "(None, eps.numpy())", "noise is ndarray, not a tensor"),
        (COUPLE + "(None, eps / 0)", "noise is not finite"),
        (COUPLE + "([0, 1, 2], eps)", "images' places are int64[3], not 64 whole numbers"),
        (COUPLE + "(draw.uniforms() * 64, eps)", "images' places are float64[64], not 64 whole numbers"),
        (COUPLE + "([*range(63), 64], eps)", "an image's place is 64, not one of 0 to 63"),
        (COUPLE + "([*range(63), -1], eps)", "an image's place is -1, not one of 0 to 63"),
        (COUPLE + "(None, eps.mul_(0.9))", "it writes into a tensor"),
        (COUPLE + "(x0.zero_() is None or None, eps)", "it writes into a tensor"),
        (TARGET + "eps.add_(0.1 * draw.normals()), x0, eps", "it writes into a tensor"),
        (AUXILIARY + "(predicted.mean(), wanted.mul_(2))[0]", "it writes into a tensor"),
        (OPTIMIZER + "[__import__('torch').nn.init.zeros_(p) for p in groups['output']] and None", "it writes into a tensor"),
        (AUXILIARY + "wanted.square().mean()", "auxiliary has no gradient"),
        (AUXILIARY + "predicted.mean() / 0", "auxiliary is not finite"),
        ("def prediction(self): return 'velocity'", "prediction 'velocity'"),
        ("def feedback(self, n): return 'no'", "feedback is 'no', not True or False"),
    ],
)
def test_a_hook_that_returns_what_cannot_be_used_is_named(hook: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^odd: ") as refusal:
        training("odd", write_method(tmp_path, hook)).step()
    assert named in str(refusal.value)


def test_what_can_be_known_before_is_refused_before_anything_runs(refused: Refused, tmp_path: Path) -> None:
    assert "looks at the whole batch" in refused("run", "digits", "-m", "dispersive", "--set", "speed.microbatch=16")
    for line, named in (
        ("taps = ('midle',)", "no place 'midle'; did you mean 'middle'"),
        ("def prediction(self): return 'velocity'", "prediction 'velocity'"),
        ("def feedback(self, n): return 'no'", "feedback is 'no', not True or False"),
    ):
        folder = tmp_path / str(len(line))
        folder.mkdir()
        write_method(folder, line, AUXILIARY + "predicted.mean()")
        assert named in refused("run", "digits", "-m", "odd", "--methods-path", folder)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="the network of a flow predicts its velocity"):
        training("v-prediction", **{"diffusion.schedule": "flow", "diffusion.prediction": "flow", "sampler.kind": "euler"})
    with pytest.raises(InputError, match="a learned variance is trained beside the usual one"):
        training("ddpm-ip", **{"diffusion.learned_sigma": True})
    with pytest.raises(InputError, match=r"speed\.microbatch passes parts"):
        training("dispersive", **{"speed.microbatch": 16})
    with pytest.raises(InputError, match="'immiscible' and 'shuffle' both claim the noise"):
        Registry().compose("immiscible+shuffle")
    with pytest.raises(ValueError, match="the task has classes"):
        training("stable-target", **{"network.classes": 10}).step()
