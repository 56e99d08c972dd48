"""Noise: standard normal numbers from the streams' bits.

The bits are drawn on the host and are the same everywhere; normals are made of them where they are needed, on a GPU too, where
logarithm, sine and cosine may differ from a CPU's in their last digits.
"""

import math

import torch
from torch import Tensor

from fidrace.spec.random_streams import Streams

SIGN = 2**31


def to_normals(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Normals [n, *shape] in float32 from bits[n, S] in int32, on their device, with S even and at least the size of `shape`:
    by Box and Muller (Annals of Mathematical Statistics 29, 1958) one pair from a radius in the first half of S and an angle in
    the second. No normal is beyond 6.7, as a radius has 31 bits."""
    radius, angle = bits.chunk(2, dim=1)
    radius = ((radius & (SIGN - 1)) + 0.5).mul_(1 / SIGN).log_().mul_(-2).sqrt_()
    angle = angle * (math.pi / SIGN)
    normals = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return normals[:, : math.prod(shape)].reshape(len(bits), *shape)


def draw_normals(
    streams: Streams, name: str, step: int, shape: tuple[int, ...], device: torch.device | None = None, first: int = 0
) -> Tensor:
    """Normals of `shape`, whose first dimension counts examples from `first` on, on `device` (None: the CPU)."""
    count, *size = shape
    bits = torch.from_numpy(streams.bits(name, step, count, math.prod(size), first))
    return to_normals(bits.to(device), tuple(size))
