"""One run of somebody's trainer, from its spec to its rows: the command trains, then checkpoints are measured on a grid."""

import hashlib
import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch

from fidrace.data.base import to_unit_range
from fidrace.errors import InputError
from fidrace.evaluate.image_sets import read_image_set
from fidrace.evaluate.sample_distance import SampleDistance, reference_of
from fidrace.execute.events import Event
from fidrace.execute.run_files import RunFiles
from fidrace.execute.trainer.checkpoints import choose_checkpoints, content_hash, find_checkpoints
from fidrace.execute.trainer.own_config import read_config, share_config
from fidrace.execute.trainer.process import CommandFailed, end_left_behind, run_command
from fidrace.spec.command import command_words
from fidrace.spec.study import RunSpec
from fidrace.spec.trainer import TrainerTask
from fidrace.storage.atomic import Row, read_record, write_atomic
from fidrace.storage.tables import read_rows, utc_now
from fidrace.train.process_group import ProcessGroup

CODE = (".py", ".sh", ".toml", ".yaml", ".yml")  # of files that git does not know
LOOK = 1.0  # seconds between two looks for new checkpoints
SUFFIXES = ("", ".npz", ".zip")  # of {samples}: a folder, or a file


class TrainerRun:
    """A spec at work in its directory. `out` is what the command writes."""

    def __init__(self, spec: RunSpec, root: Path, ranks: ProcessGroup, report: Callable[[Event], None]):
        assert isinstance(spec.task, TrainerTask)
        self.spec, self.task, self.trainer, self.report = spec, spec.task, spec.task.trainer, report
        self.root, self.directory, self.device = root, root / spec.directory, ranks.device
        self.out, self.log = (self.directory / "out").absolute(), (self.directory / "log.txt").absolute()
        self.files = RunFiles(self.directory, ranks)
        self.row: Row = {}
        self.evaluations: list[Row] = []
        self.iteration, self.looked = 0, 0.0
        self.should_stop: Callable[[], bool] = lambda: False

    def execute(self, should_stop: Callable[[], bool]) -> Row:
        """Train and measure; returns the row of runs.csv. Raises CommandStopped if asked to stop, CommandFailed or InputError
        if a command does not do what the study says."""
        self.should_stop = should_stop
        os.environ["OMP_NUM_THREADS"] = str(self.task.budget.threads)
        self.start()
        if not self.row.get("trained"):
            begun = monotonic()
            try:
                self.train()
            finally:
                self.row["train_seconds"] = round(float(self.row.get("train_seconds", 0)) + monotonic() - begun, 3)
                self.row["process_group"] = 0
                self.write_row()
        found = find_checkpoints(self.out, self.trainer)
        self.checkpoints = choose_checkpoints(self.task.budget.evaluation_steps(), found, self.trainer)
        last = content_hash(found[max(found)])
        self.row |= {"trained": True, "start_sha256": content_hash(found[0]) if 0 in found else "", "end_sha256": last}
        self.write_row()
        if self.trainer.config:
            share_config(self.root, f"{self.spec.method} seed {self.spec.seed}", self.config())
        measured = {int(row["iteration"]) for row in self.evaluations}
        for step in self.checkpoints:
            if step not in measured:
                self.evaluate(step)
        self.finish()
        return self.row

    def config(self) -> dict[str, Any]:
        return read_config(self.out, self.trainer.config, self.trainer.varies)

    def start(self) -> None:
        """Take up what an earlier attempt has left, and write the run's first row."""
        self.files.prepare()
        path = self.directory / "run.json"
        before = read_record(path, "remove its folder") if path.exists() else {}
        earlier = self.directory / "evals.csv"
        if not self.is_trained(before):
            before.pop("trained", None)
        self.evaluations = read_rows(earlier) if before.get("trained") and earlier.exists() else []
        if before.get("process_group") and before.get("host") == platform.node():
            end_left_behind(int(before["process_group"]), self.log)
        changed = describe_source(str(self.trainer.source))
        self.row = {
            "task": self.task.name,
            "method": self.spec.method,
            "seed": self.spec.seed,
            "status": "running",
            "device": "",
            "threads": self.task.budget.threads,
            "config_hash": self.task.fixed_hash(),
            "method_hash": self.spec.method_hash,
            "revision": changed[0],
            "fidrace_version": version("fidrace"),
            "directory": str(self.spec.directory),
            "host": platform.node(),
            "pid": os.getpid(),
            "started": before.get("started") or utc_now(),
            **{name: before[name] for name in ("trained", "train_seconds", "eval_seconds") if name in before},
        }
        if changed[1]:
            write_atomic(self.directory / "source.diff", changed[1])
        self.write_row()
        self.files.write_evaluations(self.evaluations)
        if self.trainer.resume or self.row.get("trained"):
            self.iteration = max(find_checkpoints(self.out, self.trainer), default=0)
        self.report_event("run_started")

    def is_trained(self, before: Row) -> bool:
        """True if an earlier attempt trained to the end and its last checkpoint is still there (people remove damaged ones)."""
        found = find_checkpoints(self.out, self.trainer) if before.get("trained") else {}
        return bool(found) and content_hash(found[max(found)]) == before.get("end_sha256")

    def values(self, **more: object) -> dict[str, object]:
        """The fields of a command's template."""
        own = {"out": self.out, "seed": self.spec.seed, "method": self.spec.method, "budget": self.task.budget.iterations}
        arguments = self.trainer.arguments_of(self.spec.method)
        return {**own, "arguments": arguments, **more}

    def train(self) -> None:
        """Run the command to its end: from the last checkpoint that it can resume from, or anew."""
        there = find_checkpoints(self.out, self.trainer) if self.trainer.resume else {}
        failure = None
        for step, checkpoint in [*reversed(there.items())][:2]:  # the last one may have been cut short
            try:
                self.run("resume", self.trainer.resume, self.watch, checkpoint=checkpoint, step=step)
                return
            except CommandFailed as error:
                failure = CommandFailed(f"cannot resume at step {step}: {error}")
                self.report_event("note", text=str(failure))
        if failure:  # its checkpoints stay: --retry-failed tries again
            raise failure
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.log.unlink(missing_ok=True)
        self.run("command", self.trainer.command, self.watch)

    def run(self, name: str, template: str, watch: Callable[[], object] = lambda: None, **more: object) -> str:
        words = command_words(template, self.values(**more), self.trainer.shell)
        patience = 60 * self.trainer.patience
        where = (self.source, self.log, self.should_stop)
        return run_command(f"trainer.{name}", words, *where, patience, watch, self.note_group)

    def note_group(self, group: int) -> None:
        """Record the command's process group, so that whoever takes the run up can end what has outlived its worker."""
        self.row["process_group"] = group
        self.write_row()

    @property
    def source(self) -> Path:
        assert self.trainer.source
        return self.trainer.source

    def watch(self) -> int:
        """Report how far training has come by its newest checkpoint."""
        if monotonic() - self.looked < LOOK:  # there may be many files
            return self.iteration
        self.iteration, self.looked = max(find_checkpoints(self.out, self.trainer), default=0), monotonic()
        self.report_event("step")  # also the same as before: a worker whose parent is gone finds out so, and stops
        return self.iteration

    def evaluate(self, step: int) -> None:
        """Add the row of `step`, and remove the samples that it was measured on."""
        begun = monotonic()
        samples = (self.directory / "samples").absolute()
        remove_samples(samples)
        count = self.trainer.samples
        first = self.spec.seed * count  # the same latents for every method of a seed
        place: dict[str, Any] = {"checkpoint": self.checkpoints[step], "step": step, "samples": samples, "count": count}
        place |= {"first": first, "last": first + count - 1}
        if self.trainer.evaluate:
            self.run("evaluate", self.trainer.evaluate, **place)
        measured = self.measure(samples, place, step)
        batch = self.trainer.batch
        columns = {"task": self.task.name, "method": self.spec.method, "seed": self.spec.seed, "iteration": step}
        columns |= {"images": step * batch if batch else "", "forwards": "", "metric": self.task.quality.metric}
        self.evaluations.append({**columns, **measured})
        self.iteration = step
        self.row["eval_seconds"] = round(float(self.row.get("eval_seconds", 0)) + monotonic() - begun, 3)
        self.files.write_evaluations(self.evaluations)
        self.write_row()
        self.report_event("evaluation", **measured)
        remove_samples(samples)

    def measure(self, samples: Path, place: dict[str, Any], step: int) -> Row:
        """The measured columns: by fidrace from the samples, or by their command."""
        if self.trainer.fid:
            printed = self.run("fid", self.trainer.fid.command, **place)
            return {"fd": read_number(printed, self.trainer.fid.read), "fd_se": math.nan}
        images = read_image_set(find_samples(samples))
        if len(images) != self.trainer.samples:
            raise InputError(f"trainer.evaluate drew {len(images)} samples at step {step}, not {self.trainer.samples}")
        measured = known_reference(self.trainer.ref_path(), self.trainer.features, str(self.device)).measure(images)
        shown = to_unit_range(torch.from_numpy(images[:100]))
        self.files.write_pictures(shown, step, latest=True)
        return measured

    def finish(self) -> None:
        """Write the final row; a distance that is no number means that the run diverged."""
        bad = [row["iteration"] for row in self.evaluations if not np.isfinite(float(row["fd"]))]
        status, error = ("diverged", f"the distance at step {bad[0]} is not finite") if bad else ("finished", "")
        self.iteration = self.task.budget.iterations
        self.row |= {"status": status, "error": error, "ended": utc_now()}
        self.write_row()
        self.report_event("run_ended", status=status, error=error)

    def write_row(self) -> None:
        batch, n = self.trainer.batch, self.task.budget.iterations if self.row.get("trained") else self.iteration
        self.row |= {"iterations": n, "images": n * batch if batch else ""}
        self.files.write_row(self.row)

    def report_event(self, kind: str, **facts: Any) -> None:
        self.report(Event(kind, self.task.name, self.spec.method, self.spec.seed, self.iteration, facts))


def find_samples(samples: Path) -> Path:
    """The folder or file that the command has written; raises InputError unless there is one."""
    found = [path for suffix in SUFFIXES if (path := samples.with_name(samples.name + suffix)).exists()]
    if len(found) != 1:
        said = " and ".join(path.name for path in found) or "nothing"
        raise InputError(
            f"trainer.evaluate has left {said} at {{samples}}: it must write a folder {{samples}}, or one {{samples}}.npz"
        )
    return found[0]


def remove_samples(samples: Path) -> None:
    for suffix in SUFFIXES:
        path = samples.with_name(samples.name + suffix)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read_number(printed: str, pattern: str) -> float:
    """The one number that `pattern` finds; raises InputError if it finds none, several, or no number."""
    found = re.findall(pattern, printed, re.MULTILINE)
    if len(found) != 1:
        raise InputError(
            f"trainer.fid.read {pattern!r} finds {len(found) or 'nothing'} in what the command printed: it must find one"
        )
    try:
        value = float(found[0])
    except ValueError:
        raise InputError(f"trainer.fid.read {pattern!r} finds {found[0]!r}, which is no number") from None
    if value < 0:
        raise InputError(f"trainer.fid.read {pattern!r} finds {found[0]}, and a distance is not below 0")
    return value


@lru_cache(maxsize=2)
def known_reference(ref: str, features: str | None, device: str) -> SampleDistance:
    """The reference, loaded once in a process."""
    return reference_of(ref, features, torch.device(device))


def describe_source(folder: str) -> tuple[str, str]:
    """The git revision of the trainer's folder, and what differs from it; then the revision ends in `-dirty-` and a hash of
    that. Empty for a folder that is in no repository. Of files that git does not know, only code and configurations count."""

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        return done.stdout.decode(errors="replace")

    head = git("rev-parse", "HEAD").strip()
    if not head:
        return "", ""
    root = Path(git("rev-parse", "--show-toplevel").strip())
    unknown = git("-c", "core.quotepath=off", "ls-files", "--others", "--exclude-standard", "--full-name", ":/").splitlines()
    changed = git("diff", "HEAD")
    for name in unknown:
        if name.endswith(CODE) and (root / name).is_file():
            changed += f"\n+++ {name}\n" + (root / name).read_text(encoding="utf-8", errors="replace")
    dirty = f"-dirty-{hashlib.sha256(changed.encode()).hexdigest()[:8]}" if changed else ""
    return head + dirty, changed
