"""What a race costs a loop: a step of a network of a million parameters with it and without, in turn.

    python -m benchmarks.your_loop [ROUNDS]      its last figures are in docs/your-loop.md

The network is diffusers' UNet2DModel on 16 images of 16x16. Medians over the rounds of the time of the race's own lines, beside
the median of the rest of the step.
"""

import sys
from time import perf_counter

import numpy as np
import torch
from diffusers import UNet2DModel

import fidrace.torch as fr
from fidrace.method.noise_schedule import cosine_abar

METHODS = ("baseline", "min-snr", "clts+mdlrc", "stratified", "uncertainty", "speed[variant=code]")
BATCH = 16


def main(rounds: int) -> None:
    torch.manual_seed(0)
    model = UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
    )
    count = sum(parameter.numel() for parameter in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    races = {name: fr.discrete(name, cosine_abar(1000), horizon=10**6, trained="eps") for name in METHODS}
    race_ms: dict[str, list[float]] = {name: [] for name in METHODS}
    step_ms: list[float] = []
    for _ in range(rounds):
        for name, race in races.items():
            begin = perf_counter()
            t = torch.randint(0, 1000, (BATCH,))
            drawn = perf_counter()
            t, weight = race(t)
            ready = perf_counter()
            losses = model(torch.randn(BATCH, 3, 16, 16), t).sample.square().mean((1, 2, 3))
            optimizer.zero_grad()
            (weight * losses).mean().backward()
            before = perf_counter()
            with race.step(optimizer, losses):
                inside = perf_counter()
                optimizer.step()
                after = perf_counter()
            end = perf_counter()
            own = (ready - drawn) + (inside - before) + (end - after)
            race_ms[name].append(1e3 * own)
            step_ms.append(1e3 * (end - begin - own))
    step = float(np.median(step_ms[len(METHODS) :]))
    print(f"{count:,} parameters, a step of {BATCH} images: {step:.1f} ms without the race; {rounds} rounds")
    for name in METHODS:
        own = float(np.median(race_ms[name][1:]))
        print(f"{name:22} {own:.3f} ms, {100 * own / step:.2f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
