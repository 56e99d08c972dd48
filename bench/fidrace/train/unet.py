"""The U-Net of improved-diffusion (arXiv 2102.09672) and ADM (arXiv 2105.05233), reimplemented with the same semantics.

Details that matter in the first iterations of a race: every residual branch and the output start at zero, group norm
computes in float32, the timestep enters as [cos, sin] of 1000 t / T through a two-layer MLP, and the fused qkv of
attention is laid out head by head. x[B, C, H, W] images, emb[B, 4 * channels] the embedding of timestep
(and class).
"""

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

M = TypeVar("M", bound=nn.Module)


def timestep_embedding(t: Tensor, channels: int, max_period: float = 10_000) -> Tensor:
    """Sinusoids [B, channels] of t[B] (not necessarily integers): cosines, then sines, of geometric frequencies."""
    half = channels // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, channels % 2))


def zero_parameters(module: M) -> M:
    """Zero the parameters of `module`, so that the branch it ends adds nothing at first."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Norm(nn.GroupNorm):
    """Group norm computed in float32, whatever the surrounding precision."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class ResBlock(nn.Module):
    """Residual block conditioned on emb; `resample` halves ("down") or doubles ("up") height and width inside it."""

    def __init__(
        self,
        channels: int,
        emb_channels: int,
        out_channels: int,
        dropout: float,
        groups: int,
        scale_shift: bool,
        resample: str = "",
    ):
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_norm = Norm(groups, channels)
        self.in_conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.emb = nn.Linear(emb_channels, (2 if scale_shift else 1) * out_channels)
        self.out_norm = Norm(groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.out_conv = zero_parameters(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Identity() if out_channels == channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = F.silu(self.in_norm(x))
        if self.resample:
            h, x = resample(h, self.resample), resample(x, self.resample)
        h = self.in_conv(h)
        condition = self.emb(F.silu(emb))[:, :, None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            h = self.out_norm(h) * (1 + scale) + shift
        else:
            h = self.out_norm(h + condition)
        return self.skip(x) + self.out_conv(self.dropout(F.silu(h)))


def resample(x: Tensor, direction: str) -> Tensor:
    """x at half (mean of 2x2) or double (nearest) the height and width."""
    return F.avg_pool2d(x, 2) if direction == "down" else F.interpolate(x, scale_factor=2, mode="nearest")


class Attention(nn.Module):
    """Self-attention over the pixels, as a residual branch. qkv's output is [heads, (q, k, v), head channels]."""

    def __init__(self, channels: int, heads: int, groups: int):
        super().__init__()
        self.heads = heads
        self.norm = Norm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = zero_parameters(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        flat = x.reshape(batch, channels, height * width)
        qkv = self.qkv(self.norm(flat)).reshape(batch, self.heads, 3, channels // self.heads, height * width)
        # each [B, heads, pixels, head channels]; with the last of them contiguous, which the flash kernels ask for
        q, k, v = qkv.transpose(-1, -2).contiguous().unbind(2)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(batch, channels, height * width)
        return x + self.out(attended).reshape(x.shape)


class Downsample(nn.Conv2d):
    """Half the height and width by a strided convolution."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class Upsample(nn.Conv2d):
    """Double the height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(resample(x, "up"))


class Stage(nn.ModuleList):
    """Modules in a row, each called with (x, emb). With `checkpointing`, what is inside a residual or attention block is
    computed again in the backward pass, with the same dropout, instead of kept."""

    def __init__(self, modules: Iterable[nn.Module] = (), checkpointing: bool = False):
        super().__init__(modules)
        self.checkpointing = checkpointing

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for module in self:
            if self.checkpointing and torch.is_grad_enabled() and isinstance(module, ResBlock | Attention):
                x = checkpoint(module, x, emb, use_reentrant=False)
            else:
                x = module(x, emb)
        return x


class UNet(nn.Module):
    """eps_hat (or whatever the process predicts) [B, out_channels, H, W] from x[B, in_channels, H, W], t[B], labels[B].

    `attention_resolutions` are heights of feature maps, as in the papers' tables; t comes already scaled to 0..1000.
    Output is exactly zero at initialisation. Raises ValueError if the sizes do not fit each other.
    """

    def __init__(
        self,
        *,
        image_size: int,
        in_channels: int,
        out_channels: int,
        channels: int,
        multipliers: Sequence[int],
        res_blocks: int,
        attention_resolutions: Sequence[int] = (),
        heads: int = 1,
        head_channels: int | None = None,
        scale_shift: bool = False,
        resblock_updown: bool = False,
        dropout: float = 0.0,
        classes: int | None = None,
        norm_groups: int = 32,
        checkpointing: bool = False,
    ):
        super().__init__()
        if image_size % 2 ** (len(multipliers) - 1):
            raise ValueError(f"image size {image_size} cannot be halved {len(multipliers) - 1} times")
        emb_channels = 4 * channels
        self.channels = channels
        self.time_in = nn.Linear(channels, emb_channels)
        self.time_out = nn.Linear(emb_channels, emb_channels)
        self.label = None if classes is None else nn.Embedding(classes, emb_channels)

        def res(entering: int, leaving: int, resample: str = "") -> ResBlock:
            return ResBlock(entering, emb_channels, leaving, dropout, norm_groups, scale_shift, resample)

        def attention(width: int) -> Attention:
            count = heads if head_channels is None else width // head_channels
            if count < 1 or width % count or (head_channels and width % head_channels):
                raise ValueError(f"{width} channels do not divide into heads ({heads=}, {head_channels=})")
            return Attention(width, count, norm_groups)

        def stage(*modules: nn.Module) -> Stage:
            return Stage(modules, checkpointing)

        def block(entering: int, leaving: int, size: int) -> Stage:
            return stage(res(entering, leaving), *([attention(leaving)] if size in attention_resolutions else []))

        width, size = channels, image_size
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.down = nn.ModuleList()
        skips = [width]
        for level, multiplier in enumerate(multipliers):
            for _ in range(res_blocks):
                self.down.append(block(width, channels * multiplier, size))
                width = channels * multiplier
                skips.append(width)
            if level < len(multipliers) - 1:
                self.down.append(stage(res(width, width, "down") if resblock_updown else Downsample(width)))
                skips.append(width)
                size //= 2
        self.middle = stage(res(width, width), attention(width), res(width, width))
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for index in range(res_blocks + 1):
                rising = block(width + skips.pop(), channels * multiplier, size)
                width = channels * multiplier
                if level and index == res_blocks:
                    rising.append(res(width, width, "up") if resblock_updown else Upsample(width))
                    size *= 2
                self.up.append(rising)
        self.out_norm = Norm(norm_groups, width)
        self.conv_out = zero_parameters(nn.Conv2d(width, out_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        emb = self.time_out(F.silu(self.time_in(timestep_embedding(t, self.channels))))
        if self.label is not None:
            emb = emb + self.label(labels)
        h = self.conv_in(x)
        skips = [h]
        for stage in self.down:
            h = stage(h, emb)
            skips.append(h)
        h = self.middle(h, emb)
        for stage in self.up:
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.conv_out(F.silu(self.out_norm(h)))
