"""Networks by their kind, each called as network(x[B, C, H, W], t[B] scaled to 0..1000, labels[B] or None) -> [B, out, H, W].

out is C, or 2 C where the network gives the reverse variance too (learned_sigma).
"""

import torch
from torch import nn

from fidrace.errors import InputError
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import NetworkConfig
from fidrace.train.unet import UNet
from fidrace.train.unet_diffusers import diffusers_unet, one_line


def build_network(
    config: NetworkConfig,
    image_shape: tuple[int, ...],
    seed: int,
    learned_sigma: bool = False,
    checkpointing: bool = False,
) -> nn.Module:
    """The task's network for images [C, H, W], its initial weights a function of config.init, else of `seed`, alone; raises
    InputError where sizes clash. With `checkpointing`, activations inside its blocks are computed again in the backward pass
    instead of kept."""
    channels, height, _ = image_shape
    out = channels * (2 if learned_sigma else 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed if config.init is None else config.init).integer("init"))
        if config.kind == "diffusers":
            return diffusers_unet(config, height, channels, out, checkpointing)
        fields = config.model_dump(exclude={"kind", "config", "init"})
        try:
            return UNet(image_size=height, in_channels=channels, out_channels=out, checkpointing=checkpointing, **fields)
        except ValueError as error:
            raise InputError(f"network: {error}") from error


def check_network(config: NetworkConfig, image_shape: tuple[int, ...], learned_sigma: bool = False) -> None:
    """Raises InputError unless the network can be built and takes such images to as many of its output. No weight is made
    and nothing is computed: it is on the meta device."""
    channels, height, width = image_shape
    expected = (2, channels * (2 if learned_sigma else 1), height, width)  # two, so that nothing fits by broadcasting
    with torch.device("meta"), torch.no_grad():
        network = build_network(config, image_shape, 0, learned_sigma)
        if config.kind == "unet":  # refuses what does not fit as it is built; the pass below costs a second
            return
        labels = torch.zeros(2, dtype=torch.long) if config.classes else None
        try:
            shape = tuple(network(torch.empty(2, channels, height, width), torch.empty(2), labels).shape)
        except Exception as error:  # it may be any module's, of any configuration
            raise InputError(f"network: it does not take {channels}x{height}x{width} images: {one_line(error)}") from error
    if shape != expected:
        raise InputError(f"network: its output for 2 images of {channels}x{height}x{width} is {shape}, not {expected}")
