"""DDIM (arXiv 2010.02502) with eta = 0: latents in, images out, the same images for the same latents and weights."""

import numpy as np
import torch
from torch import Tensor, nn

from bench.train.diffusion import Diffusion
from methods.base import Ints


def leading_timesteps(T: int, steps: int) -> Ints:
    """`steps` timesteps, descending to 0, evenly spaced (improved-diffusion's respacing; "leading" in arXiv 2305.08891)."""
    return (np.arange(steps) * T // steps)[::-1]


@torch.no_grad()
def ddim(
    network: nn.Module, diffusion: Diffusion, latents: Tensor, steps: int, labels: Tensor | None = None, batch: int = 512
) -> Tensor:
    """Images [N, C, H, W] in [-1, 1] from latents[N, C, H, W], `batch` at a time, on the latents' device."""
    chunks = []
    timesteps = leading_timesteps(len(diffusion.abar), steps)
    for start in range(0, len(latents), batch):
        x, y = latents[start : start + batch], None if labels is None else labels[start : start + batch]
        for t, earlier in zip(timesteps, [*timesteps[1:], -1], strict=True):
            now = torch.full((len(x),), int(t), device=x.device)
            x0, eps = diffusion.x0_and_eps(x, network(x, diffusion.scaled(now), y), int(t))
            abar = 1.0 if earlier < 0 else float(diffusion.abar[earlier])
            x = abar**0.5 * x0 + (1 - abar) ** 0.5 * eps
        chunks.append(x)
    return torch.cat(chunks)
