"""What published tables must agree in: with what follows from their evals.csv, and with the study that study.json declares."""

import csv
import hashlib
import json
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from fidrace.method.registry import Registry
from fidrace.report.publish import TABLES, table_texts
from fidrace.score.claims import CLAIMS, claims_table, load_claims, verdicts_on
from fidrace.score.leaderboard import score_folder
from fidrace.spec.resolved_methods import resolve_methods
from fidrace.spec.task import load_task, task_names
from fidrace.storage.atomic import Row
from fidrace.storage.manifest import Manifest, differences
from fidrace.storage.tables import csv_text, read_rows

ROUNDING = 1e-9  # relative: what another version of numpy may make of the same rows
CLAIMS_TABLE = "claims.csv"
LABELS = "method control axis target metric paper claim".split()  # columns that say which row it is


def table_faults(folder: Path) -> Iterator[str]:
    """A line for each table in `folder` that does not follow from its runs.csv and evals.csv, and where it differs first."""
    texts = table_texts(score_folder(folder))
    if (folder / CLAIMS_TABLE).exists():
        texts[CLAIMS_TABLE] = csv_text(claims_table(verdicts_on(load_claims(CLAIMS), folder)))
    for name in (*TABLES, CLAIMS_TABLE):
        path = folder / name
        if not path.exists():
            if name in texts:
                yield f"{name}: missing"
        elif name not in texts:
            yield f"{name}: nothing follows for it from evals.csv"
        elif difference := first_difference(
            path.read_text(encoding="utf-8", errors="replace"), texts[name], name.endswith(".csv")
        ):
            yield f"{name}: {difference}"


def first_difference(published: str, follows: str, is_table: bool) -> str:
    """Where a text first differs from the one that follows; "" if only by rounding."""
    if published == follows:
        return ""
    if not is_table:
        for number, (one, other) in enumerate(zip_longest(published.splitlines(), follows.splitlines(), fillvalue=""), 1):
            if one != other:
                return f"line {number} is {one.strip()[:60]!r}, and {other.strip()[:60]!r} follows"
        return ""
    if not published.strip():
        return "it is empty"
    (head, *rows), (other_head, *other_rows) = (list(csv.reader(text.splitlines())) for text in (published, follows))
    if head != other_head:
        return f"its columns are not those of this fidrace: {', '.join(sorted({*head} ^ {*other_head})) or 'their order'}"
    if len(rows) != len(other_rows):
        return f"{len(rows)} rows, and {len(other_rows)} follow"
    for row, other_row in zip(rows, other_rows, strict=True):
        if len(row) != len(head):
            return f"a row has {len(row)} cells, not {len(head)}"
        for column, one, other in zip(head, row, other_row, strict=True):
            if not equal(one, other):
                label = " ".join(cell for name, cell in zip(head, row, strict=True) if name in LABELS)
                return f"{label}: {column} is {one or 'empty'}, and {other or 'empty'} follows"
    return ""


def equal(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=ROUNDING)
    except ValueError:
        return False


def declaration_faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    """A line for each point in which runs.csv is not the study that study.json declares, or study.json not itself."""
    content = json.dumps(manifest.fixed, sort_keys=True)
    if manifest.fixed_hash and manifest.fixed_hash != hashlib.sha256(content.encode()).hexdigest():
        yield "study.json: `fixed` is not what `fixed_hash` was made of"
    yield from target_fault(manifest)
    rows = read_rows(folder / "runs.csv", ["method", "seed", "method_hash"])
    for method in dict.fromkeys(row["method"] for row in rows if row["method"] not in manifest.methods):
        yield f"runs.csv: {method} is no method of study.json"
    yield from missing_runs(rows, manifest)
    for row in rows:
        record = manifest.methods.get(str(row["method"]))
        if record and record.hash and row["method_hash"] not in ("", record.hash):
            yield f"runs.csv: {row['method']} seed {row['seed']} was run with other code than study.json says"


def missing_runs(rows: list[Row], manifest: Manifest) -> Iterator[str]:
    """The declared runs that have no row; a study that is raced until it is decided may stop a method at any of its looks."""
    there = {(str(row["method"]), str(row["seed"])) for row in rows}
    for method in manifest.methods:
        seeds = manifest.seeds if not manifest.until_decided else manifest.seeds[: manifest.until_decided.looks[0]]
        if lacking := [seed for seed in seeds if (method, str(seed)) not in there]:
            yield f"runs.csv: {method} has no run of seed {', '.join(map(str, lacking))}, which study.json lists"


def target_fault(manifest: Manifest) -> Iterator[str]:
    """A task that comes with fidrace has one target, whatever study.json says."""
    if manifest.task not in task_names() or manifest.target_by_rule or manifest.target_how.startswith("post hoc"):
        return
    task = load_task(manifest.task)
    is_packaged = not [*differences(task.fixed_part(), manifest.fixed)]
    if is_packaged and manifest.target != task.target.fd:
        yield f"study.json: the target is {manifest.target}, and the task {manifest.task} has {task.target.fd}"


def changed_code(manifest: Manifest, registry: Registry) -> Iterator[str]:
    """The methods whose code is not what it was when they were run. Raises InputError for one that is not installed."""
    for method in resolve_methods(list(manifest.methods), registry):
        record = manifest.methods.get(method.name)
        if record and record.hash not in (None, method.hash):
            yield method.name
