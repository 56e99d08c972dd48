"""Apply SpeedConfig: number formats, memory layout, compilation. The same training, faster."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from fidrace.spec.task import SpeedConfig


def set_float32(speed: SpeedConfig) -> None:
    """Set how this process multiplies float32 on CUDA: torch's default would let convolutions use TF32 unasked. The setting is
    the process's, so whatever computes sets it anew each time; microseconds."""
    set_tf32(speed.precision == "tf32")


def set_tf32(allowed: bool) -> None:
    """Allow TF32 in products and convolutions on CUDA, or forbid it.

    torch has an older and a newer set of flags: only the older setters keep both in agreement, and where they disagree, reading
    the older ones raises. The newer ones then say it in full: what is left open there may follow a more general flag."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    for flag in float32_flags():
        flag.fp32_precision = "tf32" if allowed else "ieee"
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]  # "high" concerns the CPU too


def float32_flags() -> list[Any]:
    """The newer flags of products and convolutions on CUDA, and of recurrent networks, which share an older one with these."""
    return [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]  # type: ignore[attr-defined]


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute in true float32, whatever training chose, and restore that."""
    flags = [*float32_flags(), torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    before = [flag.fp32_precision for flag in flags]
    set_tf32(False)
    try:
        yield
    finally:
        products, convolutions, _, cpu = before
        torch.set_float32_matmul_precision("medium" if cpu == "bf16" else "high" if products == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = convolutions == "tf32"
        for flag, precision in zip(flags, before, strict=True):
            flag.fp32_precision = precision


def autocast(speed: SpeedConfig, device: torch.device) -> AbstractContextManager[None]:
    """Autocast to bfloat16 if the task asks for it. No loss scaling is needed: bfloat16 has float32's exponent range."""
    return torch.autocast(device.type, torch.bfloat16, enabled=speed.precision == "bf16")


def apply_layout(network: nn.Module, speed: SpeedConfig) -> nn.Module:
    """Compile and lay out `network` in place, as the task asks; the names of its weights stay the same. Every batch size gets a
    graph of its own: torch would else take sizes that it has seen differ as unknown, in training too."""
    if speed.channels_last:
        network.to(memory_format=torch.channels_last)
    if speed.compile:
        network.compile(dynamic=False)
    return network


def break_cycle(network: nn.Module) -> None:
    """Undo what compiling in place did: a compiled network refers to itself, and only the garbage collector would free it."""
    network._compiled_call_impl = None
