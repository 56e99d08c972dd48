"""Apply SpeedConfig: number formats, memory layout, compilation. The same training, faster."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from fidrace.spec.task import SpeedConfig


def set_float32(speed: SpeedConfig) -> None:
    """Set how this process multiplies float32 on CUDA: torch's default would let convolutions use TF32 unasked."""
    precision = "tf32" if speed.precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]


def autocast(speed: SpeedConfig, device: torch.device) -> AbstractContextManager[None]:
    """Autocast to bfloat16 if the task asks for it. No loss scaling is needed: bfloat16 has float32's exponent range."""
    return torch.autocast(device.type, torch.bfloat16, enabled=speed.precision == "bf16")


def apply_layout(network: nn.Module, speed: SpeedConfig) -> nn.Module:
    """Compile and lay out `network` in place, as the task asks; the names of its weights stay the same."""
    if speed.channels_last:
        network.to(memory_format=torch.channels_last)
    if speed.compile:
        network.compile()
    return network
