"""Processes that train one network together. Each takes its slice of every global batch; a single process takes all of it."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

FAILURE = "failure"
A = TypeVar("A", Tensor, NDArray[np.generic])


class Store(Protocol):
    """What of torch.distributed.Store is used here; not every build of torch has that."""

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes: ...
    def check(self, keys: list[str], /) -> bool: ...
    def get(self, key: str, /) -> bytes: ...


@dataclass(frozen=True)
class ProcessGroup:
    """This process among `count`, each on its own `device`. `store` is what they can still tell each other if one of them no
    longer takes part in collectives; no collective may use the same object."""

    device: torch.device
    rank: int = 0
    count: int = 1
    store: Store | None = None

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

    def gather_values(self, values: list[float]) -> list[float]:
        """Concatenate the values of all ranks, in rank order; their number may differ."""
        return (
            values if self.count == 1 else self.gather(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()
        )

    def any_rank(self, flag: bool) -> bool:
        """All-reduce (max) of a flag: True on all ranks if it is on any."""
        if self.count == 1:
            return flag
        reduced = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(reduced, dist.ReduceOp.MAX)
        return bool(reduced)

    def tell_failure(self, reason: str) -> str:
        """Tell the other ranks why this one cannot go on; returns the reason that was told first, of whichever rank. In a
        collective the others would otherwise wait, or end by the words of NCCL or gloo."""
        if self.count == 1:
            return reason
        reason = f"rank {self.rank} of {self.count}: {reason}"
        try:
            return self.store.compare_set(FAILURE, "", reason).decode() if self.store else reason
        except RuntimeError:  # it was kept by a process that is gone
            return reason

    def failure(self) -> str:
        """What a rank has told by `tell_failure`; empty if none has."""
        return self.store.get(FAILURE).decode() if self.store and self.store.check([FAILURE]) else ""

    def broadcast(self, flags: list[bool]) -> list[bool]:
        """Broadcast flags from rank 0."""
        if self.count == 1:
            return flags
        buffer = torch.tensor(flags, dtype=torch.uint8, device=self.device)
        dist.broadcast(buffer, 0)
        return buffer.bool().tolist()
