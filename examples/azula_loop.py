"""azula: KarrasDenoiser, EDM's preconditioning, in sigma space; the loop draws sigma and weights it as EDM does."""

import math
from argparse import Namespace
from pathlib import Path

import digits
import torch
from azula.denoise import KarrasDenoiser
from azula.nn.layers import SineEncoding
from azula.nn.unet import UNet
from azula.noise import VESchedule
from azula.sample import DDIMSampler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import fidrace.torch as fr  # race

LOW, HIGH = 0.002, 80.0


class Backbone(nn.Module):
    """azula's U-Net, modulated by sines of the time that the denoiser gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoding = nn.Sequential(SineEncoding(32), nn.Linear(32, 64), nn.SiLU())
        self.unet = UNet(1, 1, hid_channels=(16, 32), hid_blocks=(2, 2), mod_features=64)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.unet(x, self.encoding(t))


def build() -> KarrasDenoiser:
    return KarrasDenoiser(Backbone(), VESchedule(LOW, HIGH))


def time_of(sigma: Tensor) -> Tensor:
    return torch.log(sigma / LOW) / math.log(HIGH / LOW)


def train(options: Namespace) -> None:
    denoiser = build()
    ema = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=2e-3)
    parts = {"model": denoiser, "ema": ema, "optimizer": optimizer}
    race = fr.lognormal(options.race, P_mean=-1.2, P_std=1.2, horizon=options.steps, seed=options.seed, trained="x0")  # race
    parts["race"] = race  # race
    for n, clean in digits.batches(digits.resume(options.out, parts), options.steps):
        sigma = (torch.randn(len(clean)) * 1.2 - 1.2).exp()
        sigma, weight = race(sigma)  # race
        noisy = clean + sigma[:, None, None, None] * torch.randn_like(clean)
        own = (sigma**2 + 0.5**2) / (sigma * 0.5) ** 2
        losses = own * (denoiser(noisy, time_of(sigma)).mean - clean).square().mean((1, 2, 3))
        losses = losses / own if race.claims_weight else losses  # race
        loss = (weight * losses).mean()  # race, for: loss = losses.mean()
        optimizer.zero_grad()
        loss.backward()
        with race.step(optimizer, losses):  # race
            optimizer.step()
        ema.update_parameters(denoiser)
        if (n + 1) % options.save_every == 0:
            digits.save(options.out, n + 1, parts)


def sample(checkpoint: Path, latents: Tensor) -> Tensor:
    ema = AveragedModel(build())
    ema.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    ema.eval()
    return DDIMSampler(ema.module, steps=18, silent=True)(latents * HIGH)


if __name__ == "__main__":
    digits.main(train, sample)
