"""The diffusion transformer, DiT (Peebles and Xie, arXiv 2212.09748), with adaLN-zero, reimplemented with the same semantics.

Images x[B, C, H, W] become tokens [B, N, D], one for each patch, row by row; the embedding [B, D] of timestep and class gives
each block its shifts, scales and gates. All gates and the output are zero at first: every block begins as the identity.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fidrace.train.unet import timestep_embedding, zero_parameters

FREQUENCIES = 256  # of the timestep's embedding
MLP_RATIO = 4


def position_embedding(side: int, width: int) -> Tensor:
    """Fixed sinusoids [side * side, width]: half of them of a token's column, half of its row, sines before cosines."""
    frequencies = 10_000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    along = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = along.repeat(side, 1), along.repeat_interleave(side, dim=0)
    return torch.cat([columns, rows], dim=1).float()


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm that the embedding shifts and scales, and a gate."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(F.silu(emb)).chunk(6, dim=1)
        x = x + gate[:, None] * self.attend(modulate(normalise(x), shift, scale))
        hidden = F.gelu(self.rise(modulate(normalise(x), mlp_shift, mlp_scale)), approximate="tanh")
        return x + mlp_gate[:, None] * self.fall(F.dropout(hidden, self.dropout, self.training))

    def attend(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, count, width))


def normalise(x: Tensor) -> Tensor:
    """Layer norm without parameters, in float32."""
    return F.layer_norm(x.float(), x.shape[-1:], eps=1e-6).to(x.dtype)


class DiT(nn.Module):
    """eps_hat (or whatever the process predicts) [B, out_channels, H, W] from x[B, in_channels, H, W], t[B], labels[B].

    `channels`: the width D of a token. t comes already scaled to 0..1000. Output is exactly zero at initialisation. Raises
    ValueError if the sizes do not fit each other.
    """

    def __init__(
        self,
        *,
        image_size: int,
        in_channels: int,
        out_channels: int,
        channels: int,
        patch: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        classes: int | None = None,
        checkpointing: bool = False,
    ):
        super().__init__()
        if image_size % patch:
            raise ValueError(f"patches of {patch} do not divide images of {image_size}")
        if channels % heads or channels % 4:
            raise ValueError(f"{channels} channels do not divide into {heads} heads and into 4 parts of a position")
        self.patch, self.out_channels, self.checkpointing = patch, out_channels, checkpointing
        self.patches = nn.Conv2d(in_channels, channels, patch, stride=patch)
        self.register_buffer("position", position_embedding(image_size // patch, channels), persistent=False)
        self.time_in, self.time_out = nn.Linear(FREQUENCIES, channels), nn.Linear(channels, channels)
        self.label = None if classes is None else nn.Embedding(classes, channels)
        self.blocks = nn.ModuleList(Block(channels, heads, dropout) for _ in range(depth))
        self.modulation = nn.Linear(channels, 2 * channels)
        self.head = nn.Linear(channels, patch**2 * out_channels)
        self.initialise()

    def initialise(self) -> None:
        """As the authors' code does: Xavier's uniform weights, small normal ones in the embeddings, zero gates and output."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
                module.bias = nn.Parameter(torch.zeros(len(module.weight)))
        for embedding in (self.time_in, self.time_out, self.label):
            if embedding is not None:
                nn.init.normal_(embedding.weight, std=0.02)
        for module in self.modules():
            for name, child in module.named_children():
                if name in ("modulation", "head"):
                    zero_parameters(child)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        emb = self.time_out(F.silu(self.time_in(timestep_embedding(t, FREQUENCIES))))
        if self.label is not None:
            emb = emb + self.label(labels)
        h = self.patches(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            recompute = self.checkpointing and torch.is_grad_enabled()
            h = checkpoint(block, h, emb, use_reentrant=False) if recompute else block(h, emb)
        shift, scale = self.modulation(F.silu(emb)).chunk(2, dim=1)
        return self.unpatchify(self.head(modulate(normalise(h), shift, scale)))

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """Images [B, C, H, W] from tokens [B, N, patch * patch * C], of which the channel is the fastest index."""
        batch, count, _ = tokens.shape
        side, p = math.isqrt(count), self.patch
        grid = tokens.reshape(batch, side, side, p, p, self.out_channels)
        return grid.permute(0, 5, 1, 3, 2, 4).reshape(batch, self.out_channels, side * p, side * p)
