"""A race of training loops: a step of cifar10's network here, and in a plain loop of the same shape.

    python -m benchmarks.training [BATCH] [ROUNDS]      its last figures are in docs/speed.md

The plain loop is what one would write by hand: diffusers' UNet2DModel in the shape of OpenAI's network, with as many
parameters, the mean squared error of eps, torch's AdamW, fused, and an average of the weights in few kernels. Both train on
L_simple, without a learned variance, on random images that are on the device. They take turns, one step each, and each is the
first in every second round; what a thread draws ahead is drawn before the clock starts. Medians over the rounds.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from time import perf_counter

import numpy as np
import torch
from diffusers import UNet2DModel
from torch.nn.functional import mse_loss

from fidrace.execute.estimate import random_training
from fidrace.execute.local import devices
from fidrace.execute.provenance import device_name
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.task import Task, load_task
from fidrace.train.process_group import ProcessGroup

WIDTHS = (64, 128)
HEADS = 4
PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp32", "bf16")}


def plain_step(task: Task, batch: int, device: torch.device) -> Callable[[], None]:
    """One step of a plain loop over what `task` trains, in its precision."""
    net, half = task.network, task.speed.precision == "bf16"
    widths = tuple(net.channels * multiplier for multiplier in net.multipliers)
    attention = [task.data.size >> level in net.attention_resolutions for level in range(len(widths))]
    model = UNet2DModel(
        sample_size=task.data.size,
        block_out_channels=widths,
        layers_per_block=net.res_blocks,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        attention_head_dim=widths[-1] // HEADS,
        attn_norm_num_groups=32,
        resnet_time_scale_shift="scale_shift",
        dropout=net.dropout,
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.optimizer.lr, weight_decay=0.0, fused=True)
    weights = [parameter.detach() for parameter in model.parameters()]
    average = [weight.clone() for weight in weights]
    steps = task.diffusion.timesteps
    abar = torch.from_numpy(noise_schedule(task.diffusion.schedule, steps)).float().to(device)
    images = torch.rand(batch, *task.data.shape, device=device) * 2 - 1

    def step() -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        x0 = images[torch.randint(batch, (batch,), device=device)]
        t, eps = torch.randint(steps, (batch,), device=device), torch.randn_like(x0)
        signal = abar[t, None, None, None]
        with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
            predicted = model(signal.sqrt() * x0 + (1 - signal).sqrt() * eps, t * (1000 / steps), return_dict=False)[0]
        optimizer.zero_grad()
        mse_loss(predicted.float(), eps).backward()
        optimizer.step()
        torch._foreach_lerp_(average, weights, 1 - task.ema.decay)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def race(task: Task, batch: int, rounds: int, ranks: ProcessGroup) -> tuple[float, float, float]:
    """Images a second here and in the plain loop, and the median ratio of the two."""
    ours = random_training(task, batch, ranks)
    steps = [lambda: ours.advance(1), plain_step(task, batch, ranks.device)]
    seconds: list[list[float]] = [[], []]
    for round_ in range(rounds + 2):
        for turn in ((0, 1), (1, 0))[round_ % 2]:
            for _, drawn in ours.batches.pending:
                drawn.result()
            start = perf_counter()
            steps[turn]()
            if round_ >= 2:
                seconds[turn].append(perf_counter() - start)
    here, plain = map(np.array, seconds)
    return batch / float(np.median(here)), batch / float(np.median(plain)), float(np.median(plain / here))


def main(batch: int, rounds: int) -> None:
    ranks = ProcessGroup(torch.device(devices("auto")[0]))
    kind = ranks.device.type
    print(f"{batch} images a step, {device_name(ranks)}, torch {torch.__version__}, {rounds} rounds")
    print("| width | precision | images/s here | images/s of the plain loop | ratio |")
    print("|---|---|---|---|---|")
    for width in WIDTHS:
        for precision in PRECISIONS.get(kind, ("fp32",)):
            changes = {"network.channels": width, "diffusion.learned_sigma": False, "speed.precision": precision}
            here, plain, ratio = race(load_task("cifar10", changes), batch, rounds, ranks)
            print(f"| {width} | {precision} | {here:.3g} | {plain:.3g} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8, int(sys.argv[2]) if len(sys.argv) > 2 else 7)
