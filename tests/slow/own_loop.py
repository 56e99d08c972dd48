"""fidrace's own loop, driven as somebody else's trainer, beside the same study run inside.

    python -m tests.slow.own_loop [DIR] [--seeds N]      its last figures are in docs/your-trainer.md

Outside, a command trains one run and saves the averaged weights, and another draws samples from them as image bytes. The
factors must be those of `fidrace run digits -m min-snr -m mdlrc`.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fidrace.data.base import quantise
from fidrace.data.loading import load_data
from fidrace.evaluate.evaluator import Evaluator
from fidrace.method.registry import load_method
from fidrace.spec.task import load_task
from fidrace.storage import checked_tensors as sealed
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

METHODS = ("baseline", "min-snr", "mdlrc")
TASK = load_task("digits")
HERE = shlex.join([sys.executable, "-m", "tests.slow.own_loop"])
STUDY = f"""
methods = {list(METHODS)}
seeds = SEEDS
budget = {TASK.budget.iterations}
evaluations = {TASK.budget.evaluations}
target = {TASK.target.fd}
window = {TASK.target.window}

[trainer]
source = "{Path(__file__).parents[2]}"
command = "{HERE} train {{out}} --seed {{seed}} --method {{method}}"
checkpoints = 'step-(?P<step>\\d+)\\.safetensors'
batch = {TASK.optimizer.batch}
evaluate = "{HERE} sample {{checkpoint}} --seed {{seed}} --out {{samples}}.npz"
samples = {TASK.quality.samples}
ref = "digits"
"""


def start(seed: int, method: str) -> Training:
    torch.set_num_threads(1)
    return Training(TASK, load_method(method), seed, load_data(TASK.data), ProcessGroup(torch.device("cpu")))


def train(out: Path, seed: int, method: str) -> None:
    training = start(seed, method)
    for step in TASK.budget.evaluation_steps()[1:-1]:
        training.advance(step - training.iteration)
        training.observe_losses()
        sealed.write(out / f"step-{step:05d}.safetensors", dict(training.ema.state_dict()), {})


def sample(checkpoint: Path, seed: int, out: Path) -> None:
    training = start(seed, "baseline")
    training.ema.load_state_dict(sealed.read(checkpoint)[0])
    evaluator = Evaluator(TASK, load_data(TASK.data), training)
    drawn = [evaluator.samples(*chunk).numpy() for chunk in evaluator.chunks(TASK.quality.samples) if chunk]
    images = quantise(np.concatenate(drawn), evaluator.data.levels)
    np.savez(out, arr_0=np.round((images + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1))


def compare(folder: Path, seeds: int) -> None:
    fidrace = [sys.executable, "-m", "fidrace", "run"]
    methods = [word for method in METHODS[1:] for word in ("-m", method)]
    subprocess.run([*fidrace, "digits", *methods, "--seeds", str(seeds), "--out", str(folder / "inside")], check=True)
    (folder / "outside.toml").write_text(STUDY.replace("SEEDS", str(seeds)))
    subprocess.run([*fidrace, str(folder / "outside.toml"), "--out", str(folder / "outside")], check=True)
    folders = [folder / name for name in ("inside", "outside")]
    run = ["method", "seed", "iteration"]
    inside, outside = (pd.read_csv(one / "evals.csv").set_index(run)["fd"] for one in folders)
    apart = ((outside - inside) / inside).dropna().abs()
    print(f"{len(apart)} distances of {len(outside)}: largest relative difference {apart.max():.2g}")
    tables = [pd.read_csv(one / "speedups.csv").query("axis == 'iterations'").set_index("method") for one in folders]
    for method in METHODS[1:]:
        rows = [one.loc[method] for one in tables]
        told = [f"{row['speedup']:.6f} ({row['ci_low']:.4f} to {row['ci_high']:.4f})" for row in rows]
        print(f"{method}: inside {told[0]}, outside {told[1]}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", nargs="?", default="compare")
    parser.add_argument("place", nargs="?", type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--method")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.verb == "train":
        train(given.place, given.seed, given.method)
    elif given.verb == "sample":
        sample(given.place, given.seed, given.out)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder) if given.verb == "compare" else Path(given.verb), given.seeds)


if __name__ == "__main__":
    main()
