"""What study.json says, held against the runs, the code of the methods, and the task that comes with fidrace."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fidrace.method.registry import Registry
from fidrace.spec.resolved_methods import resolve_methods
from fidrace.spec.task import BudgetConfig, Task, load_task, task_names
from fidrace.spec.user_input import BASELINE, parse_contrast, validate
from fidrace.storage.atomic import Row
from fidrace.storage.manifest import Manifest, MethodRecord, differences
from fidrace.storage.tables import CROSSED, ENDED, read_rows

FACTS = MethodRecord.model_fields.keys() - {"hash", "tuned_by"}  # what the code of a method says of itself


def declaration_faults(folder: Path, manifest: Manifest, registry: Registry) -> Iterator[str]:
    """A line for each point in which runs.csv is not the study that study.json declares, or study.json not itself. Raises
    InputError for a method that is not installed."""
    yield from fixed_faults(manifest)
    yield from target_fault(manifest)
    yield from method_faults(manifest, registry)
    rows = read_rows(folder / "runs.csv", ["method", "seed", "status", "config_hash", "method_hash"])
    for method in dict.fromkeys(row["method"] for row in rows if row["method"] not in manifest.methods):
        yield f"runs.csv: {method} is no method of study.json"
    yield from missing_runs(rows, manifest)
    steps: dict[tuple[str, str], list[str]] = {}
    for row in (evals := read_rows(folder / "evals.csv", ["method", "seed", "iteration", "metric"])):
        steps.setdefault(run_of(row), []).append(row["iteration"])
    for metric in sorted({row["metric"] for row in evals} - {"", manifest.metric}):
        yield f"evals.csv: a metric is {metric}, and study.json has {manifest.metric}"
    for row in rows:
        yield from run_faults(row, manifest, steps.get(run_of(row), []))


def fixed_faults(manifest: Manifest) -> Iterator[str]:
    """What study.json says of `fixed` twice, and not alike."""
    fixed, content = manifest.fixed, json.dumps(manifest.fixed, sort_keys=True)
    if manifest.fixed_hash != hashlib.sha256(content.encode()).hexdigest():
        yield f"study.json: {'`fixed` is not what `fixed_hash` was made of' if manifest.fixed_hash else 'no fixed_hash'}"
    if is_of_a_trainer(manifest) or not {"budget", "quality"} <= fixed.keys():
        return
    budget, quality = validate(BudgetConfig, fixed["budget"], "study.json: fixed.budget"), fixed["quality"]
    told = {
        "budget": (int(manifest.budget), budget.iterations),
        "metric": (manifest.metric, quality.get("metric") if isinstance(quality, dict) else quality),
        "evaluations_at": ([*map(int, manifest.evaluations_at)], [*budget.evaluation_steps()]),
    }
    for name, (said, follows) in told.items():
        if said != follows:
            yield f"study.json: {name} is {said}, and {follows} follows from `fixed`"


def method_faults(manifest: Manifest, registry: Registry) -> Iterator[str]:
    """What study.json says of a method that has its code of then, and the code says otherwise."""
    for name, record, now in records(manifest, registry):
        if not record.hash:
            yield f"study.json: no hash of {name}'s code"
        elif record.hash == now.hash:
            for fact in sorted(FACTS):
                if (said := getattr(record, fact)) != getattr(now, fact):
                    yield f"study.json: {fact} of {name} is {said}, and {getattr(now, fact)} by its code"


def changed_code(manifest: Manifest, registry: Registry) -> list[str]:
    """The methods whose code is not what it was when they were run. Raises InputError for one that is not installed."""
    return [name for name, record, now in records(manifest, registry) if not record.same_code(now)]


def records(manifest: Manifest, registry: Registry) -> Iterator[tuple[str, MethodRecord, MethodRecord]]:
    """Each method's name, what study.json records of it, and what it would record today."""
    for method in resolve_methods(list(manifest.methods), registry, manifest.baseline):
        if record := manifest.methods.get(method.name):
            yield method.name, record, MethodRecord.of(method)


def run_of(row: Row) -> tuple[str, str]:
    return row["method"], row["seed"]


def run_faults(row: Row, manifest: Manifest, steps: Sequence[str]) -> Iterator[str]:
    """What is wrong with one run, which was evaluated at the iterations in `steps`."""
    run, record = f"{row['method']} seed {row['seed']}", manifest.methods.get(row["method"])
    if row["config_hash"] not in ("", manifest.fixed_hash):
        yield f"runs.csv: {run} has another fixed part than study.json"
    if record and record.hash and row["method_hash"] not in ("", record.hash):
        yield f"runs.csv: {run} was run with other code than study.json says"
    if record and row["seed"] not in map(str, manifest.seeds):
        yield f"runs.csv: {run} is there, and study.json lists no such seed"
    for column in ("config_hash", "method_hash"):
        if not row[column]:
            yield f"runs.csv: {run} has no {column}"
    if row["status"] not in ENDED:
        yield f"runs.csv: {run} is {row['status']}: a run that has not ended is no result"
    elif fault := grid_fault(row, manifest, [float(step) for step in steps]):
        yield f"evals.csv: {run} {fault}"


def grid_fault(row: Row, manifest: Manifest, steps: Sequence[float]) -> str:
    """Where the evaluations of a run that ended are not those that it must have; "" if they are."""
    grid, budget = manifest.evaluations_at, manifest.fixed.get("budget") or {}
    if not steps:
        return f"{row['status']}, and has no evaluations"
    if other := [step for step in steps if step not in grid]:
        return f"was evaluated at {other[0]:g}, where the study has no evaluation"
    stops, ended_by = budget.get("stop") == CROSSED, row.get("ended_by", "")
    if ended_by == CROSSED and not stops:
        return f"ended by {CROSSED}, and the study's runs do not stop at the crossing"
    if budget.get("search") or row["status"] == "diverged" or ended_by:
        return ""
    return f"finished without its evaluation at {lacking[0]:g}" if (lacking := [n for n in grid if n not in steps]) else ""


def missing_runs(rows: Sequence[Row], manifest: Manifest) -> Iterator[str]:
    """The declared runs that have no row; a study that is raced until it is decided may stop a method at any of its looks."""
    there, looks = {*map(run_of, rows)}, manifest.until_decided.looks if manifest.until_decided else ()
    declared = sorted({*manifest.seeds, *manifest.declared_seeds})
    for method in manifest.methods:
        raced = sum((method, str(seed)) in there for seed in declared)
        seeds = declared[: next((look for look in looks if look >= raced), len(declared))]
        if lacking := [seed for seed in seeds if (method, str(seed)) not in there]:
            yield f"runs.csv: {method} has no run of seed {', '.join(map(str, lacking))}, which study.json lists"


def target_fault(manifest: Manifest) -> Iterator[str]:
    """A task that comes with fidrace has one target, whatever study.json says."""
    if (task := packaged(manifest)) is None or manifest.target_by_rule or manifest.target_how.startswith("post hoc"):
        return
    is_unchanged = not [*differences(task.fixed_part(), manifest.fixed)]
    if is_unchanged and manifest.target != task.target.fd:
        yield f"study.json: the target is {manifest.target}, and the task {manifest.task} has {task.target.fd}"


def packaged(manifest: Manifest) -> Task | None:
    """The task of this name that comes with fidrace, if one does."""
    return load_task(manifest.task) if manifest.task in task_names() and not is_of_a_trainer(manifest) else None


def is_of_a_trainer(manifest: Manifest) -> bool:
    """True for runs that were not fidrace's own."""
    return bool(manifest.fixed.get("trainer"))


def describe_declaration(manifest: Manifest) -> str:
    """What study.json declares otherwise than the task that comes with fidrace: what a reader has to judge, since no table
    can."""
    if (task := packaged(manifest)) is None:
        whose = "its runs are another trainer's" if is_of_a_trainer(manifest) else f"{manifest.task} is no task of this fidrace"
        return f"{whose}, so target, window, budget and contrasts are study.json's own word"
    if others := [*departures(manifest, task)]:
        return f"it declares otherwise than the task {task.name}: {'; '.join(others)}"
    return f"target, window, budget, contrasts, seeds from 0 and all that is fixed are those of the task {task.name}"


def value_of(task: Task, name: str) -> Any:
    """A field of the task by its dotted name; the fixed part leaves out those that have their usual value."""
    value: Any = task
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def departures(manifest: Manifest, task: Task) -> Iterator[str]:
    """A phrase for each point in which study.json is not what `fidrace run TASK` declares."""
    for name, ours, theirs in differences(task.fixed_part(), manifest.fixed):
        if theirs != (usual := value_of(task, name) if ours is None else ours):
            yield f"{name} is {theirs}, not {usual}"
    if manifest.until_decided:
        yield f"raced until decided, with looks at {manifest.until_decided} seeds"
    if manifest.target != task.target.fd:
        yield f"the target is {manifest.target} ({manifest.target_how}), not {task.target.fd}"
    if manifest.baseline != BASELINE:
        yield f"factors are measured against {manifest.baseline}, not {BASELINE}"
    if manifest.window != task.target.window:
        yield f"the window is {manifest.window:g}, not {task.target.window:g}"
    pairs = [[*parse_contrast(contrast)] for contrast in task.defaults.contrasts]
    if own := ["/".join(pair) for pair in manifest.contrasts if pair not in pairs]:
        yield f"contrasts of its own: {', '.join(own)}"
    for pair in pairs:
        if pair not in manifest.contrasts and {*pair} <= manifest.methods.keys():
            yield f"the contrast {'/'.join(pair)} is not declared, and both were raced"
    if added := sorted({*manifest.seeds} - {*manifest.declared_seeds}):
        yield f"seeds {', '.join(map(str, added))} were added after the first run"
    if manifest.declared_seeds != list(range(len(manifest.declared_seeds))):
        yield f"the declared seeds are {', '.join(map(str, manifest.declared_seeds))}"
