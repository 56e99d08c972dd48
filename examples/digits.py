"""What the four trainers of this folder share: the images, the command line, checkpoints that resume, and samples as .npz.

    python examples/diffusers_loop.py train --out DIR --seed 0 --race min-snr --steps 400
    python examples/diffusers_loop.py sample DIR/step-000400.pt --first 0 --count 500 --out samples.npz

Nothing here is fidrace's: a trainer that is to be raced needs a checkpoint now and then, and a command that samples from one.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

BATCH = 64


def images() -> Tensor:
    """1,500 handwritten digits [N, 1, 8, 8] in [-1, 1], the training images of fidrace's task `digits`."""
    with np.load(str(files("fidrace.data") / "digits.npz"), allow_pickle=False) as file:
        return torch.from_numpy(file["train"].astype(np.float32) / 8 - 1)


def batches(first: int, steps: int) -> Iterator[tuple[int, Tensor]]:
    """(n, images of step n), n from `first` on, by torch's own generator."""
    data = images()
    for n in range(first, steps):
        yield n, data[torch.randint(0, len(data), (BATCH,))]


def save(folder: Path, step: int, parts: dict[str, Any]) -> None:
    """Write a checkpoint of everything with a state_dict, and of torch's generator; it appears whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    partial = folder / "step.partial"
    torch.save({"step": step, "generator": torch.get_rng_state(), **state}, partial)
    partial.rename(folder / f"step-{step:06d}.pt")


def resume(folder: Path, parts: dict[str, Any]) -> int:
    """Load the last checkpoint, if there is one, and return its step."""
    found = sorted(folder.glob("step-*.pt"))
    if not found:
        return 0
    state = torch.load(found[-1], weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["generator"])
    return int(state["step"])


def main(train: Callable[[argparse.Namespace], None], sample: Callable[[Path, Tensor], Tensor]) -> None:
    """The command line: `train(options)`, or `sample(checkpoint, latents)` of latents [N, 1, 8, 8] that its seeds determine."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("train")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--seed", type=int, required=True)
    one.add_argument("--race", default="baseline")
    one.add_argument("--steps", type=int, default=400)
    one.add_argument("--save-every", type=int, default=50)
    other = verbs.add_parser("sample")
    other.add_argument("checkpoint", type=Path)
    other.add_argument("--first", type=int, default=0)
    other.add_argument("--count", type=int, default=500)
    other.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.verb == "train":
        options.out.mkdir(parents=True, exist_ok=True)
        described = {name: value for name, value in vars(options).items() if name not in ("out", "verb")}
        (options.out / "config.json").write_text(json.dumps(described | {"batch": BATCH}))
        torch.manual_seed(options.seed)
        train(options)
        return
    latents = torch.cat([torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in span(options)])
    with torch.no_grad():
        drawn = sample(options.checkpoint, latents).clamp(-1, 1)
    levels = ((drawn + 1) * 8).round() / 16 * 255  # the digits have 17 levels
    np.savez(options.out, arr_0=levels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def span(options: argparse.Namespace) -> range:
    return range(options.first, options.first + options.count)
