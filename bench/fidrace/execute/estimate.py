"""The cost of a study: parameters, FLOPs and memory of a step, and hours from timing a few steps on this machine's device."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from fidrace.data.base import Data
from fidrace.execute.provenance import device_name
from fidrace.method.registry import Registry
from fidrace.spec.study import Study
from fidrace.spec.task import Task
from fidrace.spec.user_input import BASELINE
from fidrace.train.architectures import build_network
from fidrace.train.flops import step_flops
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

SHORT_STEP_SECONDS = 2.0  # a step on the CPU that takes longer is timed on fewer examples
TIMED_EXAMPLES = 4


@dataclass(frozen=True)
class Estimate:
    """The cost of one run: `flops` of the forward and backward pass of a step; `state_bytes` of weights, gradients, optimizer
    and average; `activation_bytes` kept for the backward pass of a microbatch; seconds of training, and of evaluating without
    the feature network."""

    parameters: int
    flops: float
    state_bytes: int
    activation_bytes: int
    peak_bytes: int | None  # measured, on a GPU
    step_seconds: float
    train_seconds: float
    eval_seconds: float
    device: str

    @property
    def on_gpu(self) -> bool:
        return self.peak_bytes is not None

    @property
    def hours(self) -> float:
        return (self.train_seconds + self.eval_seconds) / 3600


def estimate(study: Study, device: str) -> Estimate:
    """The cost of one baseline run of the study, measured on random images."""
    task, ranks = study.own_task, ProcessGroup(torch.device(device))
    parameters, activations = count_memory(task)
    step, forward = time_step_and_forward(task, ranks)
    peak = torch.cuda.max_memory_allocated(ranks.device) if ranks.device.type == "cuda" else None
    budget = task.budget
    steps, hours = budget.evaluation_steps(), budget.gpu_hours
    # a run ends at the first evaluation after its hours are spent
    last = steps[-1] if hours is None else next((n for n in steps if n * step >= hours * 3600), steps[-1])
    forwards = task.sampling_forwards(sum(n <= last for n in steps))
    state = 4 * 5 * parameters  # float32 weights, gradients, two moments and the average
    return Estimate(
        parameters,
        step_flops(task, Registry().compose(BASELINE)),
        state,
        activations * task.microbatch_size(),
        peak,
        step,
        last * step,
        forwards * forward,
        device_name(ranks),
    )


def count_memory(task: Task) -> tuple[int, int]:
    """Parameters, and bytes of the activations that one example keeps for the backward pass, in float32."""
    shape = task.data.shape
    with torch.device("meta"):
        network = build_network(task.network, shape, 0, task.diffusion.learned_sigma, task.speed.checkpointing)
        x, t = torch.zeros(1, *shape), torch.zeros(1)
        labels = torch.zeros(1, dtype=torch.int64) if task.network.classes else None
    kept: dict[int, int] = {}
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        network(x, t, labels)
    return sum(p.numel() for p in network.parameters()), sum(kept.values())


def time_step_and_forward(task: Task, ranks: ProcessGroup) -> tuple[float, float]:
    """Seconds of a training step on the whole batch, and of a forward pass per image: medians on random images."""
    torch.set_num_threads(task.budget.threads)
    batch = min(TIMED_EXAMPLES, task.optimizer.batch)
    training = random_training(task, batch, ranks)
    training.advance(1)  # allocates and compiles
    seconds = median_seconds(lambda: training.advance(1), 1, ranks)
    if seconds * task.optimizer.batch / batch < SHORT_STEP_SECONDS or ranks.device.type == "cuda":
        batch = task.optimizer.batch
        del training
        training = random_training(task, batch, ranks)
        training.advance(1)
        seconds = median_seconds(lambda: training.advance(1), 5, ranks)
    images = task.sampler.batch if task.speed.compile else min(batch, task.sampler.batch)  # compiled, fewer would be padded
    x, t = torch.randn(images, *task.data.shape, device=ranks.device), torch.zeros(images, device=ranks.device)
    labels = torch.zeros(images, dtype=torch.int64, device=ranks.device) if task.network.classes else None

    def forward() -> None:
        training.predict(x, t, labels)

    forward()
    return seconds * task.optimizer.batch / batch, median_seconds(forward, 3, ranks) / images


def random_training(task: Task, batch: int, ranks: ProcessGroup) -> Training:
    """A baseline run on a batch of random images."""
    changed = task.model_copy(update={"optimizer": task.optimizer.model_copy(update={"batch": batch})})
    images = np.random.default_rng(0).integers(0, 256, (batch, *task.data.shape), dtype=np.uint8)
    labels = np.zeros(batch, dtype=np.int64)
    data = Data(images, labels, images, labels, levels=256, sha256="")
    return Training(changed, Registry().compose(BASELINE), 0, data, ranks)


def median_seconds(work: Callable[[], None], times: int, ranks: ProcessGroup) -> float:
    """The median duration of `times` calls of `work`, each until the device is done."""
    measured = []
    for _ in range(times):
        start = perf_counter()
        work()
        if ranks.device.type == "cuda":
            torch.cuda.synchronize(ranks.device)
        measured.append(perf_counter() - start)
    return float(np.median(measured))
