"""Training: one network, one method, one seed, iteration by iteration.

All randomness is a stream of (seed, iteration), so the state is weights, optimizer, EMA and what the method has observed.
No step waits for the device; the losses are read once every OBSERVE_EVERY iterations.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
import torch._dynamo  # the first AdamW imports it, and what stays of that import would keep the run that called it alive
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_avg_fn, get_ema_multi_avg_fn

from fidrace.data.base import Data
from fidrace.errors import InputError
from fidrace.method.base import Ints
from fidrace.method.composition import Composition
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import Task
from fidrace.storage.checked_tensors import Tensors
from fidrace.train.architectures import build_network
from fidrace.train.batches import Batch, Batches, to_device
from fidrace.train.checkpoint import add_prefix, load_optimizer, optimizer_tensors, strip_prefix
from fidrace.train.diffusion import Diffusion, Examples
from fidrace.train.examples import check_fit, make_examples
from fidrace.train.optimizers import build_optimizer, evaluation_weights, load_state, settings_of, state_tensors
from fidrace.train.precision import apply_layout, autocast, break_cycle, set_float32
from fidrace.train.process_group import ProcessGroup
from fidrace.train.taps import Taps

OBSERVE_EVERY = 10  # iterations after which the method observes their losses, and losses are checked to be finite


class Diverged(Exception):
    """The loss is no longer finite."""


@dataclass
class PendingLosses:
    """Iterations that the method has not yet observed: timesteps [B] of whole batches, losses [b] of this rank."""

    t: list[Ints]
    loss: list[Tensor]


class Training:
    """The training state of one run. `step` does one iteration; `tensors` and `load` save and restore the state. With several
    ranks, all of them make the same calls at the same time."""

    def __init__(self, task: Task, method: Composition, seed: int, data: Data, ranks: ProcessGroup):
        task = task.with_settings(method.settings())
        self.task, self.method, self.ranks, self.device = task, method, ranks, ranks.device
        if task.optimizer.batch % ranks.count:
            raise InputError(f"a batch of {task.optimizer.batch} does not divide among {ranks.count} processes")
        check_fit(task, method)
        self.streams = Streams(seed)
        self.batches = Batches(task, data, self.streams, ranks, method.changes_batch)
        schedule, sigma = task.noise_schedule(), task.diffusion.learned_sigma
        method.prepare(schedule)
        prediction = method.prediction(schedule.prediction)
        self.diffusion = Diffusion(schedule.abar, prediction, self.device, sigma, data.levels)

        network = build_network(task.network, data.train.shape[1:], seed, sigma, task.speed.checkpointing)
        self.network = network.to(self.device)
        self.optimizer = build_optimizer(task.optimizer, method, self.network, task.speed.fused)
        self.settings = settings_of(self.optimizer, task.optimizer.lr)
        self.ema = apply_layout(deepcopy(self.network).eval(), task.speed)  # starts at the initial weights, as OpenAI's does
        self.taps = Taps(self.network, method.auxiliary)  # after the copy, whose passes nobody listens to
        self.model = self.wrap_distributed(apply_layout(self.network, task.speed))
        # the same tensors in every step: to list them anew takes longer than to average them
        self.averaged = tuple([parameter.detach() for parameter in one.parameters()] for one in (self.ema, self.network))
        self.iteration = 0
        self.seconds = 0.0  # spent in `advance`
        self.pending = PendingLosses([], [])
        self.norms: list[Tensor] = []  # of the gradient before clipping, one in OBSERVE_EVERY iterations, not yet taken

    def release(self) -> None:
        """Let the networks be freed with this object; they are not called again."""
        for network in (self.network, self.ema):
            break_cycle(network)

    def wrap_distributed(self, network: nn.Module) -> nn.Module:
        """Wrap `network` so that gradients are averaged over the ranks."""
        if self.ranks.count == 1:
            return network
        return DistributedDataParallel(network, [self.device] if self.device.type == "cuda" else None)

    def advance(self, iterations: int) -> None:
        """Train for `iterations` and add the time to `seconds`; raises Diverged if a loss that is read is not finite."""
        start = perf_counter()
        try:
            for _ in range(iterations):
                self.step()
                if self.iteration % OBSERVE_EVERY == 0:
                    self.observe_losses()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        finally:
            self.seconds += perf_counter() - start

    def step(self) -> None:
        set_float32(self.task.speed)
        n = self.iteration
        batch = self.batches.at(n)
        chosen = self.method.timesteps(batch.uniforms, n)
        weight = self.method.loss_weight(n)
        mine = self.ranks.slice_of(chosen)
        whole = to_device(torch.from_numpy(chosen), self.device)
        examples = self.make_examples(batch, whole, n)
        t = examples.t
        w = None if weight is None else to_device(torch.from_numpy(weight[mine].astype(np.float32)), self.device)
        if self.task.network.dropout:
            torch.manual_seed(self.streams.integer(f"dropout/{self.ranks.rank}" if self.ranks.rank else "dropout", n))
        self.optimizer.zero_grad()
        losses = []
        for part in self.microbatches(len(t)):
            with self.skip_all_reduce(part.stop < len(t)):
                with autocast(self.task.speed, self.device):
                    loss = self.diffusion.losses(self.model, examples[part])
                objective = (loss.objective if w is None else w[part] * loss.objective).mean()
                if loss.bits is not None:  # never weighted: a method's weight is defined on the eps-MSE
                    objective = objective + loss.bits.mean()
                if "auxiliary" in self.method.claims:
                    objective = objective + self.taps.auxiliary(loss, self.ranks)
                (objective * (len(loss.mse) / len(t))).backward()
            losses.append(loss.mse.detach())
        if n % OBSERVE_EVERY == 0:
            self.norms.append(nn.utils.get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None]))
        if self.task.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.task.optimizer.clip)
        self.set_optimizer(n)
        self.optimizer.step()
        self.update_ema()
        self.pending.t.append(chosen)
        self.pending.loss.append(torch.cat(losses))
        self.iteration += 1

    def make_examples(self, batch: Batch, t: Tensor, n: int) -> Examples:
        """This rank's examples of step n; t[B] of the whole batch."""
        return make_examples(batch, t, n, self.method, self.diffusion, self.batches, self.ranks)

    def microbatches(self, count: int) -> Iterator[slice]:
        """Slices of `count` examples, each of at most speed.microbatch."""
        size = self.task.speed.microbatch or count
        for start in range(0, count, size):
            yield slice(start, min(start + size, count))

    def skip_all_reduce(self, skip: bool) -> AbstractContextManager[None]:
        """Accumulate gradients without averaging them over the ranks, if `skip`: only the last microbatch needs that."""
        return self.model.no_sync() if skip and isinstance(self.model, DistributedDataParallel) else nullcontext()

    def update_ema(self) -> None:
        """Update the average after the step just made, and copy it into the network if the method says so."""
        # torch's own update, but not through AveragedModel, which reads a counter on the device in every step
        n, (means, weights) = self.iteration + 1, self.averaged
        with evaluation_weights(self.optimizer):
            self.average(means, weights, n)
        if self.method.feedback(n):
            for mean, new in zip(means, weights, strict=True):
                new.copy_(mean)

    def average(self, means: list[Tensor], weights: list[Tensor], n: int) -> None:
        own = self.method.decay(n)
        decay = self.task.ema.decay if own is None else own
        if self.task.speed.foreach:
            get_ema_multi_avg_fn(decay)(means, weights, 1)
        else:
            average = get_ema_avg_fn(decay)
            for mean, new in zip(means, weights, strict=True):
                mean.copy_(average(mean, new, 1))

    def set_optimizer(self, n: int) -> None:
        """Learning rate and beta1 of iteration n.

        torch corrects Adam's bias by 1 - beta1^step with the current beta1, as the published Demon code does. Exact for
        a changing beta1 would be 1 - prod(beta1_i). Over mdlrc's schedule of 500 iterations the two differ by under 1 % of a
        step, in the first tens of iterations only; by 2.7 % if the horizon is 100, by 10 % if it is 25.
        """
        config = self.task.optimizer
        scale, beta1 = self.method.optimizer(n)
        warmth = min(1.0, (n + 1) / config.warmup) if config.warmup else 1.0
        for group, own in zip(self.optimizer.param_groups, self.settings, strict=True):
            group["lr"] = config.lr * own.ratio * warmth * scale
            if own.betas:
                group["betas"] = (own.betas[0] if beta1 is None else beta1, own.betas[1])

    def observe_losses(self) -> None:
        """Let the method observe the pending losses, in sample order; raises Diverged if a loss is not finite."""
        if not self.pending.t:
            return
        loss = self.pending_losses().double().cpu().numpy()
        if not np.isfinite(loss).all():
            raise Diverged(f"loss not finite by iteration {self.iteration}")
        for t, losses in zip(self.pending.t, loss, strict=True):
            self.method.observe(t, losses)
        self.pending = PendingLosses([], [])

    def pending_losses(self) -> Tensor:
        """The pending losses [k, B] of k iterations, gathered from all ranks in the order of the examples."""
        return self.ranks.gather(torch.stack(self.pending.loss, 1)).T

    @torch.no_grad()
    def predict(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The averaged network's output [B, C, H, W] as float32, computed in the run's precision; t already scaled."""
        set_float32(self.task.speed)
        with autocast(self.task.speed, self.device):
            if self.task.speed.compile:
                return call_in_batches(self.ema, self.task.sampler.batch, x, t, labels).float()
            return self.ema(x, t, labels).float()

    def images_by(self, n: int) -> int:
        """The images read by iteration n, with those that a method reads besides the batch, equally many in each step."""
        return n * self.task.optimizer.batch + round(self.batches.read * n / max(self.iteration, 1))

    def take_norms(self) -> tuple[float, float]:
        """The mean and the largest norm of the gradient since the last call; NaN if there was no iteration."""
        norms, self.norms = self.norms, []
        return (float(torch.stack(norms).mean()), float(torch.stack(norms).max())) if norms else (math.nan, math.nan)

    def optimizer_tensors(self) -> Tensors:
        return (state_tensors if "algorithm" in self.method.claims else optimizer_tensors)(self.optimizer)

    def tensors(self) -> Tensors:
        """The whole training state, except the iteration and the seconds."""
        seen = {"t": torch.from_numpy(np.stack(self.pending.t)), "loss": self.pending_losses()} if self.pending.t else {}
        state = {name: torch.from_numpy(np.asarray(value)) for name, value in self.method.state_dict().items()}
        return {
            **add_prefix("network", self.network.state_dict()),
            **add_prefix("ema", self.ema.state_dict()),
            **add_prefix("optimizer", self.optimizer_tensors()),
            **add_prefix("method", state),
            **add_prefix("seen", seen),
            **({"norms": torch.stack(self.norms)} if self.norms else {}),
            **({"read": torch.tensor(self.batches.read)} if self.batches.read else {}),
        }

    def load(self, tensors: Tensors, iteration: int, seconds: float) -> None:
        """Restore the state of `tensors` after `iteration` iterations; raises if it is not this run's."""
        self.network.load_state_dict(strip_prefix("network", tensors))
        self.ema.load_state_dict(strip_prefix("ema", tensors))
        if "algorithm" in self.method.claims:
            load_state(self.optimizer, strip_prefix("optimizer", tensors))
        else:
            load_optimizer(self.optimizer, strip_prefix("optimizer", tensors), iteration)
        self.method.load_state_dict({name: value.numpy() for name, value in strip_prefix("method", tensors).items()})
        seen = strip_prefix("seen", tensors)
        self.pending = PendingLosses([], [])
        if seen:
            losses = [self.ranks.slice_of(loss).to(self.device) for loss in seen["loss"]]
            self.pending = PendingLosses(list(seen["t"].numpy()), losses)
        self.norms = [*tensors["norms"].to(self.device)] if "norms" in tensors else []
        self.batches.read = int(tensors["read"]) if "read" in tensors else 0
        self.iteration, self.seconds = iteration, seconds


def call_in_batches(network: nn.Module, size: int, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
    """The network's output for x[B, ...], t[B] and labels[B], computed `size` examples at a time, the last of them padded by
    repetition: a compiled network then needs one graph, whatever B."""
    outputs = []
    for start in range(0, len(x), size):
        part = torch.arange(start, start + size, device=x.device).clamp(max=len(x) - 1)
        outputs.append(network(x[part].contiguous(), t[part], None if labels is None else labels[part]))
    return torch.cat(outputs)[: len(x)]
