"""Processes that train one network together. Each takes its slice of every global batch; a single process takes all of it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

A = TypeVar("A", Tensor, NDArray[np.generic])


@dataclass(frozen=True)
class ProcessGroup:
    """This process among `count`, each on its own `device`."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """True for rank 0, the only one that writes files and prints."""
        return self.rank == 0

    def slice_of(self, batch: A) -> A:
        """This rank's equal part of batch[B, ...]."""
        share = len(batch) // self.count
        return batch[self.rank * share : (self.rank + 1) * share]

    def gather(self, part: Tensor) -> Tensor:
        """Concatenate part[n, ...] of all ranks, in rank order; n may differ between ranks."""
        if self.count == 1:
            return part
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.count)]
        dist.all_gather(lengths, torch.tensor([len(part)], device=self.device))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, *part.shape[1:], dtype=part.dtype, device=self.device)
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([each[: int(length)] for each, length in zip(parts, lengths, strict=True)]).to(part.device)

    def any_rank(self, flag: bool) -> bool:
        """All-reduce (max) of a flag: True on all ranks if it is on any."""
        if self.count == 1:
            return flag
        reduced = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(reduced, dist.ReduceOp.MAX)
        return bool(reduced)

    def broadcast(self, flags: list[bool]) -> list[bool]:
        """Broadcast flags from rank 0."""
        if self.count == 1:
            return flags
        buffer = torch.tensor(flags, dtype=torch.uint8, device=self.device)
        dist.broadcast(buffer, 0)
        return buffer.bool().tolist()
