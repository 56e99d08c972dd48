"""The floating-point operations of a training step, as torch counts them: products of matrices, convolutions and attention."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fidrace.method.composition import Composition
from fidrace.spec.task import Task
from fidrace.storage.atomic import Row
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion, Examples
from fidrace.train.loop import Training
from fidrace.train.optimizers import build_optimizer
from fidrace.train.process_group import ProcessGroup
from fidrace.train.taps import Taps

META = torch.device("meta")
_known: dict[tuple[str, ...], float] = {}


def step_flops(task: Task, method: Composition) -> float:
    """FLOPs of one training step of a prepared method on the whole batch: forward and backward pass, the loss on activations
    and the optimizer's own products, in its third step. A multiplication and an addition are two.

    Computed on tensors without content. Not counted, because torch does not: what is done element by element, decompositions
    of matrices, and how a method pairs or draws noise.
    """
    task_key = task.model_dump_json(include={"data", "network", "optimizer", "diffusion", "speed"})
    key = (task_key, *(f"{type(part).__module__} {part}" for part in (method.algorithm, method.auxiliary)))
    if key not in _known:
        _known[key] = _count_pass(task, method) + _count_update(task, method)
    return _known[key]


def count_work(training: Training, note: Callable[[str], None]) -> Row:
    """Backward passes and FLOPs of the iterations so far; if torch cannot count those of this method, none, and `note` is told
    why."""
    flops: float | str = ""
    try:
        flops = training.iteration * step_flops(training.task, training.method)
    except Exception as error:  # in a method's own optimizer or loss, on tensors without content
        note(f"FLOPs not counted: {type(error).__name__}: {error}")
    return {"backwards": training.iteration, "flops": flops}


def _network(task: Task) -> nn.Module:
    with META:
        return build_network(task.network, task.data.shape, 0, task.diffusion.learned_sigma, task.speed.checkpointing)


def _count_pass(task: Task, method: Composition) -> float:
    network, schedule = _network(task), task.noise_schedule()
    diffusion = Diffusion(schedule.abar, schedule.prediction, META, task.diffusion.learned_sigma)
    taps = Taps(network, method.auxiliary)
    with FlopCounterMode(display=False) as counter, META:
        x0 = torch.zeros(task.optimizer.batch, *task.data.shape)
        t = torch.zeros(len(x0), dtype=torch.int64)
        loss = diffusion.losses(network, Examples(x0, x0, t, torch.zeros_like(t) if task.network.classes else None))
        objective = loss.objective.mean() if loss.bits is None else (loss.objective + loss.bits).mean()
        if "auxiliary" in method.claims:
            objective = objective + taps.auxiliary(loss, ProcessGroup(META))
        objective.backward()
    return float(counter.get_total_flops())


def _count_update(task: Task, method: Composition) -> float:
    if "algorithm" not in method.claims:
        return 0.0  # AdamW goes element by element
    network = _network(task)
    with META:
        optimizer = build_optimizer(task.optimizer, method, network, fused=False)
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for _ in range(3):  # the first two prepare the optimizer's state
            with FlopCounterMode(display=False) as counter:
                optimizer.step()
    return float(counter.get_total_flops())
