"""The same training, faster: number formats, memory layout, compilation. What SpeedConfig says, done."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from fidrace.spec.task import SpeedConfig


def set_float32(speed: SpeedConfig) -> None:
    """How this process multiplies float32 on CUDA: torch's own default would let convolutions use TF32 unasked."""
    wanted = "tf32" if speed.precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = wanted
    torch.backends.cudnn.conv.fp32_precision = wanted  # type: ignore[attr-defined]


def autocast(speed: SpeedConfig, device: torch.device) -> AbstractContextManager[None]:
    """bfloat16 where the task asks for it. It needs no loss scaling: its exponents are float32's."""
    return torch.autocast(device.type, torch.bfloat16, enabled=speed.precision == "bf16")


def apply_layout(network: nn.Module, speed: SpeedConfig) -> nn.Module:
    """The network, compiled and laid out as asked; the names of its weights stay."""
    if speed.channels_last:
        network.to(memory_format=torch.channels_last)
    if speed.compile:
        network.compile()
    return network
