"""Several processes that train one network together. Each takes its slice of every global batch; alone, one takes all of it."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from fidrace.errors import InputError

A = TypeVar("A", Tensor, NDArray[np.generic])


@dataclass(frozen=True)
class ProcessGroup:
    """This process among `count`, each on its own `device`."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def slice_of(self, batch: A) -> A:
        """This rank's equal part of batch[B, ...]."""
        share = len(batch) // self.count
        return batch[self.rank * share : (self.rank + 1) * share]

    def gather(self, part: Tensor) -> Tensor:
        """The parts [n, ...] of all ranks one after another, in their order; they may differ in n."""
        if self.count == 1:
            return part
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.count)]
        dist.all_gather(lengths, torch.tensor([len(part)], device=self.device))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, *part.shape[1:], dtype=part.dtype, device=self.device)
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([one[: int(length)] for one, length in zip(parts, lengths, strict=True)]).to(part.device)

    def any_rank(self, flag: bool) -> bool:
        """Whether any rank says so, for all to do the same."""
        if self.count == 1:
            return flag
        said = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return bool(said)

    def broadcast(self, flags: list[bool]) -> list[bool]:
        """What the first rank says, for all to hear."""
        if self.count == 1:
            return flags
        said = torch.tensor(flags, dtype=torch.uint8, device=self.device)
        dist.broadcast(said, 0)
        return said.bool().tolist()


def leave_group() -> None:
    """Part from the group in order; nothing where there is none."""
    if dist.is_initialized():
        dist.destroy_process_group()


def join_group(devices: list[str]) -> ProcessGroup:
    """Meet the other processes of torchrun, each on a device of its own. Raises InputError where there are too few."""
    rank, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if devices != ["cpu"] and local >= len(devices):
        raise InputError(f"torchrun: process {local} of this machine has no GPU of its own ({len(devices)} there)")
    device = torch.device("cpu" if devices == ["cpu"] else devices[local])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # long, since the others wait while the first rank computes the features of a whole data set
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    return ProcessGroup(device, rank, count)
