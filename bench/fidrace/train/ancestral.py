"""Ancestral sampling by a respaced chain, with a fixed or a learned variance (arXiv 2006.11239; 2102.09672, section 4).

x[B, C, H, W] is one chunk of samples, from x_T to images in [-1, 1]; k counts the timesteps of the respaced chain.
"""

import math

import numpy as np
import torch
from torch import Tensor

from fidrace.method.base import Ints
from fidrace.train.diffusion import Diffusion, Network
from fidrace.train.sampler import predict_at
from fidrace.train.variational_bound import Posterior, learned_log_variance


def linspace_timesteps(T: int, steps: int) -> Ints:
    """`steps` timesteps, descending from T - 1 to 0, evenly spaced (improved-diffusion's respacing by a count; "linspace" in
    arXiv 2305.08891). A single step is at 0, as in improved-diffusion."""
    return np.round(np.arange(steps) * (T - 1) / max(steps - 1, 1)).astype(np.int64)[::-1]


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
