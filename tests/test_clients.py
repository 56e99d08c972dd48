"""The clients in examples/: a small training with the method `baseline` is the plain loop's, to the last digit; and
docs/your-loop.md shows what the race adds."""

import argparse
import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
CLIENTS = ("diffusers_loop", "lucidrains_trainer", "azula_loop", "flow_matching_loop")
STEPS = 6

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:torch.*"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[None]:
    """The examples import one another as scripts of one folder do."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = {*sys.modules}
    yield
    for name in {*sys.modules} - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == EXAMPLES:
            del sys.modules[name]


def train(module: ModuleType | dict, out: Path, method: str) -> dict[str, torch.Tensor]:
    """The averaged weights after a few steps."""
    out.mkdir()
    torch.manual_seed(0)
    options = argparse.Namespace(out=out, seed=0, race=method, steps=STEPS, save_every=STEPS)
    (module["train"] if isinstance(module, dict) else module.train)(options)
    (file,) = out.glob("*.pt")
    content = torch.load(file, weights_only=True)
    ema = content["ema"].get("shadow_params", content["ema"])
    return dict(enumerate(ema)) if isinstance(ema, list) else ema


@pytest.mark.parametrize("name", CLIENTS)
def test_a_training_with_baseline_is_the_plain_one_to_the_last_digit(name: str, tmp_path: Path, clients: None) -> None:
    pytest.importorskip({"lucidrains_trainer": "denoising_diffusion_pytorch", "azula_loop": "azula"}.get(name, "flow_matching"))
    plain_text = importlib.import_module("plain").plain((EXAMPLES / f"{name}.py").read_text())
    assert "fidrace.torch" not in plain_text
    (tmp_path / "plain_loop.py").write_text(plain_text)
    raced = importlib.import_module(name)
    drawn = {
        "plain": train(runpy.run_path(str(tmp_path / "plain_loop.py")), tmp_path / "plain", "baseline"),
        "baseline": train(raced, tmp_path / "baseline", "baseline"),
        "min-snr": train(raced, tmp_path / "min-snr", "min-snr"),
    }
    for key, value in drawn["plain"].items():
        assert torch.equal(value, drawn["baseline"][key]), key
    assert any(not torch.equal(value, drawn["min-snr"][key]) for key, value in drawn["plain"].items())


def test_the_documented_difference_is_the_example_s() -> None:
    doc = (EXAMPLES.parent / "docs/your-loop.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```diff\n(.*?)```", doc, re.DOTALL)
    difference = runpy.run_path(str(EXAMPLES / "plain.py"))["difference"]
    for name in CLIENTS:
        lines = [line for line in difference(name).splitlines() if len(line) > 1]
        assert 5 <= len(lines) <= 10
        if name == "diffusers_loop":
            assert lines == shown.splitlines()
