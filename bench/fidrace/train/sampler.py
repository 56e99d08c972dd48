"""Sampling: latents in, images out. The same weights, latents and seed give the same images.

DDIM with eta = 0 (arXiv 2010.02502) adds no noise; ancestral sampling (arXiv 2006.11239) adds noise at every step but the last.
A flow is integrated from noise at time 1 to images at time 0. x[B, C, H, W] is one chunk of samples, from noise to images in
[-1, 1].
"""

import numpy as np
import torch
from torch import Tensor

from fidrace.method.base import Ints
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import FLOW_SAMPLERS, SamplerConfig
from fidrace.train.diffusion import Diffusion, Network


def leading_timesteps(T: int, steps: int) -> Ints:
    """`steps` timesteps, descending to 0, evenly spaced (improved-diffusion's "ddimN"; "leading" in arXiv 2305.08891)."""
    return (np.arange(steps) * T // steps)[::-1]


@torch.no_grad()
def sample(
    config: SamplerConfig,
    network: Network,
    diffusion: Diffusion,
    latents: Tensor,
    streams: Streams,
    labels: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """Images [N, C, H, W] from latents[N, C, H, W] on their device, in chunks of config.batch.

    `first` is the index of the first chunk. The noise of ancestral sampling is a function of (seed, index of the chunk, step),
    so several processes that share the chunks draw what one process would. A CPU's noise is not a GPU's.
    """
    images = []
    for index, x in enumerate(latents.split(config.batch)):
        y = None if labels is None else labels[index * config.batch :][: len(x)]
        if config.kind == "ddim":
            images.append(ddim(network, diffusion, x, config.steps, y))
        elif config.kind in FLOW_SAMPLERS:
            images.append(integrate(network, diffusion, x, config.steps, y, heun=config.kind == "heun"))
        else:
            generator = torch.Generator(x.device).manual_seed(streams.integer("ancestral", first + index))
            from fidrace.train.ancestral import ancestral

            images.append(ancestral(network, diffusion, x, config.steps, generator, y))
    return torch.cat(images)


def predict_at(
    network: Network, diffusion: Diffusion, x: Tensor, t: int, labels: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The network's prediction at x = x_t, and the variance's channels or None."""
    now = torch.full((len(x),), t, device=x.device)
    return diffusion.split_output(network(x, diffusion.network_timestep(now), labels))


@torch.no_grad()
def ddim(network: Network, diffusion: Diffusion, x: Tensor, steps: int, labels: Tensor | None = None) -> Tensor:
    """One chunk by DDIM (arXiv 2010.02502, eq. 12 with sigma = 0); a learned variance is not used."""
    timesteps = leading_timesteps(len(diffusion.abar), steps)
    for t, earlier in zip(timesteps, [*timesteps[1:], -1], strict=True):
        prediction, _ = predict_at(network, diffusion, x, int(t), labels)
        x0, eps = diffusion.x0_and_eps(x, prediction, int(t))
        abar = 1.0 if earlier < 0 else float(diffusion.abar[earlier])
        x = abar**0.5 * x0 + (1 - abar) ** 0.5 * eps
    return x


@torch.no_grad()
def integrate(
    network: Network, diffusion: Diffusion, x: Tensor, steps: int, labels: Tensor | None = None, heun: bool = False
) -> Tensor:
    """One chunk along the flow dx/ds = velocity in equal steps of its time s, by Euler's method, or by Heun's, which takes the
    mean of the velocities at both ends of a step (EDM, arXiv 2206.00364, algorithm 1, without noise)."""

    def velocity(x: Tensor, s: float) -> Tensor:
        t = s * len(diffusion.abar) - 0.5  # of which the trained timesteps are the whole numbers
        now = torch.full((len(x),), t, device=x.device)
        return diffusion.split_output(network(x, diffusion.network_timestep(now), labels))[0]

    for k in range(steps, 0, -1):
        s, later = k / steps, (k - 1) / steps
        slope = velocity(x, s)
        if heun:
            slope = (slope + velocity(x + (later - s) * slope, later)) / 2
        x = x + (later - s) * slope
    return x
