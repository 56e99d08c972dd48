"""One run, from its spec to its rows: trains, evaluates on the grid, saves checkpoints, and resumes from the last one."""

import platform
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.evaluate.evaluator import Evaluator
from fidrace.execute.events import Event
from fidrace.execute.kept_weights import KeptWeights
from fidrace.execute.provenance import provenance
from fidrace.execute.run_files import RunFiles
from fidrace.method.registry import Registry, content_hash
from fidrace.score.search import Search
from fidrace.score.signatures import COLUMNS, signatures
from fidrace.spec.study import RunSpec
from fidrace.storage.atomic import Row
from fidrace.storage.checked_tensors import Tensors
from fidrace.storage.tables import CROSSED, GPU_HOURS, GRADIENT, WEIGHTS, utc_now
from fidrace.train.checkpoint import Checkpoints
from fidrace.train.flops import count_work
from fidrace.train.loop import OBSERVE_EVERY, Diverged, Training
from fidrace.train.process_group import ProcessGroup


class Interrupted(Exception):
    """The run was asked to stop and has saved its state."""


class Run:
    """A spec at work in its directory; rank 0 writes its files."""

    def __init__(self, spec: RunSpec, root: Path, ranks: ProcessGroup, report: Callable[[Event], None]):
        self.spec, self.task, self.directory, self.report = spec, spec.own_task, root / spec.directory, report
        self.ranks, self.device = ranks, ranks.device
        torch.set_num_threads(self.task.budget.threads)
        self.data = load_data(self.task.data)
        method = Registry(spec.methods_path).compose(spec.method)
        if content_hash(method) != spec.method_hash:
            raise InputError(f"method {spec.method!r} on {platform.node()} is not the code that this study started with")
        self.training = Training(self.task, method, spec.seed, self.data, ranks)
        self.evaluator = Evaluator(self.task, self.data, self.training)
        budget = self.task.budget
        self.steps = budget.evaluation_steps()
        self.search = Search(spec.edges, budget.search_step if budget.search else 1, len(self.steps) - 1)
        self.kept = KeptWeights(self.directory, self.training)
        self.reached: dict[int, Row] = {}  # columns of evals.csv that only training knows, by iteration of the grid
        self.evaluations: list[Row] = []
        self.final: Row = {}
        self.eval_seconds = 0.0
        self.row: Row = {}
        self.files = RunFiles(self.directory, ranks)
        self.checkpoints = Checkpoints(self.directory, str(spec.directory))
        self.has_diverged = False
        self.saved, self.saved_at = (-1, -1), monotonic()  # progress at the last checkpoint, and its time
        self.should_stop: Callable[[], bool] = lambda: False

    def execute(self, should_stop: Callable[[], bool]) -> Row:
        """Train and evaluate to the end of the grid; returns the row of runs.csv. Raises Interrupted if asked to stop."""
        self.should_stop = should_stop
        try:
            self.start()
            self.files.write_real(self.data.heldout)
            self.train_and_measure()
        finally:  # of cycles that would outlive this run
            self.should_stop = lambda: False  # what was given may refer to it
            self.training.release()
        return self.row

    def train_and_measure(self) -> None:
        """Go through the grid and finish the run."""
        try:
            for place, goal in enumerate(self.steps):
                if goal < self.training.iteration:
                    continue
                if place and self.training.iteration == self.steps[place - 1] and self.ends_at(place - 1):
                    break
                while self.training.iteration < goal:
                    self.save_or_stop()
                    self.training.advance(min(goal - self.training.iteration, OBSERVE_EVERY))
                    self.report_event("step")
                if goal not in self.reached:
                    norms = dict(zip(GRADIENT, self.training.take_norms(), strict=True))
                    self.reached[goal] = {"train_seconds": round(self.training.seconds, 3), **norms}
                self.measure_due(place)
            self.finish("finished")
        except Diverged as error:
            self.has_diverged = True
            if self.search.step > 1 and self.reached:
                self.measure_due(self.steps.index(max(self.reached)), ended=True)
            self.finish("diverged", str(error))

    def measure_due(self, place: int, ended: bool = False) -> None:
        """Measure what is due when training has reached a place on the grid, or `ended` there; keep the averaged weights if
        they may be asked for later, and save the run's state."""
        while (due := self.next_place(place, ended)) is not None:
            self.evaluate(self.steps[due])
        arrived = self.training.iteration == self.steps[place]
        if self.ranks.is_first and arrived and place in self.search.may_be_asked(self.distances(), place):
            self.kept.keep(self.steps[place])
        if arrived and self.task.budget.keep_weights:
            self.write_weights(WEIGHTS.format(self.steps[place]))
        if arrived and not ended and self.steps[place] == self.task.budget.iterations and not self.final and not self.stops():
            start = perf_counter()
            self.final = self.evaluator.measure_final(self.save_or_stop)
            self.eval_seconds += perf_counter() - start
        self.save()

    def next_place(self, reached: int, ended: bool) -> int | None:
        """The next place of the grid to measure, or None; rank 0 knows the distances and tells the others."""
        due = self.search.next_place(self.distances(), reached, ended) if self.ranks.is_first else None
        flags = self.ranks.broadcast([place == due for place in range(len(self.steps))])
        return flags.index(True) if any(flags) else None

    def distances(self) -> dict[int, float]:
        """What has been measured, by place of the grid."""
        return {self.steps.index(row["iteration"]): row["fd"] for row in self.evaluations}

    def ends_at(self, place: int) -> bool:
        """True if the run ends at this place of the grid, never between two; then its row says why."""
        if self.stops():
            self.row["ended_by"] = CROSSED
            return True
        if self.are_hours_spent():
            self.measure_due(place, ended=True)
            self.row["ended_by"] = GPU_HOURS
            return True
        return False

    def stops(self) -> bool:
        """Whether `budget.stop` ends the run, because its crossing is confirmed."""
        if self.task.budget.stop is None:
            return False
        return self.ranks.any_rank(self.ranks.is_first and self.search.has_crossed(self.distances()))

    def save_or_stop(self) -> None:
        """Save the run's state if a checkpoint is due or if it was asked to stop; raises Interrupted in the latter case. Called
        between steps and between chunks of samples."""
        stop = self.should_stop()
        due = monotonic() - self.saved_at >= 60 * self.task.budget.checkpoint_minutes
        if self.ranks.any_rank(stop or due):
            self.save()
            if self.ranks.any_rank(stop):
                raise Interrupted

    def are_hours_spent(self) -> bool:
        """Whether `budget.gpu_hours` are spent. The last evaluation then only confirms a crossing, like the one past the
        iterations."""
        hours = self.task.budget.gpu_hours
        return hours is not None and self.ranks.any_rank(self.training.seconds * self.ranks.count >= hours * 3600)

    def start(self) -> None:
        """Resume from the last checkpoint if there is one, and write the run's first row."""
        self.files.prepare()
        started = utc_now()
        if state := self.checkpoints.latest(self.report_note):
            with self.checkpoints.restore_errors():
                started = self.resume(*state)
        self.row = {
            "task": self.task.name,
            "method": self.spec.method,
            "seed": self.spec.seed,
            "status": "running",
            **provenance(self.spec, self.ranks),
            "started": started,
            **self.evaluator.ceilings(),
        }
        self.write_row()
        self.files.write_evaluations(self.evaluations)  # drops those after the checkpoint, which are measured again
        self.report_event("run_started")

    def resume(self, tensors: Tensors, facts: dict[str, Any]) -> str:
        """Restore the state of a checkpoint; returns when the run started. Raises ValueError for a state that no run of this
        task can have."""
        iteration, rows = facts["iteration"], facts["evaluations"]
        if not 0 <= iteration <= self.steps[-1]:
            raise ValueError(f"at iteration {iteration}")
        evaluated = [row["iteration"] for row in rows]
        reached = bisect_right(self.steps, iteration) - 1
        distances = {self.steps.index(row["iteration"]): row["fd"] for row in rows}
        in_order = evaluated == sorted({*evaluated})
        if not in_order or not self.search.allows(distances, reached, self.steps[reached] == iteration):
            raise ValueError(f"at iteration {iteration}, evaluated at {evaluated}")
        self.training.load(tensors, iteration, float(facts["train_seconds"]))
        self.evaluations, self.eval_seconds, self.final = facts["evaluations"], float(facts["eval_seconds"]), {**facts["final"]}
        self.reached = {int(step): columns for step, columns in facts["reached"].items()}
        self.saved = self.progress()
        return str(facts["started"])

    def evaluate(self, iteration: int) -> None:
        """Add the row of this iteration, the present one or an earlier one of which the weights are kept. Not on the training
        clock."""
        start = perf_counter()
        if iteration == self.training.iteration:
            measured, images = self.evaluator.measure(self.save_or_stop)
        else:
            measured, images = self.measure_earlier(iteration)
        row = {**self.progress_columns(iteration), "metric": self.task.quality.metric, **measured, **self.reached[iteration]}
        self.evaluations = sorted([*self.evaluations, row], key=lambda one: int(one["iteration"]))
        self.eval_seconds += perf_counter() - start
        self.files.write_pictures(images, iteration, latest=row is self.evaluations[-1])
        self.files.write_evaluations(self.evaluations)
        self.report_event("evaluation", iteration, **measured)

    def measure_earlier(self, iteration: int) -> tuple[Row, Tensor]:
        """As the evaluator measures, with the averaged weights of an earlier iteration. The state is saved before, not while
        other weights are in place."""
        self.save()

        def pause() -> None:
            if self.ranks.any_rank(self.should_stop()):
                raise Interrupted

        with self.kept.put_back(iteration):
            return self.evaluator.measure(pause)

    def write_weights(self, name: str) -> None:
        """Write the averaged weights to the file `name`."""
        self.files.write_weights(name, dict(self.training.ema.state_dict()))

    def progress_columns(self, n: int) -> Row:
        """The columns that identify the run and count its iterations, images and forward passes."""
        return {
            "task": self.task.name,
            "method": self.spec.method,
            "seed": self.spec.seed,
            "iteration": n,
            "images": self.training.images_by(n),
            "forwards": n,
        }

    def progress(self) -> tuple[int, int]:
        """Iteration and number of evaluations."""
        return self.training.iteration, len(self.evaluations)

    def save(self) -> None:
        """Write a checkpoint, unless nothing has changed since the last one, or the loss is no longer finite."""
        if not self.has_diverged and self.saved != self.progress():
            facts = {
                "iteration": self.training.iteration,
                "train_seconds": self.training.seconds,
                "eval_seconds": self.eval_seconds,
                "evaluations": self.evaluations,
                "final": self.final,
                "started": self.row["started"],
                "reached": self.reached,
            }
            tensors = self.training.tensors()
            if self.ranks.is_first:
                self.checkpoints.save(self.training.iteration, tensors, facts)
                self.sweep_weights()
            self.write_row()
        self.saved, self.saved_at = self.progress(), monotonic()

    def sweep_weights(self) -> None:
        """Remove the kept weights that nothing may ask for any more."""
        if self.search.step > 1:
            reached = bisect_right(self.steps, self.training.iteration) - 1
            places = self.search.may_be_asked(self.distances(), reached)
            self.kept.sweep({self.steps[place] for place in places})

    def finish(self, status: str, error: str = "") -> None:
        """Write the averaged weights and the final row, and remove the checkpoints and the kept weights."""
        if status == "finished":
            self.write_weights("ema.safetensors")
        columns = {name: np.array([row.get(name, np.nan) for row in self.evaluations], float) for name in COLUMNS}
        shown = signatures(columns, self.spec.target, self.task.budget.iterations, self.task.signatures)
        work = count_work(self.training, self.report_note)
        self.row.update(self.final | work, signatures="; ".join(shown), status=status, error=error, ended=utc_now())
        self.write_row()
        if self.ranks.is_first:
            self.kept.clear()
            self.checkpoints.clear()
        ended_by = {"ended_by": self.row["ended_by"]} if "ended_by" in self.row else {}
        self.report_event("run_ended", status=status, error=error, **ended_by)

    def write_row(self) -> None:
        """Write the run's row with its progress so far."""
        columns = self.progress_columns(self.training.iteration)
        columns["iterations"] = columns.pop("iteration")
        self.row.update(columns, train_seconds=round(self.training.seconds, 3), eval_seconds=round(self.eval_seconds, 3))
        self.files.write_row(self.row)

    def report_note(self, text: str) -> None:
        """Report a text for the user."""
        self.report_event("note", text=text)

    def report_event(self, kind: str, iteration: int | None = None, **facts: Any) -> None:
        """Report an event of this run at its present iteration or an earlier one."""
        n = self.training.iteration if iteration is None else iteration
        self.report(Event(kind, self.task.name, self.spec.method, self.spec.seed, n, facts))
