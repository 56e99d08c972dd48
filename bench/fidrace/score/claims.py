"""Verdicts on published claims: a paper's factor beside ours, on the task that it was claimed on; other tasks are evidence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pydantic
from pydantic import Field

from fidrace.errors import InputError
from fidrace.method.registry import Registry
from fidrace.score.comparison import Comparison, RunTable
from fidrace.score.guards import guard_table, lost_guards
from fidrace.score.leaderboard import read_run_table
from fidrace.score.speedups import NAN
from fidrace.spec.study import BASELINE, Target
from fidrace.spec.task import Goal, Model, Task, load_task, read_toml, task_names, validate
from fidrace.storage.manifest import differences

CLAIMS = Path(__file__).with_name("claims.toml")
CLAIM_COLUMNS = (
    "id task method axis claimed measured ci_low ci_high verdict note target measured_on pairs bound factor_read_in paper"
).split()
MIN_SEEDS, PUBLISHED_SEEDS = 3, 10
NOT_RUN, EVIDENCE = "not run", "evidence"


class Claim(Model):
    """A paper's claim: `method` is `factor` times as fast as the baseline on `task`; where that was read, and what
    deciding it would take."""

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
        """The command that would decide it, or what is missing for there to be one; and the GPU-hours."""
        command = f"fidrace run {self.task} -m '{self.method}' --seeds {PUBLISHED_SEEDS}"
        if self.task not in task_names():
            return f"no task {self.task!r} here yet: it takes {self.needs or 'a task of that name'}; {self.hours()}"
        return f"{command} && fidrace claims results/local/{self.task}; {self.hours()}"

    def hours(self) -> str:
        """What 2 methods cost for the fewest seeds of a verdict, and for a published one."""
        iterations, batch, drawn = self.iterations, self.batch, 0
        if self.task in task_names():
            task = load_task(self.task)
            iterations, batch, drawn = task.budget.evaluation_steps()[-1], task.optimizer.batch, task.sampling_forwards()
        if not (iterations and batch and self.rate):
            return "GPU-hours not known: nobody has measured its rate for us"
        run = (iterations * batch + drawn / 3) / self.rate / 3600  # a forward pass is a third of a step's work
        few, many = (2 * seeds * run for seeds in (MIN_SEEDS, PUBLISHED_SEEDS))
        samples = f" and {drawn:,} forward passes to draw samples" if drawn else ""
        return (
            f"about {few:,.0f} {self.gpu}-hours for {MIN_SEEDS} seeds, {many:,.0f} for {PUBLISHED_SEEDS} "
            f"({iterations:,} iterations of {batch} images{samples}, {self.rate:g} images/s: {self.rate_source})"
        )


class ClaimsFile(Model):
    claim: tuple[Claim, ...] = Field(min_length=1)


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim beside what one folder says: a verdict where the task is the claim's, else evidence or nothing."""

    claim: Claim
    verdict: str
    found: Comparison | None = None
    measured_on: str = ""
    target: Target | None = None
    notes: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Its row of claims.csv."""
        one = self.found.speedup if self.found else None
        claim = self.claim
        return {
            "id": claim.id,
            "task": claim.task,
            "method": claim.method,
            "axis": claim.axis,
            "claimed": claim.factor,
            "measured": one.factor if one else NAN,
            "ci_low": one.ci_low if one else NAN,
            "ci_high": one.ci_high if one else NAN,
            "verdict": self.verdict,
            "note": "; ".join(self.notes),
            "target": claim.target if self.target is None else self.target,
            "measured_on": self.measured_on,
            "pairs": one.pairs if one else 0,
            "bound": one.bound if one else "",
            "factor_read_in": claim.read_in,
            "paper": claim.paper,
        }


def load_claims(path: Path = CLAIMS) -> tuple[Claim, ...]:
    """The claims of a TOML file; raises InputError where it is none, or two have one id."""
    claims = validate(ClaimsFile, read_toml(path), str(path)).claim
    ids = [claim.id for claim in claims]
    for twice in {name for name in ids if ids.count(name) > 1}:
        raise InputError(f"{path}: two claims have the id {twice!r}")
    return claims


def verdict_word(low: float, high: float, claimed: float) -> tuple[str, str]:
    """What the 95 % interval [low, high] says of a claimed factor above 1, and what more it shows; no interval decides
    nothing."""
    if low > claimed:
        return "exceeded", ""
    if low > 1:
        return ("consistent", "wide" if high / low > 2 else "") if high >= claimed else ("smaller", "")
    if high < claimed:
        return "refuted", "slower" if high < 1 else ""
    return "inconclusive", ""


def verdicts_on(claims: tuple[Claim, ...], folder: Path | None) -> list[ClaimVerdict]:
    """Each claim beside the runs in `folder`. Raises InputError or NothingToConclude where the folder has no scores."""
    if folder is None:
        return [ClaimVerdict(claim, NOT_RUN, notes=(claim.decided_by(),)) for claim in claims]
    races = read_run_table(folder, aimless=True)
    return [one for claim in claims for one in verdicts_on_claim(claim, races)]


def verdicts_on_claim(claim: Claim, races: RunTable) -> list[ClaimVerdict]:
    """The claim's verdict at its own target, or that it was not run; and as evidence what was measured on another task, on a
    changed one, or at another target."""
    here = races.curves[0].task == claim.task and not changed_field(races)
    raced = claim.method in races.methods
    judged = [] if here and raced else [ClaimVerdict(claim, NOT_RUN, notes=(claim.decided_by(),))]
    if raced:
        judged.append(measure_claim(claim, races.at(claim.target), NOT_RUN if here else EVIDENCE))
        if races.rules.aims and races.rules.target != claim.target:
            judged.append(measure_claim(claim, races, EVIDENCE))
    return judged


def changed_field(races: RunTable) -> str:
    """The first field in which the runs' fixed part is not that of the packaged task of their name; empty where it is, where
    nobody noted it, and where there is no such task. How fast a run goes (`speed`) is no other task."""
    name = races.curves[0].task
    if name not in task_names():
        return ""
    task = load_task(name)
    if races.rules.fixed:
        found = differences(task.fixed_part(), races.rules.fixed)
        return next((field for field, *_ in found if not field.startswith("speed") and field not in open_fields(task)), "")
    hashes = {curve.config_hash for curve in races.curves} - {""}
    return "" if task.open or hashes <= {task.fixed_hash()} else "config_hash"


def open_fields(task: Task) -> set[str]:
    """The fields that a study notes because the task leaves them open."""
    return set() if task.data.sha256 else {"data.sha256"}


def measure_claim(claim: Claim, races: RunTable, said: str) -> ClaimVerdict:
    """What `races` say of the claim's method; a verdict in place of NOT_RUN."""
    task, target = races.curves[0].task, races.rules.target
    try:
        found = races.compare(claim.method, claim.axis)
        notes = races.notes(claim.method, claim.axis, len(found.seeds)) + lost_guards(guard_table(races), claim.method)
    except InputError as error:  # the claim's target is one that a run starts at
        return ClaimVerdict(claim, said if said == EVIDENCE else "inconclusive", None, task, target, (str(error),))
    if "as reconstructed" not in notes and is_reconstructed(claim.method):  # tables without a study.json do not say so
        notes.append("as reconstructed")
    if races.rules.target == claim.target:  # set by the claim, before anything was raced
        notes = [note for note in notes if note != "post hoc"]
    if field := changed_field(races):
        notes = [f"the task is changed: {field}", *notes]
    if found.why_nothing and said == NOT_RUN and found.seeds:
        said, notes = "inconclusive", [found.why_nothing, *notes]
    elif found.speedup and said == NOT_RUN:
        said, more = verdict_word(found.speedup.ci_low, found.speedup.ci_high, claim.factor)
        notes = [*filter(None, [more]), *notes]
    return ClaimVerdict(claim, said, found, task, target, tuple(notes))


def is_reconstructed(method: str) -> bool:
    """Whether a packaged method of that name is a reconstruction."""
    try:
        return Registry().compose(method).evidence() == "reconstructed"
    except InputError:
        return False


def claims_table(judged: list[ClaimVerdict]) -> pd.DataFrame:
    """claims.csv."""
    return pd.DataFrame([one.row() for one in judged], columns=pd.Index(CLAIM_COLUMNS))
