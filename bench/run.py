"""One run: from a spec to its rows, evaluating on the grid; it takes up an interrupted run where its checkpoint stands."""

import platform
import subprocess
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from bench.data.base import quantised
from bench.data.loading import load
from bench.events import Event
from bench.files import BINS, EVAL_COLUMNS, Row, now, write_atomic, write_json, write_table
from bench.quality.features import load_features
from bench.quality.frechet import Moments, Reference, frechet_with_error
from bench.quality.guards import Guards
from bench.quality.heldout import HeldoutGrid
from bench.quality.pictures import grid_png
from bench.study import RunSpec
from bench.train import checkpoint
from bench.train.loop import OBSERVE_EVERY, Diverged, Training
from bench.train.sampler import ddim
from methods.registry import Registry

CHECKPOINT = "checkpoint.safetensors"
PACKAGES = ("torch", "numpy", "scikit-learn", "safetensors", "torch-fidelity")
PICTURED = 100  # samples in the picture of a run's latest evaluation


class Interrupted(Exception):
    """The run was asked to stop, and has saved its state."""


class Run:
    """One spec at work in its directory."""

    def __init__(self, spec: RunSpec, root: Path, device: str, report: Callable[[Event], None]):
        self.spec, self.task, self.directory, self.report = spec, spec.task, root / spec.directory, report
        self.device = torch.device(device)
        torch.set_num_threads(self.task.budget.threads)
        self.data = load(self.task.data)
        method = Registry(spec.methods_path).compose(spec.method)
        self.training = Training(self.task, method, spec.seed, self.data, self.device)
        self.judge = Judge(self)
        self.evaluations: list[Row] = []
        self.eval_seconds = 0.0
        self.row: Row = {}

    def execute(self, should_stop: Callable[[], bool]) -> Row:
        """Train and evaluate to the end of the grid; returns the row of runs.csv. Raises Interrupted when asked to stop."""
        self.start()
        try:
            for goal in self.task.budget.grid():
                if goal < self.training.iteration or goal in (row["iteration"] for row in self.evaluations):
                    continue
                while self.training.iteration < goal:
                    if should_stop():
                        self.save()
                        raise Interrupted
                    self.training.advance(min(goal - self.training.iteration, OBSERVE_EVERY))
                    self.tell("step")
                self.evaluate()
                self.save()
            self.finish("finished")
        except Diverged as error:
            self.finish("diverged", str(error))
        return self.row

    def start(self) -> None:
        """Take up the checkpoint where there is one, else begin anew."""
        self.directory.mkdir(parents=True, exist_ok=True)
        started = now()
        if (self.directory / CHECKPOINT).exists():
            tensors, facts = checkpoint.unpacked(self.directory / CHECKPOINT)
            self.training.load(tensors, facts["iteration"], facts["train_seconds"])
            self.evaluations, self.eval_seconds, started = facts["evaluations"], facts["eval_seconds"], facts["started"]
        self.row = {
            "task": self.task.name,
            "method": self.spec.method,
            "seed": self.spec.seed,
            "status": "running",
            "device": device_name(self.device),
            "precision": "fp32",
            "threads": self.task.budget.threads,
            "config_hash": self.task.fixed_hash(),
            "method_hash": self.spec.method_hash,
            "revision": revision(),
            "fidrace_version": version("fidrace"),
            "started": started,
            "precision_ceiling": self.judge.guards.ceiling[0],
            "recall_ceiling": self.judge.guards.ceiling[1],
            "directory": str(self.spec.directory),
            "packages": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        }
        self.record()
        self.tell("run_started")

    def evaluate(self) -> None:
        """Append the row of the present iteration; not on the clock."""
        start = perf_counter()
        measured, images = self.judge.measure()
        self.evaluations.append({**self.place(), "metric": self.task.quality.metric, **measured})
        write_atomic(self.directory / "samples.png", grid_png(images[:PICTURED]))
        self.eval_seconds += perf_counter() - start
        write_table(self.directory / "evals.csv", self.evaluations, EVAL_COLUMNS)
        self.tell("evaluation", **measured)

    def place(self) -> Row:
        """Which run, and how far it is: iterations, images and forward passes done, seconds trained."""
        n = self.training.iteration
        return {
            "task": self.task.name,
            "method": self.spec.method,
            "seed": self.spec.seed,
            "iteration": n,
            "images": n * self.task.optimizer.batch,
            "forwards": n,
            "train_seconds": round(self.training.seconds, 3),
        }

    def save(self) -> None:
        facts = {
            "iteration": self.training.iteration,
            "train_seconds": self.training.seconds,
            "eval_seconds": self.eval_seconds,
            "evaluations": self.evaluations,
            "started": self.row["started"],
        }
        write_atomic(self.directory / CHECKPOINT, checkpoint.packed(self.training.tensors(), facts))
        self.record()

    def finish(self, status: str, error: str = "") -> None:
        """The run's last files: the averaged weights and its row; the checkpoint goes."""
        if status == "finished":
            write_atomic(self.directory / "ema.safetensors", checkpoint.packed(dict(self.training.ema.state_dict()), {}))
        self.row.update(status=status, error=error, ended=now())
        self.record()
        (self.directory / CHECKPOINT).unlink(missing_ok=True)
        self.tell("run_ended", status=status, error=error)

    def record(self) -> None:
        place = self.place()
        place["iterations"] = place.pop("iteration")
        self.row.update(place, eval_seconds=round(self.eval_seconds, 3))
        write_json(self.directory / "run.json", self.row)

    def tell(self, kind: str, **facts: Any) -> None:
        self.report(Event(kind, self.task.name, self.spec.method, self.spec.seed, self.training.iteration, facts))


class Judge:
    """What a run's averaged network is worth: distance to the training images, guards, loss on the held-out ones."""

    def __init__(self, run: Run):
        self.training, self.config, self.data, self.device = run.training, run.task.quality, run.data, run.device
        self.steps = run.task.sampler.steps
        self.features = load_features(self.config.features, self.config.features_sha256, run.device)
        train, heldout = (self.features(torch.from_numpy(part)) for part in (self.data.train, self.data.heldout))
        moments = Moments.of(train)
        self.reference = Reference.from_moments(moments.mean, moments.covariance)
        self.guards = Guards.of(train, heldout, self.config.samples)
        self.heldout = HeldoutGrid.of(self.data.heldout, run.task.diffusion.timesteps, self.config.heldout_repeats, run.device)
        self.heldout_labels = torch.from_numpy(self.data.heldout_labels).to(run.device)
        streams, shape = self.training.streams, (self.config.samples, *self.data.train.shape[1:])
        self.latents = torch.from_numpy(streams.normal("latents", 0, shape)).to(run.device)
        classes = run.task.network.classes
        drawn = streams.at("labels").integers(classes, size=self.config.samples) if classes else None
        self.labels = None if drawn is None else torch.from_numpy(drawn).to(run.device)

    def measure(self) -> tuple[Row, torch.Tensor]:
        """The measured columns of evals.csv, and the images they were measured on."""
        network, diffusion = self.training.ema.eval(), self.training.diffusion
        samples = ddim(network, diffusion, self.latents, self.steps, self.labels)
        images = torch.from_numpy(quantised(samples.cpu().numpy(), self.data.levels))
        features = self.features(images)
        fd, error = frechet_with_error(self.reference, features)

        def eps_mse(x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return diffusion.eps_mse(network, x0, eps, t, None if self.labels is None else self.heldout_labels[index])

        loss, bins = self.heldout.loss(eps_mse, BINS)
        by_bin = {f"val_loss_bin{k}": value for k, value in enumerate(bins)}
        return {"fd": fd, "fd_se": error, **self.guards.measure(features), "val_loss": loss, **by_bin}, images


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}"


@lru_cache
def revision() -> str:
    """The git commit that this code stands on, `-dirty` where it was changed since; empty outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""

    if not git("ls-files", Path(__file__).name):  # an installed copy inside somebody else's checkout
        return ""
    return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ":/bench", ":/methods") else "")
