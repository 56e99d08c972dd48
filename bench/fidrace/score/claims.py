"""Verdicts on published claims: a paper's factor against ours on the task of the claim; other tasks give evidence only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pydantic
from pydantic import Field

from fidrace.errors import InputError
from fidrace.packaged import find_tables
from fidrace.score.comparison import RunTable
from fidrace.score.curves import check_axis
from fidrace.score.guards import guard_table, lost_guards
from fidrace.score.leaderboard import read_run_table
from fidrace.score.method_comparison import MethodComparison
from fidrace.score.notes import notes_of
from fidrace.score.rules import FINAL, NO_FINAL
from fidrace.score.speedups import NAN
from fidrace.spec.task import GRID_FIELDS, Task, load_task, task_names
from fidrace.spec.user_input import BASELINE, Goal, Model, Target, read_toml, validate
from fidrace.storage.manifest import differences

CLAIMS = Path(__file__).with_name("claims.toml")
CLAIM_COLUMNS = (
    "id task method axis claimed measured ci_low ci_high verdict note target measured_on pairs bound factor_read_in paper"
).split()
MIN_SEEDS, PUBLISHED_SEEDS = 3, 10
NOT_RUN, EVIDENCE = "not run", "evidence"


class Claim(Model):
    """A paper's claim that `method` is `factor` times as fast as the baseline on `task`, where it was read, and what would
    decide it."""

    id: str
    paper: str
    task: str
    method: str
    axis: Literal["iterations", "images", "seconds", "forwards"]
    target: Goal
    factor: float = Field(gt=1)
    read_in: str
    needs: str = ""
    iterations: int | None = Field(default=None, gt=0)
    batch: int | None = Field(default=None, gt=0)
    rate: float | None = Field(default=None, gt=0)
    gpu: str = ""
    rate_source: str = ""

    @pydantic.field_validator("method")
    @classmethod
    def _is_no_baseline(cls, method: str) -> str:
        if method == BASELINE:
            raise ValueError("the baseline is what a method is compared with")
        return method

    def decided_by(self) -> str:
        """The command that would decide the claim, or what is missing to run one, and the GPU-hours."""
        command = f"fidrace run {self.task} -m '{self.method}' --seeds {PUBLISHED_SEEDS}"
        if self.task not in task_names():
            return f"there is no task {self.task!r} yet: it takes {self.needs or 'a task of that name'}; {self.hours()}"
        return f"{command} && fidrace claims results/local/{self.task}; {self.hours()}"

    def hours(self) -> str:
        """The GPU-hours of the method and the baseline, for the fewest seeds of a verdict and for a published one."""
        iterations, batch, sampling = self.iterations, self.batch, 0
        if self.task in task_names():
            task = load_task(self.task)
            iterations, batch, sampling = task.budget.evaluation_steps()[-1], task.optimizer.batch, task.sampling_forwards()
        if not (iterations and batch and self.rate):
            return "GPU-hours unknown: its rate has not been measured"
        run = (iterations * batch + sampling / 3) / self.rate / 3600  # a forward pass is a third of a step's work
        few, many = (2 * seeds * run for seeds in (MIN_SEEDS, PUBLISHED_SEEDS))
        samples = f" and {sampling:,} forward passes to draw samples" if sampling else ""
        return (
            f"about {few:,.0f} {self.gpu}-hours for {MIN_SEEDS} seeds, {many:,.0f} for {PUBLISHED_SEEDS} "
            f"({iterations:,} iterations of {batch} images{samples}, {self.rate:g} images/s: {self.rate_source})"
        )


class ClaimsFile(Model):
    claim: tuple[Claim, ...] = Field(min_length=1)


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim and what one folder says about it: a verdict on the task of the claim, else evidence, or nothing."""

    claim: Claim
    verdict: str
    found: MethodComparison | None = None
    measured_on: str = ""
    target: Target | None = None
    notes: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """The row of claims.csv."""
        measured = self.found.speedup if self.found else None
        claim = self.claim
        return {
            "id": claim.id,
            "task": claim.task,
            "method": claim.method,
            "axis": claim.axis,
            "claimed": claim.factor,
            "measured": measured.factor if measured else NAN,
            "ci_low": measured.ci_low if measured else NAN,
            "ci_high": measured.ci_high if measured else NAN,
            "verdict": self.verdict,
            "note": "; ".join(self.notes),
            "target": claim.target if self.target is None else self.target,
            "measured_on": self.measured_on,
            "pairs": measured.pairs if measured else 0,
            "bound": measured.bound if measured else "",
            "factor_read_in": claim.read_in,
            "paper": claim.paper,
        }


def load_claims(path: Path = CLAIMS) -> tuple[Claim, ...]:
    """The claims in a TOML file; raises InputError if the file is invalid or two claims have the same id."""
    claims = validate(ClaimsFile, read_toml(path), str(path)).claim
    ids = [claim.id for claim in claims]
    for twice in {name for name in ids if ids.count(name) > 1}:
        raise InputError(f"{path}: two claims have the id {twice!r}")
    return claims


def verdict_word(low: float, high: float, claimed: float) -> tuple[str, str]:
    """The verdict of the 95 % interval [low, high] on a claimed factor above 1, and a note such as `wide`."""
    if low > claimed:
        return "exceeded", ""
    if low > 1:
        return ("consistent", "wide" if high / low > 2 else "") if high >= claimed else ("smaller", "")
    if high < claimed:
        return "refuted", "slower" if high < 1 else ""
    return "inconclusive", ""


def verdicts_on(claims: tuple[Claim, ...], folder: str | Path | None) -> list[ClaimVerdict]:
    """Each claim against the runs in `folder`, a path or the name of published tables. Raises InputError or NothingToConclude
    if the folder cannot be scored."""
    if folder is None:
        return [ClaimVerdict(claim, NOT_RUN, notes=(claim.decided_by(),)) for claim in claims]
    table = read_run_table(find_tables(folder), aimless=True)
    return [verdict for claim in claims for verdict in verdicts_on_claim(claim, table)]


def verdicts_on_claim(claim: Claim, table: RunTable) -> list[ClaimVerdict]:
    """The verdict at the claim's own target, or `not run`; and as evidence what was measured on another or a changed task,
    against another baseline, or at another target."""
    same_task = table.task == claim.task and not changed_field(table) and table.rules.baseline == BASELINE
    was_run = claim.method in table.methods
    verdicts = [] if same_task and was_run else [ClaimVerdict(claim, NOT_RUN, notes=(claim.decided_by(),))]
    if was_run:
        verdicts.append(measure_claim(claim, table.at(claim.target), NOT_RUN if same_task else EVIDENCE))
        if table.rules.aims and table.rules.target != claim.target:
            verdicts.append(measure_claim(claim, table, EVIDENCE))
    return verdicts


def changed_field(table: RunTable) -> str:
    """The first field of the runs' fixed part that differs from the packaged task of that name, apart from `speed`; '' if none
    is known to differ."""
    name = table.task
    if name not in task_names():
        return ""
    task = load_task(name)
    if table.rules.fixed:
        changed = (field for field, *_ in differences(task.fixed_part(), table.rules.fixed))
        known = open_fields(task) | {f"budget.{field}" for field in GRID_FIELDS}
        return next((field for field in changed if not field.startswith("speed") and field not in known), "")
    hashes = {curve.config_hash for curve in table.curves} - {""}
    return "" if task.has_open_content or hashes <= {task.fixed_hash()} else "config_hash"


def open_fields(task: Task) -> set[str]:
    """The fields that the task leaves open, and a study fills in."""
    return set() if task.data.sha256 else {"data.sha256"}


def measure_claim(claim: Claim, table: RunTable, verdict: str) -> ClaimVerdict:
    """What the runs say about the claim's method; a measured verdict replaces NOT_RUN, EVIDENCE stays."""
    task, target = table.task, table.rules.target
    try:
        if target == FINAL and any(curve.stopped for curve in table.curves):
            raise InputError(NO_FINAL)
        axis = check_axis(claim.axis, table.curves)
        comparison = table.compare(claim.method, axis)
        notes = notes_of(table, claim.method, axis, comparison) + lost_guards(guard_table(table), claim.method)
    except InputError as error:  # a run starts or stops at the claim's target, or its axis was not measured
        return ClaimVerdict(claim, verdict if verdict == EVIDENCE else "inconclusive", None, task, target, (str(error),))
    if "as reconstructed" not in notes and is_reconstructed(claim.method):  # tables without a study.json do not say so
        notes.append("as reconstructed")
    if table.rules.target == claim.target:  # the claim set it, before anything was run
        notes = [note for note in notes if note != "post hoc"]
    if table.rules.baseline != BASELINE:
        notes = [f"measured against {table.rules.baseline}", *notes]
    if field := changed_field(table):
        notes = [f"the task is changed: {field}", *notes]
    if comparison.why_nothing and verdict == NOT_RUN and comparison.speedup:
        verdict, notes = "inconclusive", [comparison.why_nothing, *notes]
    elif comparison.speedup and verdict == NOT_RUN:
        verdict, note = verdict_word(comparison.speedup.ci_low, comparison.speedup.ci_high, claim.factor)
        notes = [*filter(None, [note]), *notes]
    return ClaimVerdict(claim, verdict, comparison, task, target, tuple(notes))


def is_reconstructed(method: str) -> bool:
    """True if a packaged method of that name is a reconstruction of its publication."""
    from fidrace.method.registry import load_method  # late: most of scoring asks no method

    try:
        return load_method(method).evidence() == "reconstructed"
    except InputError:
        return False


def claims_table(verdicts: list[ClaimVerdict]) -> pd.DataFrame:
    """claims.csv."""
    return pd.DataFrame([verdict.row() for verdict in verdicts], columns=pd.Index(CLAIM_COLUMNS))
