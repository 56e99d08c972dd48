"""The variational bound of a chain with a learned variance, term by term (arXiv 2102.09672, sections 2 and 3.1).

abar[T] is the chain, t[B] timesteps, x0[B, C, H, W] data in [-1, 1]; `spread`, of x0's shape, is the network's second output,
which places log sigma^2 between its two extremes: beta~ at -1, beta at 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fidrace.method.base import Floats


@dataclass(frozen=True)
class Posterior:
    """q(x_{t-1} | x_t, x_0) of a chain: its mean is x0_weight x_0 + xt_weight x_t, its variance beta~; arrays [T]."""

    x0_weight: Floats
    xt_weight: Floats
    log_beta: Floats
    log_tilde: Floats

    @classmethod
    def of(cls, abar: Floats) -> "Posterior":
        """The posterior of the chain abar[T], which may be respaced (arXiv 2102.09672, eqs. 10, 11 and 19)."""
        earlier = np.append(1.0, abar[:-1])
        beta = 1 - abar / earlier
        tilde = (1 - earlier) / (1 - abar) * beta
        tilde[0] = tilde[1] if len(tilde) > 1 else beta[0]  # 0 has no log: improved-diffusion uses the next one
        x0_weight = np.sqrt(earlier) * beta / (1 - abar)
        xt_weight = np.sqrt(1 - beta) * (1 - earlier) / (1 - abar)
        return cls(x0_weight, xt_weight, np.log(beta), np.log(tilde))


def learned_log_variance(spread: Tensor, log_beta: Tensor | float, log_tilde: Tensor | float) -> Tensor:
    """log sigma^2 = v log beta + (1 - v) log beta~ with v = (spread + 1) / 2 (eq. 15); v may leave [0, 1]."""
    v = (spread + 1) / 2
    return v * log_beta + (1 - v) * log_tilde


def gaussian_kl(log_q: Tensor, difference: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) in nats, elementwise, of Gaussians with these log-variances whose means are `difference` apart."""
    gap = log_p - log_q
    return 0.5 * (gap + torch.expm1(-gap) + difference.square() * (-log_p).exp())


def bin_log_likelihood(x0: Tensor, error: Tensor, log_p: Tensor, levels: int) -> Tensor:
    """log-probability in nats, elementwise, of x0's bin under N(x0 + error, exp(log_p)) (arXiv 2006.11239, eq. 13).

    Bins are 2 / (levels - 1) wide around the levels' values; the first and the last are open outwards. The normal CDF is
    exact, also in its tails. improved-diffusion approximates it by a tanh, with an error of at most 1.8e-4, and bounds the
    bin's probability below by 1e-12, where its gradient vanishes.
    """
    half = 1 / (levels - 1)
    deviation = torch.exp(-0.5 * log_p)
    outward = torch.where(x0 > 0, error, -error)
    open_bin = torch.special.log_ndtr((half + outward) * deviation)
    # A closed bin's probability is even in the error: on the lower side its CDFs are small numbers, not two near 1.
    upper = torch.special.log_ndtr((half - error.abs()) * deviation)
    lower = torch.special.log_ndtr((-half - error.abs()) * deviation)
    closed_bin = upper + torch.log1p(-torch.exp(lower - upper))
    return torch.where(x0.abs() > 1 - half, open_bin, closed_bin)


class Bound:
    """L_t of the chain abar[T] in bits per dimension, for data of `levels` values per pixel."""

    def __init__(self, abar: Floats, levels: int, device: torch.device | str):
        posterior, self.levels = Posterior.of(abar), levels
        self.x0_weight, self.log_beta, self.log_tilde = (  # [T, 1, 1, 1]
            torch.tensor(values, dtype=torch.float32, device=device)[:, None, None, None]
            for values in (posterior.x0_weight, posterior.log_beta, posterior.log_tilde)
        )

    def bits(self, x0: Tensor, x0_error: Tensor, spread: Tensor, t: Tensor) -> Tensor:
        """L_t [B] if the network's x0 is x0 + x0_error: KL(q || p) for t > 0, the bins' -log p for t = 0 (eqs. 5 and 6).

        The means of q and p have the same x_t term, so they differ by x0_error alone; at t = 0 the mean of p is x0_hat.
        """
        log_p = learned_log_variance(spread, self.log_beta[t], self.log_tilde[t])
        kl = gaussian_kl(self.log_tilde[t], self.x0_weight[t] * x0_error, log_p)
        first = (t == 0)[:, None, None, None]
        # For t > 0, x0_error / sigma can be 1e5: its likelihood overflows, and 0 times that in the gradient is nan.
        error, log_variance = torch.where(first, x0_error, 0.0), torch.where(first, log_p, 0.0)
        nats = torch.where(first, -bin_log_likelihood(x0, error, log_variance, self.levels), kl)
        return nats.flatten(1).mean(1) / math.log(2)
