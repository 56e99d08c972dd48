"""The runs that a folder's tables record, as this fidrace would train them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fidrace.errors import InputError, NothingToConclude
from fidrace.spec.random_streams import VERSION
from fidrace.spec.study import Study, define_study
from fidrace.spec.task import Task, load_task
from fidrace.storage.atomic import Row
from fidrace.storage.manifest import Manifest, differences, read_manifest
from fidrace.storage.tables import ENDED, read_rows


@dataclass(frozen=True)
class RecordedRun:
    """A run that ended, as runs.csv names it."""

    method: str
    seed: int
    made: str  # on which device, by which code

    def __str__(self) -> str:
        return f"{self.method} seed {self.seed}"


def draw_runs(folder: Path, count: int, seed: int, skipped: Sequence[str] = ()) -> list[RecordedRun]:
    """`count` of the ended runs of `folder`, drawn by `seed`, without those of the methods in `skipped`. Raises InputError for
    fewer runs than that, and NothingToConclude if there are none."""
    rows = read_rows(folder / "runs.csv", ["method", "seed", "status"])
    found = sorted((row["method"], int(row["seed"]), made(row)) for row in rows if row["status"] in ENDED)
    runs = [RecordedRun(*run) for run in found if run[0] not in skipped]
    if not runs:
        raise NothingToConclude(f"{folder}: no run ended whose method has the code it had then")
    if count > len(runs):
        raise InputError(f"--runs {count}: {folder} has {len(runs)} that can be trained again")
    drawn = np.random.default_rng(seed).choice(len(runs), size=count, replace=False)
    return [runs[k] for k in sorted(drawn)]


def made(row: Row) -> str:
    """On which device a run of runs.csv was made, and by which code, as far as its row says."""
    told = [
        row.get("device", ""),
        f"fidrace {row['fidrace_version']}" if row.get("fidrace_version") else "",
        row.get("revision", "")[:8],
    ]
    return " ".join(filter(None, told)) or "not recorded"


def recorded_task(folder: Path, manifest: Manifest, changes: Mapping[str, Any]) -> Task:
    """The task whose fixed part study.json holds. `changes`: fields that no table records, as data.root. Raises
    NothingToConclude if this fidrace has no such task."""
    if "trainer" in manifest.fixed:
        raise InputError(f"{folder}: its runs are another trainer's; `fidrace run STUDY.toml --out DIR` races them again")
    streams = manifest.fixed.get("random_streams", 1)
    if streams != VERSION:
        raise NothingToConclude(
            f"{folder}: raced with version {streams} of the random streams, and this fidrace has {VERSION}: its runs cannot be "
            "trained again"
        )
    other = differences(load_task(manifest.task, changes).fixed_part(), manifest.fixed)
    recorded = {key: "none" if then is None else then for key, _, then in other}
    task = load_task(manifest.task, {**recorded, **changes})
    for key, now, then in differences(task.fixed_part(), manifest.fixed):
        raise NothingToConclude(
            f"{folder}: {key} was {then}, and this fidrace makes it {now}: its runs cannot be trained again"
        )
    return task


def recorded_studies(
    folder: Path, runs: Sequence[RecordedRun], changes: Mapping[str, Any], methods_path: Sequence[str]
) -> dict[str, Study]:
    """A study of one run for each of `runs`, by the name of its folder. Raises as `recorded_task` does, and InputError for a
    method that is not installed."""
    manifest = read_manifest(folder / "study.json")
    task, studies = recorded_task(folder, manifest, changes), {}
    for number, run in enumerate(runs):
        study = define_study(manifest.task, [run.method], [run.seed], None, manifest.target, {}, methods_path, manifest.window)
        alone = tuple(method for method in study.resolved if method.name == run.method)
        studies[f"{number}-{run.method}"] = replace(study, task=task, resolved=alone, contrasts=(), baseline_added=False)
    return studies
