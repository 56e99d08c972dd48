"""Training: one network, one method, one seed, iteration by iteration.

Every chance is a stream of (seed, iteration), so the state is weights, optimizer, EMA and what the method has seen.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.data.base import Data
from bench.grid import schedule
from bench.task import NetworkConfig, Task
from bench.train.checkpoint import Tensors, load_optimizer, optimizer_tensors, prefixed, without
from bench.train.diffusion import Diffusion
from bench.train.network import UNet
from bench.train.streams import Streams
from methods.base import Grid, InputError
from methods.composition import Composition

OBSERVE_EVERY = 10  # iterations between two deliveries to the method, and two looks at whether the loss is finite


class Diverged(Exception):
    """The loss stopped being finite."""


@dataclass
class Seen:
    """Timesteps and losses [k, B] of the iterations not yet delivered to the method."""

    t: list[Tensor]
    loss: list[Tensor]


def build_network(config: NetworkConfig, image_shape: tuple[int, ...], seed: int) -> UNet:
    """The task's network for images [C, H, W], with the initial weights of `seed`; raises InputError where sizes clash."""
    channels, height, _ = image_shape
    fields = config.model_dump(exclude={"kind"})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Streams(seed).integer("init"))
        try:
            return UNet(image_size=height, in_channels=channels, out_channels=channels, **fields)
        except ValueError as error:
            raise InputError(f"network: {error}") from error


class Training:
    """A run in memory. `step` advances it by one iteration; `tensors` and `load` carry it through a checkpoint."""

    def __init__(self, task: Task, method: Composition, seed: int, data: Data, device: torch.device):
        self.task, self.method, self.device = task, method, device
        self.streams = Streams(seed)
        self.images = torch.from_numpy(data.train).to(device)
        self.labels = torch.from_numpy(data.train_labels).to(device) if task.network.classes else None
        abar = schedule(task.diffusion.schedule, task.diffusion.timesteps)
        self.diffusion = Diffusion(abar, task.diffusion.prediction, device)
        method.prepare(Grid(abar, task.diffusion.prediction, task.data.sigma_data, task.budget.iterations))

        self.network = build_network(task.network, data.train.shape[1:], seed).to(device)
        config = task.optimizer
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        average = get_ema_multi_avg_fn(task.ema.decay)
        self.average = AveragedModel(self.network, device=device, multi_avg_fn=average)
        self.average.n_averaged.fill_(1)  # the average starts at the initial weights, as improved-diffusion's does
        self.iteration = 0
        self.seconds = 0.0  # spent in `advance`
        self.seen = Seen([], [])

    @property
    def ema(self) -> torch.nn.Module:
        return self.average.module

    def advance(self, iterations: int) -> None:
        """Train on the clock; raises Diverged once the loss is known not to be finite."""
        start = perf_counter()
        try:
            for _ in range(iterations):
                self.step()
                if self.iteration % OBSERVE_EVERY == 0:
                    self.deliver()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        finally:
            self.seconds += perf_counter() - start

    def step(self) -> None:
        n, batch = self.iteration, self.task.optimizer.batch
        picked = torch.from_numpy(self.streams.order(n, batch, len(self.images))).to(self.device)
        x0 = self.images[picked]
        if self.task.data.flip:
            flipped = torch.from_numpy(self.streams.uniform("flips", n, batch) < 0.5).to(self.device)
            x0 = torch.where(flipped[:, None, None, None], x0.flip(-1), x0)
        eps = torch.from_numpy(self.streams.normal("noise", n, tuple(x0.shape))).to(self.device)
        chosen = self.method.timesteps(self.streams.uniform("timesteps", n, batch), n)
        t = torch.from_numpy(chosen).to(self.device)
        if self.task.network.dropout:
            torch.manual_seed(self.streams.integer("dropout", n))
        loss = self.diffusion.eps_mse(self.network, x0, eps, t, None if self.labels is None else self.labels[picked])
        weight = self.method.loss_weight(n)
        if weight is None:
            objective = loss.mean()
        else:
            objective = (torch.from_numpy(weight[chosen]).to(loss) * loss).mean()
        self.optimizer.zero_grad()
        objective.backward()
        self.set_optimizer(n)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.seen.t.append(t)
        self.seen.loss.append(loss.detach())
        self.iteration += 1

    def set_optimizer(self, n: int) -> None:
        """Learning rate and beta1 of iteration n.

        torch corrects Adam's bias by 1 - beta1^step with the current beta1, as the published Demon code does. Exact for
        a changing beta1 would be 1 - prod(beta1_i). Over mdlrc's schedule of 500 iterations the two differ by under 1 % of a
        step, in the first tens of iterations only; by 2.7 % where the horizon is 100, by 10 % where it is 25.
        """
        config = self.task.optimizer
        scale, beta1 = self.method.optimizer(n)
        warmth = min(1.0, (n + 1) / config.warmup) if config.warmup else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * warmth * scale
            group["betas"] = (config.beta1 if beta1 is None else beta1, config.beta2)

    def deliver(self) -> None:
        """Hand the method what it may observe, in sample order; raises Diverged where a loss is not finite."""
        if not self.seen.t:
            return
        loss = torch.stack(self.seen.loss).double().cpu().numpy()
        if not np.isfinite(loss).all():
            raise Diverged(f"loss not finite by iteration {self.iteration}")
        for t, losses in zip(torch.stack(self.seen.t).cpu().numpy(), loss, strict=True):
            self.method.observe(t, losses)
        self.seen = Seen([], [])

    def tensors(self) -> Tensors:
        """All that changes in training, but for the iteration and the clock."""
        seen = {"t": torch.stack(self.seen.t), "loss": torch.stack(self.seen.loss)} if self.seen.t else {}
        state = {name: torch.from_numpy(np.asarray(value)) for name, value in self.method.state_dict().items()}
        return {
            **prefixed("network", self.network.state_dict()),
            **prefixed("ema", self.ema.state_dict()),
            **prefixed("optimizer", optimizer_tensors(self.optimizer)),
            **prefixed("method", state),
            **prefixed("seen", seen),
        }

    def load(self, tensors: Tensors, iteration: int, seconds: float) -> None:
        self.network.load_state_dict(without("network", tensors))
        self.ema.load_state_dict(without("ema", tensors))
        load_optimizer(self.optimizer, without("optimizer", tensors))
        self.method.load_state_dict({name: value.numpy() for name, value in without("method", tensors).items()})
        seen = without("seen", tensors)
        self.seen = Seen(*(list(seen[key].to(self.device).unbind()) for key in ("t", "loss"))) if seen else Seen([], [])
        self.iteration, self.seconds = iteration, seconds
