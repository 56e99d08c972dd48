"""The learning rate and beta1 of somebody else's optimizer: set for one step, and given back."""

from typing import Any

import torch
from torch.optim import Optimizer

from fidrace.errors import InputError


def changed(optimizer: Optimizer, scale: float, beta1: float | None, method: str) -> list[dict[str, Any]]:
    """Multiply each group's learning rate and set its beta1, SGD's momentum; returns what `restored` needs.

    Raises InputError, and changes nothing, if the method sets beta1 and a group has none.
    """
    before = []
    for group in optimizer.param_groups:
        momentum = next((key for key in ("betas", "momentum") if key in group), None)
        if beta1 is not None and momentum is None:
            raise InputError(
                f"method {method!r} sets Adam's beta1, and {type(optimizer).__name__} has neither that nor a momentum"
            )
        own = {"lr": group["lr"]} if scale != 1 else {}
        if beta1 is not None and momentum is not None:
            own[momentum] = group[momentum]
        before.append(own)
    for group, own in zip(optimizer.param_groups, before, strict=True):
        if "lr" in own:
            group["lr"] = own["lr"] * scale
        if "betas" in own:
            group["betas"] = (beta1, *own["betas"][1:])
        if "momentum" in own:
            group["momentum"] = beta1
        own["set"] = {key: group[key] for key in own}
    return before


def restored(optimizer: Optimizer, before: list[dict[str, Any]], check: bool = True) -> None:
    """Put back what `changed` found; raises InputError if it was changed in between: a scheduler would build on the method's
    numbers, and its own would be lost."""
    for group, own in zip(optimizer.param_groups, before, strict=True):
        values = own.pop("set")
        if check and any(not _same(group[key], value) for key, value in values.items()):
            raise InputError("the learning rate or beta1 was changed inside race.step: call the scheduler after it")
        group.update(own)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return one is other
    return bool(one == other)
