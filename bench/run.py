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

from bench.data.loading import load
from bench.events import Event
from bench.files import EVAL_COLUMNS, GPU_HOURS, Row, now, with_own, write_atomic, write_json, write_table
from bench.quality.judge import Judge
from bench.quality.pictures import grid_png
from bench.study import RunSpec
from bench.train import checkpoint
from bench.train.loop import OBSERVE_EVERY, Diverged, Training
from bench.train.ranks import Ranks
from methods.registry import Registry

CHECKPOINT = "checkpoint.safetensors"
PACKAGES = ("torch", "numpy", "scikit-learn", "safetensors", "torch-fidelity")
PICTURED = 100  # samples in the picture of a run's latest evaluation


class Interrupted(Exception):
    """The run was asked to stop, and has saved its state."""


class Run:
    """One spec at work in its directory."""

    def __init__(self, spec: RunSpec, root: Path, ranks: Ranks, report: Callable[[Event], None]):
        self.spec, self.task, self.directory, self.report = spec, spec.task, root / spec.directory, report
        self.ranks, self.device = ranks, ranks.device
        torch.set_num_threads(self.task.budget.threads)
        self.data = load(self.task.data)
        method = Registry(spec.methods_path).compose(spec.method)
        self.training = Training(self.task, method, spec.seed, self.data, ranks)
        self.judge = Judge(self.task, self.data, self.training)
        self.evaluations: list[Row] = []
        self.final: Row = {}
        self.eval_seconds = 0.0
        self.row: Row = {}

    def execute(self, should_stop: Callable[[], bool]) -> Row:
        """Train and evaluate to the end of the grid; returns the row of runs.csv. Raises Interrupted when asked to stop."""
        self.start()
        try:
            for goal in self.task.budget.grid():
                if goal < self.training.iteration or goal in (row["iteration"] for row in self.evaluations):
                    continue
                if self.spent():
                    self.row["ended_by"] = GPU_HOURS
                    break
                while self.training.iteration < goal:
                    if self.ranks.agreed(should_stop()):
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

    def spent(self) -> bool:
        """Whether the GPU-hours are. The evaluation before this only confirms, as the one past the iterations does."""
        hours = self.task.budget.gpu_hours
        return hours is not None and self.ranks.agreed(self.training.seconds * self.ranks.count >= hours * 3600)

    def start(self) -> None:
        """Take up the checkpoint where there is one, else begin anew."""
        if self.ranks.first:
            self.directory.mkdir(parents=True, exist_ok=True)
        started = now()
        if (self.directory / CHECKPOINT).exists():
            tensors, facts = checkpoint.unpacked(self.directory / CHECKPOINT)
            self.training.load(tensors, facts["iteration"], facts["train_seconds"])
            self.evaluations, self.eval_seconds, started = facts["evaluations"], facts["eval_seconds"], facts["started"]
            self.final = facts.get("final", {})
        self.row = {
            "task": self.task.name,
            "method": self.spec.method,
            "seed": self.spec.seed,
            "status": "running",
            "device": device_name(self.ranks),
            "precision": self.task.speed.precision,
            "threads": self.task.budget.threads,
            "config_hash": self.task.fixed_hash(),
            "method_hash": self.spec.method_hash,
            "revision": revision(),
            "fidrace_version": version("fidrace"),
            "started": started,
            **self.judge.ceilings(),
            "directory": str(self.spec.directory),
            "packages": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        }
        self.record()
        self.tell("run_started")

    def evaluate(self) -> None:
        """Append the row of the present iteration, and at the budget note what many samples say; not on the clock."""
        start = perf_counter()
        measured, images = self.judge.measure()
        if self.training.iteration == self.task.budget.iterations:
            self.final = self.judge.final()
        self.evaluations.append({**self.place(), "metric": self.task.quality.metric, **measured})
        self.eval_seconds += perf_counter() - start
        if self.ranks.first:
            write_atomic(self.directory / "samples.png", grid_png(images[:PICTURED]))
            write_table(self.directory / "evals.csv", *with_own(self.evaluations, EVAL_COLUMNS))
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
            "final": self.final,
            "started": self.row["started"],
        }
        tensors = self.training.tensors()
        if self.ranks.first:
            write_atomic(self.directory / CHECKPOINT, checkpoint.packed(tensors, facts))
        self.record()

    def finish(self, status: str, error: str = "") -> None:
        """The run's last files: the averaged weights and its row; the checkpoint goes."""
        if status == "finished" and self.ranks.first:
            weights = checkpoint.packed(dict(self.training.ema.state_dict()), {})
            write_atomic(self.directory / "ema.safetensors", weights)
        self.row.update(self.final, status=status, error=error, ended=now())
        self.record()
        if self.ranks.first:
            (self.directory / CHECKPOINT).unlink(missing_ok=True)
        self.tell("run_ended", status=status, error=error)

    def record(self) -> None:
        place = self.place()
        place["iterations"] = place.pop("iteration")
        self.row.update(place, eval_seconds=round(self.eval_seconds, 3))
        if self.ranks.first:
            write_json(self.directory / "run.json", self.row)

    def tell(self, kind: str, **facts: Any) -> None:
        self.report(Event(kind, self.task.name, self.spec.method, self.spec.seed, self.training.iteration, facts))


def device_name(ranks: Ranks) -> str:
    """What a run trains on: `cpu x86_64`, `2 x NVIDIA A100`."""
    one = torch.cuda.get_device_name(ranks.device) if ranks.device.type == "cuda" else f"cpu {platform.machine()}"
    return one if ranks.count == 1 else f"{ranks.count} x {one}"


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
