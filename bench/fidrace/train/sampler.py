"""Sampling: latents in, images out. The same weights, latents and seed give the same images.

DDIM with eta = 0 (arXiv 2010.02502) adds no noise; ancestral sampling (arXiv 2006.11239) adds noise at every step but the last.
x[B, C, H, W] is one chunk of samples, from x_T to images in [-1, 1].
"""

import math

import numpy as np
import torch
from torch import Tensor

from fidrace.method.base import Ints
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import SamplerConfig
from fidrace.train.diffusion import Diffusion, Network
from fidrace.train.variational_bound import Posterior, learned_log_variance


def leading_timesteps(T: int, steps: int) -> Ints:
    """`steps` timesteps, descending to 0, evenly spaced (improved-diffusion's "ddimN"; "leading" in arXiv 2305.08891)."""
    return (np.arange(steps) * T // steps)[::-1]


def linspace_timesteps(T: int, steps: int) -> Ints:
    """`steps` timesteps, descending from T - 1 to 0, evenly spaced (improved-diffusion's respacing by a count; "linspace" in
    arXiv 2305.08891). A single step is at 0, as in improved-diffusion."""
    return np.round(np.arange(steps) * (T - 1) / max(steps - 1, 1)).astype(np.int64)[::-1]


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
        else:
            generator = torch.Generator(x.device).manual_seed(streams.integer("ancestral", first + index))
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


def reverse_sigma(posterior: Posterior, k: int, spread: Tensor | None) -> Tensor | float:
    """sigma of p(x_{k-1} | x_k): the learned one, or the root of beta~ ("fixed small") if spread is None."""
    if spread is None:
        return math.exp(0.5 * posterior.log_tilde[k])
    return torch.exp(0.5 * learned_log_variance(spread, float(posterior.log_beta[k]), float(posterior.log_tilde[k])))


@torch.no_grad()
def ancestral(
    network: Network,
    diffusion: Diffusion,
    x: Tensor,
    steps: int,
    generator: torch.Generator,
    labels: Tensor | None = None,
) -> Tensor:
    """One chunk by p(x_{t-1} | x_t) of the chain respaced to `steps` timesteps (arXiv 2102.09672, section 4).

    The mean is the posterior's at the clipped x0; the variance is the learned one or else beta~, both with the betas of the
    respaced chain. The network is evaluated at the timesteps of the chain that it was trained on.
    """
    timesteps = linspace_timesteps(len(diffusion.abar), steps)
    posterior = Posterior.of(diffusion.abar[timesteps[::-1]])
    for k, t in zip(reversed(range(steps)), timesteps, strict=True):  # k: t's index in the respaced chain
        prediction, spread = predict_at(network, diffusion, x, int(t), labels)
        x0, _ = diffusion.x0_and_eps(x, prediction, int(t))
        x = float(posterior.x0_weight[k]) * x0 + float(posterior.xt_weight[k]) * x
        if k > 0:
            x = x + reverse_sigma(posterior, k, spread) * torch.randn(x.shape, generator=generator, device=x.device)
    return x
