"""flow_matching: its linear path and its ODE solver; the network is diffusers' UNet2DModel. Noise is at time 0, data at 1."""

from argparse import Namespace
from pathlib import Path

import digits
import torch
from diffusers import UNet2DModel
from diffusers_loop import build
from flow_matching.path import AffineProbPath
from flow_matching.path.scheduler import CondOTScheduler
from flow_matching.solver import ODESolver
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import fidrace.torch as fr  # race


def velocity(model: UNet2DModel, x: Tensor, t: Tensor) -> Tensor:
    return model(x, 1000 * t).sample  # its embedding is made for timesteps


def train(options: Namespace) -> None:
    model, path = build(), AffineProbPath(CondOTScheduler())
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    parts = {"model": model, "ema": ema, "optimizer": optimizer}
    race = fr.path(options.race, data_at=1, horizon=options.steps, seed=options.seed, trained="flow")  # race
    parts["race"] = race  # race
    for n, x_1 in digits.batches(digits.resume(options.out, parts), options.steps):
        x_0 = torch.randn_like(x_1)
        t = torch.rand(len(x_1))
        t, weight = race(t)  # race
        at = path.sample(x_0=x_0, x_1=x_1, t=t)
        losses = (velocity(model, at.x_t, at.t) - at.dx_t).square().mean((1, 2, 3))
        loss = (weight * losses).mean()  # race, for: loss = losses.mean()
        optimizer.zero_grad()
        loss.backward()
        with race.step(optimizer, losses):  # race
            optimizer.step()
        ema.update_parameters(model)
        if (n + 1) % options.save_every == 0:
            digits.save(options.out, n + 1, parts)


def sample(checkpoint: Path, latents: Tensor) -> Tensor:
    ema = AveragedModel(build())
    ema.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    ema.eval()
    solver = ODESolver(lambda x, t: velocity(ema.module, x, t.expand(len(x))))
    return solver.sample(latents, step_size=0.1, method="midpoint")


if __name__ == "__main__":
    digits.main(train, sample)
