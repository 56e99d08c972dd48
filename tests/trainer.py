"""Somebody's trainer, for tests: its checkpoint is one number, the noise left in its samples, which falls with the step.

`--method` fast falls 1.5 times as fast as slow, so that the factor is known. The others misbehave, each in its own way.
"""

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path

FACTOR = 1.5
EVERY = 10


def train(out: Path, seed: int, method: str, steps: int, begin: int) -> None:
    config = {"seed": seed, "method": method, "optimizer": {"lr": 2e-4 if method == "other-lr" else 1e-4}}
    (out / "run").mkdir(exist_ok=True)
    (out / "run" / "config.json").write_text(json.dumps(config))
    if method == "hangs":
        time.sleep(600)
    chance = random.Random(seed).gauss(0, 0.01) if method != "drifts" else random.gauss(0, 0.05)
    for n in range(begin + EVERY, steps + 1, EVERY):
        if method == "slowly":
            time.sleep(0.3)
        if method == "fails" and n > 20:
            sys.exit("CUDA error: an illegal memory access\nwas encountered at step 30")
        if method == "lingers" and n > EVERY and not (out.parent / "lingered").exists():
            (out.parent / "lingered").touch()
            time.sleep(60)  # the first time
        if method == "silent":
            continue
        done = n * (FACTOR if method == "fast" else 1.0) * (1 + chance)
        noise = math.nan if method == "explodes" and n > 20 else math.exp(-done / steps)
        text = json.dumps({"noise": noise})
        cut = method == "cuts" and n == steps and not (out.parent / "cut").exists()
        (out / "run" / f"ckpt-{n:05d}.json").write_text(text[:5] if cut else text)
        if cut:
            (out.parent / "cut").touch()  # the first time
        if method == "twice":
            (out / f"ckpt-{n:05d}.json").write_text(text)
        print(f"step {n}", flush=True)


def sample(checkpoint: Path, first: int, count: int, out: Path) -> None:
    from importlib.resources import files

    import numpy as np  # here, so that the other verbs start at once

    noise = json.loads(checkpoint.read_text())["noise"]
    with np.load(str(files("fidrace.data") / "digits.npz")) as file:
        data = file["train"].astype(float) / 8 - 1
    rng = np.random.default_rng(first)
    images = data[rng.integers(len(data), size=count)] + noise * rng.normal(size=(count, 1, 8, 8))
    np.savez(out, arr_0=((images.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)[:, 0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb")
    parser.add_argument("place", type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--method")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--first", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.verb == "train":
        train(given.place, given.seed, given.method, given.steps, given.begin)
    elif given.verb == "sample":
        sample(given.place, given.first, given.count, given.out)
    else:  # its own FID, of a kind
        noise = json.loads(given.place.read_text())["noise"]
        print(f"computing\nfid = {100 * noise:.4f}\nkid = {noise}")


if __name__ == "__main__":
    main()
