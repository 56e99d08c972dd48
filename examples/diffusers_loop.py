"""diffusers: UNet2DModel and DDPMScheduler, in a loop of the shape of its unconditional example."""

from argparse import Namespace
from pathlib import Path

import digits
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor

import fidrace.torch as fr  # race

SCHEDULE = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}


def build() -> UNet2DModel:
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )


def train(options: Namespace) -> None:
    model, process = build(), DDPMScheduler(**SCHEDULE)
    ema = EMAModel(model.parameters(), decay=0.98)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = get_cosine_schedule_with_warmup(optimizer, 50, options.steps)
    parts = {"model": model, "ema": ema, "optimizer": optimizer, "schedule": schedule}
    race = fr.discrete(options.race, process.alphas_cumprod, horizon=options.steps, seed=options.seed, trained="eps")  # race
    parts["race"] = race  # race
    for n, clean in digits.batches(digits.resume(options.out, parts), options.steps):
        noise = torch.randn_like(clean)
        timesteps = torch.randint(0, 1000, (len(clean),))
        timesteps, weight = race(timesteps)  # race
        predicted = model(process.add_noise(clean, noise, timesteps), timesteps).sample
        losses = F.mse_loss(predicted, noise, reduction="none").mean((1, 2, 3))
        loss = (weight * losses).mean()  # race, for: loss = losses.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        with race.step(optimizer, losses):  # race
            optimizer.step()
        schedule.step()
        ema.step(model.parameters())
        if (n + 1) % options.save_every == 0:
            digits.save(options.out, n + 1, parts)


def sample(checkpoint: Path, latents: Tensor) -> Tensor:
    model, process = build().eval(), DDIMScheduler(**SCHEDULE)
    ema = EMAModel(model.parameters())
    ema.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    ema.copy_to(model.parameters())
    process.set_timesteps(10)
    for t in process.timesteps:
        latents = process.step(model(latents, t).sample, t, latents).prev_sample
    return latents


if __name__ == "__main__":
    digits.main(train, sample)
