"""Taps: the activations of a network that a method's further loss looks at, and that loss."""

import torch
import torch.distributed.nn.functional as across_ranks
from torch import Tensor, nn

from fidrace.errors import nearest
from fidrace.method.base import Method
from fidrace.train.diffusion import Losses
from fidrace.train.examples import refuse_writes
from fidrace.train.process_group import ProcessGroup

MIDDLE = "middle"  # of any network: the bottom of a U-Net, or the block half-way


class Taps:
    """The last activations at the places that `method` names, and its further loss. Raises ValueError for a place that the
    network does not have."""

    def __init__(self, network: nn.Module, method: Method):
        self.method, self.last = method, dict[str, Tensor]()
        for place in method.taps:
            module_at(network, place, method).register_forward_hook(
                lambda module, inputs, output, place=place: self.last.__setitem__(place, output)
            )

    def auxiliary(self, losses: Losses, ranks: ProcessGroup) -> Tensor:
        """The mean of the method's further loss over the examples just passed. Raises ValueError if it is none."""

        def gather(z: Tensor) -> Tensor:
            return z if ranks.count == 1 else torch.cat(list(across_ranks.all_gather(z.contiguous())))

        taps, self.last = dict(self.last), {}
        with refuse_writes(self.method, losses.prediction, losses.target, *taps.values()):
            value = self.method.auxiliary(losses.prediction, losses.target, taps, gather)
        if not isinstance(value, Tensor) or value.shape not in ((), losses.mse.shape):
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{self.method}: auxiliary is {found}, not one loss or one for each of {len(losses.mse)} examples")
        if torch.is_grad_enabled() and not value.requires_grad:
            raise ValueError(f"{self.method}: auxiliary has no gradient, so it trains nothing")
        if value.device.type == "cpu" and losses.mse.isfinite().all() and not value.isfinite().all():
            raise ValueError(f"{self.method}: auxiliary is not finite")
        return value.mean()


def module_at(network: nn.Module, place: str, method: Method) -> nn.Module:
    modules = dict(network.named_modules())
    if place == MIDDLE:
        blocks = getattr(network, "blocks", None)
        if isinstance(blocks, nn.ModuleList):
            return blocks[len(blocks) // 2]
        for name, module in modules.items():
            if name.endswith(("middle", "mid_block")):
                return module
    if place not in modules or not place:
        raise ValueError(f"{method}: the network has no place {place!r}{nearest(place, [MIDDLE, *filter(None, modules)])}")
    return modules[place]
