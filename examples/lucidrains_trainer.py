"""denoising-diffusion-pytorch: its own Trainer, whose loop is not touched; the model draws its times through the race."""

from argparse import Namespace
from itertools import pairwise
from pathlib import Path
from typing import Any

import digits
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet
from ema_pytorch import EMA
from PIL import Image
from torch import Tensor

import fidrace.torch as fr  # race


class Model(GaussianDiffusion):
    """Times through `race`; its own weights are 1, because objective and min_snr_loss_weight are left at eps and off."""

    race: fr.Race  # race

    def forward(self, img: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        times = self.random_times(len(img))
        times, weight = self.race(times)  # race
        losses = super().forward(img, *args, times=times, loss_reduction="none", **kwargs)
        return (weight * losses).mean()  # race, for: return losses.mean()


def build() -> Model:
    network = Unet(dim=16, dim_mults=(1, 2), channels=1, attn_dim_head=8, attn_heads=2)
    return Model(network, image_size=8, timesteps=1000, sampling_timesteps=10, objective="pred_noise", auto_normalize=True)


def folder_of_images(folder: Path) -> Path:
    """The digits as the files that this Trainer reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, image in enumerate(((digits.images() + 1) * 127.5).round().to(torch.uint8)):
        Image.fromarray(image[0].numpy()).save(folder / f"{n:04d}.png")
    return folder


def train(options: Namespace) -> None:
    model = build()
    trainer = Trainer(
        model,
        str(folder_of_images(options.out / "images")),
        train_batch_size=digits.BATCH,
        train_lr=2e-3,
        train_num_steps=options.steps,
        augment_horizontal_flip=False,
        ema_decay=0.98,
        ema_update_every=1,
        save_and_sample_every=options.save_every,
        results_folder=str(options.out),
        num_samples=1,
        calculate_fid=False,
    )
    race = fr.discrete(options.race, model.alphas_cumprod, horizon=options.steps, seed=options.seed, trained="eps")  # race
    model.race = race  # race
    race.attach(trainer.opt)  # race
    trainer.train()


def sample(checkpoint: Path, latents: Tensor) -> Tensor:
    ema = EMA(build())
    ema.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    average = ema.ema_model.eval()
    steps = torch.linspace(-1, 999, 11).int().tolist()[::-1]
    for time, following in pairwise(steps):  # DDIM as in its ddim_sample, which draws latents of its own
        t = torch.full((len(latents),), time)
        noise, x0, *_ = average.model_predictions(latents, t, clip_x_start=True, rederive_pred_noise=True)
        ahead = average.alphas_cumprod[following] if following >= 0 else torch.tensor(1.0)
        latents = ahead.sqrt() * x0 + (1 - ahead).sqrt() * noise
    return latents


if __name__ == "__main__":
    digits.main(train, sample)
