"""Networks by their kind, each called as network(x[B, C, H, W], t[B] scaled to 0..1000, labels[B] or None) -> [B, out, H, W].

out is C, or 2 C if the network also predicts the reverse variance (learned_sigma).
"""

import torch
from torch import nn

from fidrace.errors import InputError
from fidrace.spec.network import TRANSFORMER_FIELDS, UNET_FIELDS, NetworkConfig
from fidrace.spec.random_streams import Streams
from fidrace.train.dit import DiT
from fidrace.train.unet import UNet
from fidrace.train.unet_diffusers import diffusers_unet, one_line


def build_network(
    config: NetworkConfig,
    image_shape: tuple[int, ...],
    seed: int,
    learned_sigma: bool = False,
    checkpointing: bool = False,
) -> nn.Module:
    """Build the task's network for images [C, H, W]. Its initial weights depend on config.init alone, or on `seed` if that is
    None. With `checkpointing`, the backward pass recomputes activations inside blocks instead of keeping them. Raises
    InputError if sizes do not fit."""
    channels, height, _ = image_shape
    out = channels * (2 if learned_sigma else 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed if config.init is None else config.init).integer("init"))
        if config.kind == "diffusers":
            return diffusers_unet(config, height, channels, out, checkpointing)
        others = UNET_FIELDS if config.kind == "dit" else TRANSFORMER_FIELDS
        fields = config.model_dump(exclude={"kind", "config", "init", *others})
        try:
            network = DiT if config.kind == "dit" else UNet
            return network(image_size=height, in_channels=channels, out_channels=out, checkpointing=checkpointing, **fields)
        except ValueError as error:
            raise InputError(f"network: {error}") from error


def check_network(config: NetworkConfig, image_shape: tuple[int, ...], learned_sigma: bool = False) -> None:
    """Raise InputError unless the network can be built and maps images [C, H, W] to outputs of the expected shape. Runs on the
    meta device, so no weights are allocated and nothing is computed."""
    channels, height, width = image_shape
    expected = (2, channels * (2 if learned_sigma else 1), height, width)  # a batch of 2: one of 1 could fit by broadcasting
    with torch.device("meta"), torch.no_grad():
        network = build_network(config, image_shape, 0, learned_sigma)
        if config.kind != "diffusers":  # their constructors refuse sizes that do not fit; the pass below would cost a second
            return
        labels = torch.zeros(2, dtype=torch.long) if config.classes else None
        try:
            shape = tuple(network(torch.empty(2, channels, height, width), torch.empty(2), labels).shape)
        except Exception as error:  # any module of any configuration may raise it
            raise InputError(f"network: it does not take {channels}x{height}x{width} images: {one_line(error)}") from error
    if shape != expected:
        raise InputError(f"network: its output for 2 images of {channels}x{height}x{width} is {shape}, not {expected}")
