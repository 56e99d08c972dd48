"""Networks of kind `diffusers`: UNet2DModel of the optional dependency diffusers, with the widths of our own U-Net.

With equal weights the two compute the same, but they are initialised differently: UNet2DModel uses torch's defaults throughout,
so its residual branches and output do not start at zero, as they do in OpenAI's networks and in `unet.UNet`.
"""

import inspect
from typing import Any

from torch import Tensor, nn

from fidrace.errors import InputError, nearest
from fidrace.spec.network import NetworkConfig

# Arguments that other settings determine; another value would break the call or leave labels without an embedding.
DETERMINED_BY = {
    "in_channels": "the data",
    "out_channels": "the data and diffusion.learned_sigma",
    "num_class_embeds": "network.classes",
}


class DiffusersUNet(nn.Module):
    """UNet2DModel with the call signature of all networks here."""

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.unet(x, t, class_labels=labels, return_dict=False)[0]


def diffusers_unet(
    config: NetworkConfig, image_size: int, in_channels: int, out_channels: int, checkpointing: bool
) -> DiffusersUNet:
    """UNet2DModel with `config`'s widths; `config.config` overrides any argument. Its checkpointing recomputes residual blocks,
    but keeps activations inside attention. Raises InputError if diffusers is absent or refuses an argument."""
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise InputError(f"network.kind = 'diffusers' needs diffusers ({error}): pip install 'fidrace[diffusers]'") from error
    known = inspect.signature(UNet2DModel.__init__).parameters.keys() - {"self"}
    for name in config.config:
        if name not in known:
            raise InputError(f"network.config: UNet2DModel has no argument {name!r}{nearest(name, known)}")
        if name in DETERMINED_BY:
            raise InputError(f"network.config: {name} cannot be set: it follows from {DETERMINED_BY[name]}")
    if config.config.get("time_embedding_type") == "fourier":  # it takes the logarithm of the timestep, and divides by it
        raise InputError("network.config: time_embedding_type = 'fourier' has no value at timestep 0")
    arguments = derived_arguments(config, image_size) | config.config
    try:
        unet = UNet2DModel(in_channels=in_channels, out_channels=out_channels, **arguments)
    except Exception as error:  # the library raises many types for values that it cannot use
        raise InputError(f"network: UNet2DModel refuses its arguments: {one_line(error)}") from error
    if checkpointing:
        unet.enable_gradient_checkpointing()
    return DiffusersUNet(unet)


def derived_arguments(config: NetworkConfig, image_size: int) -> dict[str, Any]:
    """UNet2DModel's arguments for `config`, except the images' channels.

    Blocks have attention if the height of their feature map is among the attention resolutions. Raises InputError if heads do
    not divide their width, which diffusers would silently narrow, or if UNet2DModel cannot express them."""
    levels = range(len(config.multipliers))
    attention = [image_size >> level in config.attention_resolutions for level in levels]
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if config.resblock_updown else ("DownBlock2D", "UpBlock2D")
    return {
        "sample_size": image_size,
        "block_out_channels": tuple(config.channels * multiplier for multiplier in config.multipliers),
        "layers_per_block": config.res_blocks,
        "down_block_types": tuple("AttnDownBlock2D" if attention[level] else plain[0] for level in levels),
        "up_block_types": tuple("AttnUpBlock2D" if attention[level] else plain[1] for level in reversed(levels)),
        "attention_head_dim": None if "attention_head_dim" in config.config else head_channels(config, attention),
        "norm_num_groups": config.norm_groups,
        "attn_norm_num_groups": config.norm_groups,  # without it the attention in the middle has no norm under scale_shift
        "resnet_time_scale_shift": "scale_shift" if config.scale_shift else "default",
        "downsample_type": "resnet" if config.resblock_updown else "conv",
        "upsample_type": "resnet" if config.resblock_updown else "conv",
        "dropout": config.dropout,
        "num_class_embeds": config.classes,
    }


def head_channels(config: NetworkConfig, attention: list[bool]) -> int | None:
    """UNet2DModel's attention_head_dim, one number for all blocks; None gives each block one head. `attention` says which
    levels have it; the middle always does."""
    if config.head_channels is None and config.heads == 1:
        return None
    levels = zip(config.multipliers, attention, strict=True)
    widths = sorted(
        {config.channels * multiplier for multiplier, here in levels if here} | {config.channels * config.multipliers[-1]}
    )
    sizes = sorted({config.head_channels or width // config.heads for width in widths})
    if any(width % (config.head_channels or config.heads) for width in widths):
        split = f"heads of {config.head_channels}" if config.head_channels else f"{config.heads} heads"
        raise InputError(f"network: channels do not divide into {split} (channels of the blocks with attention: {widths})")
    if len(sizes) > 1:
        raise InputError(
            f"network: {config.heads} heads at {widths} channels are of {sizes}, and UNet2DModel has heads of one size only; "
            "set network.head_channels"
        )
    return sizes[0]


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
