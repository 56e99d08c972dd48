"""The learning rate and beta1 of somebody else's optimizer: set for one step, and given back."""

from typing import Any

import torch
from torch.optim import Optimizer

from fidrace.errors import InputError

Group = dict[str, Any]


def change(optimizer: Optimizer, scale: float, beta1: float | None, method: str) -> list[tuple[Group, Group]]:
    """Multiply each group's learning rate by `scale` and set its beta1; returns what `restore` needs.

    Raises InputError, and changes nothing, if the method sets beta1 and a group has none. SGD's momentum is none: its buffer is
    no average, so a learning rate that compensates Adam's does not compensate it.
    """
    groups = getattr(optimizer, "param_groups", None)
    if not isinstance(groups, list):
        raise InputError(f"race.step takes the optimizer, not {type(optimizer).__name__}")
    if beta1 is not None and any("betas" not in group for group in groups):
        raise InputError(f"method {method!r} sets Adam's beta1, and {type(optimizer).__name__} has none")
    found = []
    for group in groups:
        own = {name: group[name] for name in ("lr", "betas") if name in group}
        if scale != 1 and "lr" in own:
            group["lr"] = own["lr"] * scale
        if beta1 is not None:
            group["betas"] = (beta1, *own["betas"][1:])
        found.append((own, {name: copy_of(group[name]) for name in own}))
    return found


def restore(optimizer: Optimizer, found: list[tuple[Group, Group]]) -> None:
    """Put back what `change` found; raises InputError if it was changed in between: a scheduler would build on the method's
    numbers, and its own would be lost."""
    changed = False
    for group, (own, during) in zip(optimizer.param_groups, found, strict=False):
        changed = changed or any(not equal(group[name], value) for name, value in during.items())
        group.update(own)
    if changed:
        raise InputError("the learning rate or beta1 was changed inside race.step: call the scheduler after it")


def copy_of(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return bool(one == other)
