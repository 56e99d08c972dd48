"""The optimizer of a run: AdamW, or a method's own on parameters grouped by their role, and its state as tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fidrace.errors import InputError
from fidrace.method.composition import Composition
from fidrace.spec.task import OptimizerConfig
from fidrace.storage.checked_tensors import Tensors
from fidrace.train.examples import refuse_writes

NUMBERS = {"float": float, "int": int, "bool": bool}  # of a state, besides tensors


def build_optimizer(config: OptimizerConfig, method: Composition, network: nn.Module, fused: bool) -> Optimizer:
    """The optimizer of a prepared method, its own or AdamW. Raises InputError if a package is missing or another part sets a
    beta1 that the optimizer has not, ValueError for what is no optimizer."""
    betas, part = (config.beta1, config.beta2), method.algorithm
    try:
        with refuse_writes(part, *network.parameters()):
            built = part.build_optimizer(roles_of(network), config.lr, betas, config.weight_decay)
    except ImportError as error:
        ours = "pytorch_optimizer" in str(error)
        raise InputError(f"method {str(part)!r}: {error}" + ("; pip install 'fidrace[optimizers]'" if ours else "")) from error
    if built is None:
        return torch.optim.AdamW(network.parameters(), lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=fused)
    for name in ("param_groups", "step", "state_dict", "load_state_dict"):
        if not hasattr(built, name):
            raise ValueError(f"{part}: build_optimizer gives {type(built).__name__}, which has no {name}")
    trained = {id(parameter) for group in built.param_groups for parameter in group["params"]}
    missing = [name for name, parameter in network.named_parameters() if id(parameter) not in trained]
    if missing:
        raise ValueError(f"{part}: the optimizer does not train {missing[0]}")
    if method.optimizer(0)[1] is not None and not isinstance(built, torch.optim.Adam):  # others mean something else by betas
        setter = method.claims["optimizer"]
        raise InputError(f"{setter} sets Adam's beta1, and {part} is another optimizer than Adam: they do not compose")
    return built


@dataclass(frozen=True)
class Settings:
    """What a group of an optimizer keeps through warm-up and schedules: its learning rate over the task's, and its betas."""

    ratio: float
    betas: tuple[float, float] | None


def settings_of(optimizer: Optimizer, lr: float) -> list[Settings]:
    return [Settings(group["lr"] / lr, group.get("betas")) for group in optimizer.param_groups]


@contextmanager
def evaluation_weights(optimizer: Optimizer) -> Iterator[None]:
    """While the network has the weights that are to be evaluated: others than it trains with, if the optimizer has `eval` and
    `train` (schedule-free)."""
    if not hasattr(optimizer, "eval"):
        yield
        return
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()  # type: ignore[attr-defined]


def roles_of(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters by role: what each does in the network decides which update suits it."""
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "embedding": [], "output": [], "vectors": []}
    layers = [(module, parameter) for module in network.modules() for parameter in module.parameters(recurse=False)]
    last = next(parameter for _, parameter in reversed(layers) if parameter.ndim >= 2)
    for module, parameter in layers:
        embeds = isinstance(module, nn.Embedding)
        role = "vectors" if parameter.ndim < 2 else "output" if parameter is last else "embedding" if embeds else "matrices"
        groups[role].append(parameter)
    return groups


def state_tensors(optimizer: Optimizer) -> Tensors:
    """The optimizer's whole state but the parameters, as tensors: `state/INDEX/KEY`, and `group/INDEX/KEY` for the numbers of
    its groups. A name ends with the kind of a number, the length of a list, or the order of a tensor's dimensions in memory, on
    which the last digits of a product depend."""
    content = optimizer.state_dict()
    found: Tensors = {}
    for index, entry in content["state"].items():
        flatten(f"state/{index}", entry, found)
    for index, group in enumerate(content["param_groups"]):
        flatten(f"group/{index}", {key: value for key, value in group.items() if type(value).__name__ in NUMBERS}, found)
    return found


def flatten(name: str, value: Any, found: Tensors) -> None:
    if isinstance(value, Tensor):
        strides = value.stride()
        order = sorted(range(value.ndim), key=lambda d: -strides[d])
        found[name if order == [*range(value.ndim)] else f"{name}@{'-'.join(map(str, order))}"] = value.permute(order)
    elif isinstance(value, dict):
        for key, one in value.items():
            flatten(f"{name}/{key}", one, found)
    elif isinstance(value, list | tuple):
        found[f"{name}:{len(value)}"] = torch.zeros(0)
        for index, one in enumerate(value):
            flatten(f"{name}/{index}", one, found)
    elif type(value).__name__ in NUMBERS:
        found[f"{name}:{type(value).__name__}"] = torch.tensor(float(value), dtype=torch.float64)
    elif value is not None:
        raise ValueError(f"the optimizer keeps {name}, a {type(value).__name__}: only tensors, numbers and lists can be saved")


def load_state(optimizer: Optimizer, tensors: Tensors) -> None:
    """Load what `state_tensors` gave; raises ValueError if it does not fit."""
    tree: dict[str, Any] = {}
    for name, value in sorted(tensors.items()):
        name, _, order = name.partition("@")
        value = value.clone()  # aligned in memory, as when it was made
        if order:
            value = value.permute([*np.argsort([int(d) for d in order.split("-")])])
        path, _, kind = name.partition(":")
        if kind.isdigit():
            place(tree, path, {"length": int(kind)})
        else:
            place(tree, path, NUMBERS[kind](value.item()) if kind else value)
    groups = [dict(group) for group in optimizer.state_dict()["param_groups"]]
    for index, numbers in tree.get("group", {}).items():
        if int(index) >= len(groups):
            raise ValueError("the optimizer has other groups")
        groups[int(index)] |= numbers
    state = {int(index): rebuilt(entry) for index, entry in tree.get("state", {}).items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def place(tree: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split("/")
    for key in above:
        tree = tree.setdefault(key, {})
    if isinstance(value, dict):
        tree.setdefault(last, {}).update(value)
    else:
        tree[last] = value


def rebuilt(value: Any) -> Any:
    """`value` with lists again where lists were."""
    if not isinstance(value, dict):
        return value
    if "length" in value:
        return [rebuilt(value[str(index)]) if str(index) in value else None for index in range(value["length"])]
    return {key: rebuilt(one) for key, one in value.items()}
