"""The folder of a study.

A run owns its directory and writes only there (run.json, evals.csv, checkpoint, pictures). The study's tables are rebuilt
from the runs' rows in one fixed order, so that they never depend on which run finished first.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from fidrace.console import printable
from fidrace.errors import InputError
from fidrace.spec.study import RunSpec, Study, run_directory
from fidrace.storage.atomic import Row, read_record, write_json
from fidrace.storage.locks import Busy, hold_lock
from fidrace.storage.manifest import Manifest, check_same_study, read_manifest
from fidrace.storage.tables import (
    ENDED,
    EVAL_COLUMNS,
    KEPT,
    RUN_COLUMNS,
    RUN_REMEDY,
    STATUSES,
    read_rows,
    refuse_name,
    utc_now,
    with_extra_columns,
    write_table,
)

INTERNAL = ("directory", "packages", "host", "pid", "trained", "process_group")  # fields of run.json that no table shows
RUN = ("task", "method", "seed")  # the columns that identify the run of a row
DERIVED = (  # files that are made from a folder's tables
    *"speedups.csv contrasts.csv guards.csv curve.csv claims.csv leaderboard.csv".split(),
    *"leaderboard.md fd.png speedup.png report.html".split(),
    *"provenance.csv trainer-config.json proof.json proof".split(),  # of studies with another trainer
)


@dataclass(frozen=True)
class StudyFolder:
    """One study's folder."""

    path: Path

    def holds_study(self) -> bool:
        """True if the folder has a study.json."""
        return (self.path / "study.json").exists()

    def adopt_target(self, study: Study) -> Study:
        """`study` with the target that was set here by the protocol's rule, and with the window that was declared here, unless
        others were asked for."""
        manifest = self.manifest() if self.holds_study() else None
        if manifest and not study.window_given:
            study = replace(study, window=manifest.window)
        if manifest and manifest.target_by_rule and (not study.target_given or study.target == manifest.target):
            return replace(study, target=manifest.target, target_how=manifest.target_how)
        return study

    def adopt_looks(self, study: Study) -> Study:
        """`study` with the looks that this folder declares, unless seeds were asked for. Raises InputError if it declares other
        looks than those asked for."""
        declared = self.manifest().until_decided if self.holds_study() else None
        if declared is None or (study.seeds_given and max(study.seeds) >= declared.last):
            return study
        if study.seeds_given:
            raise InputError(
                f"{self.path} is raced by its looks at {declared} seeds, and single seeds in between would change what they "
                "decided; omit --seeds"
            )
        asked = study.until_decided
        for field in asked.model_fields_set if asked else ():
            if getattr(asked, field) != getattr(declared, field):
                ours, theirs = (getattr(one, field) for one in (declared, asked))
                raise InputError(
                    f"{self.path} declares {field} = {ours}, not {theirs}: looks must be declared before the first run; choose "
                    "another --out, or --fresh to empty it"
                )
        return replace(study, until_decided=declared, seeds=tuple(range(declared.last)))

    def merged_manifest(self, study: Study) -> Manifest:
        """The manifest of `study`, extended by the methods and seeds that the folder already has. Raises InputError if the
        folder holds another study, or something that is no study."""
        new = Manifest.of(self.adopt_target(study))
        if self.holds_study():
            old = self.manifest()
            check_same_study(self.path, old, new)
            return old.extended_by(new)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is not a folder; choose another --out")
        elif self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise InputError(f"{self.path} holds something that is no study; choose another --out")
        return new

    def declare(self, study: Study) -> None:
        """Write study.json for `study`, or extend the one that is there; seeds added later stay distinct from the declared
        ones. Raises InputError as `merged_manifest` does."""
        self.merged_manifest(study).write(self.path / "study.json")

    def refuse_gone(self) -> None:
        """Raise InputError if the study was moved or removed while it runs; the folder is not created again."""
        if not (self.path / "study.json").exists():
            raise InputError(f"{self.path}: the study was moved or removed; the same command resumes it at its new place")

    @contextmanager
    def claim_run(self, spec: RunSpec, seconds: float = 0.0) -> Iterator[None]:
        """Hold a run's lock while this process executes it. Raises Busy if another process still holds it after `seconds`."""
        lock = self.path / ".locks" / spec.directory.parent / f"{spec.directory.name}.lock"  # outlives the directory
        with hold_lock(lock, seconds):
            yield

    @contextmanager
    def mark_in_use(self) -> Iterator[None]:
        """Mark the folder as in use while a command may execute runs here, so that nobody empties it."""
        path = self.path / ".locks" / f"{platform.node()}-{os.getpid()}-{uuid4().hex[:8]}.lock"  # two containers may share both
        with hold_lock(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def worker(self, spec: RunSpec) -> str:
        """The process that last recorded that it executes this run."""
        try:
            row = self.row(spec) or {}
        except InputError:  # a damaged row is reported by the process that holds the lock
            row = {}
        return f"process {row['pid']} on {row.get('host')}" if "pid" in row else "another process"

    def manifest(self) -> Manifest:
        """Raises InputError if study.json cannot be read."""
        return read_manifest(self.path / "study.json")

    def row(self, spec: RunSpec) -> Row | None:
        """The run's row of runs.csv, or None if it has not started."""
        path = self.path / spec.directory / "run.json"
        return read_run(path, self.path) if path.exists() else None

    def rows(self) -> list[Row]:
        """The rows of all runs that have started, by method in declared order, then by seed."""
        order = {method: place for place, method in enumerate(self.manifest().methods)}
        rows = [read_run(path, self.path) for path in self.path.glob("runs/*/*/*/run.json")]
        return sorted(rows, key=lambda row: (order.get(row["method"], len(order)), row["method"], row["seed"]))

    def run_statuses(self) -> dict[Path, str]:
        """The status of every run by its directory, for runs that started here and for rows of copied tables."""
        if not (self.path / "study.json").exists():
            return {}
        started = {Path(row["directory"]): row["status"] for row in self.rows()}
        return {directory_of(row): row["status"] for row in self.rows_without_directory()} | started

    def rows_without_directory(self) -> list[Row]:
        """The rows of runs.csv, as text, of runs without a directory, as in published tables."""
        path = self.path / "runs.csv"
        rows = read_rows(path, (*RUN, "status")) if path.exists() else []
        return [row for row in rows if not (self.path / directory_of(row) / "run.json").exists()]

    def adopt(self) -> None:
        """Create run directories for rows that exist only in runs.csv, so that rebuilding the tables keeps them. Raises
        InputError for rows without the hashes that name a directory."""
        rows = self.rows_without_directory()
        for row in [*rows, *self.rows()]:
            if not row.get("config_hash") or not row.get("method_hash"):
                what = f"{row['method']} seed {row['seed']}"
                raise InputError(
                    f"{self.path}: {what} has no config_hash or method_hash, so nothing can be added; choose another --out"
                )
        self.import_rows(rows, self)

    def import_rows(self, rows: list[Row], source: "StudyFolder") -> None:
        """Create run directories from rows of runs.csv and the matching rows of evals.csv in `source`."""
        lines: dict[tuple[str, ...], list[Row]] = {}
        for line in read_rows(source.path / "evals.csv", RUN) if rows else []:
            lines.setdefault(run_of(line), []).append(line)
        for row in rows:
            place = self.path / directory_of(row)
            place.mkdir(parents=True, exist_ok=True)
            write_table(place / "evals.csv", *with_extra_columns(lines.get(run_of(row), []), EVAL_COLUMNS))
            write_json(place / "run.json", {**row, "seed": seed_of(row["seed"]), "directory": str(directory_of(row))})

    def evaluations(self, row: Row) -> list[Row]:
        """A run's rows of evals.csv; raises InputError if the file is damaged."""
        path = self.path / row["directory"] / "evals.csv"
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            raise InputError(f"{path}: damaged; {RUN_REMEDY}")
        return read_rows(path) if path.exists() else []

    def collect(self) -> None:
        """Write runs.csv and evals.csv from the runs' own rows, and remove the checkpoints of runs that have ended."""
        rows = self.rows()
        for row in rows:
            if row["status"] in ENDED:  # left over if a process was killed between its last two steps
                for names in ("checkpoint-*.safetensors", KEPT.format("*")):
                    for path in (self.path / row["directory"]).glob(names):
                        path.unlink(missing_ok=True)
        lines = [line for row in rows for line in self.evaluations(row)]
        shown = [{name: value for name, value in row.items() if name not in INTERNAL} for row in rows]
        write_table(self.path / "runs.csv", *with_extra_columns(shown, RUN_COLUMNS))
        write_table(self.path / "evals.csv", *with_extra_columns(lines, EVAL_COLUMNS))

    def record_failure(self, spec: RunSpec, error: str) -> None:
        """Record that a run failed with `error`; its evaluations stay."""
        self.refuse_gone()
        error = printable(error)
        identity = {"task": spec.task.name, "method": spec.method, "seed": spec.seed, "directory": str(spec.directory)}
        hashes = {"config_hash": spec.task.fixed_hash(), "method_hash": spec.method_hash}
        path = self.path / spec.directory / "run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            path, {**identity, **hashes, **(self.row(spec) or {}), "status": "failed", "error": error, "ended": utc_now()}
        )

    def record_death(self, spec: RunSpec, error: str) -> bool:
        """Record the failure of a run whose process is gone; False if another process has taken it over or ended it."""
        try:
            with self.claim_run(spec):
                row = self.row(spec)
                if row and row["status"] in (*ENDED, "failed"):
                    return False
                self.record_failure(spec, error)
                return True
        except Busy:
            return False

    def reopen(self, spec: RunSpec) -> None:
        """Reset a failed run to resume from its last checkpoint; no effect on other runs, or if a process executes it."""
        with suppress(Busy), self.claim_run(spec):
            row = self.row(spec)
            if row and row["status"] == "failed":
                write_json(self.path / spec.directory / "run.json", {**row, "status": "running", "error": ""})

    def refuse_strangers(self) -> None:
        """Raise InputError if something lies in the folder that no study wrote: once emptied, it would take no study."""
        ours = {"runs", "study.json", "runs.csv", "evals.csv", *DERIVED}
        for entry in sorted(self.path.iterdir()):
            if not entry.name.startswith(".") and entry.name not in ours:
                raise InputError(f"{self.path} holds {entry.name} too, which is no study's; move it, and then --fresh")

    def empty(self) -> None:
        """Remove everything that a study wrote here, and nothing else. Raises InputError if another process is at work."""
        for lock in (self.path / ".locks").rglob("*.lock"):
            try:
                with hold_lock(lock):
                    pass
            except Busy:
                raise InputError(f"{self.path} is in use by another fidrace run ({lock.stem}); nothing was removed") from None
        for name in ("runs", "study.json", "runs.csv", "evals.csv", *DERIVED):
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)


def read_run(path: Path, root: Path) -> Row:
    """A run's row, with the directory that the file actually lies in. Raises InputError if the file is damaged."""
    row = read_record(path, RUN_REMEDY)
    kinds = {"task": str, "method": str, "seed": int, "status": str}
    if any(not isinstance(row.get(field), kind) for field, kind in kinds.items()) or row["status"] not in STATUSES:
        raise InputError(f"{path}: damaged; {RUN_REMEDY}")
    return {"error": "", **row, "directory": str(path.parent.relative_to(root))}


def run_of(row: Row) -> tuple[str, ...]:
    """Task, method and seed of a row of a table."""
    return row["task"], row["method"], str(seed_of(row["seed"]))


def directory_of(row: Row) -> Path:
    """The run directory of a row of runs.csv, relative to DIR. Raises InputError for names that would leave DIR."""
    for column in ("task", "method"):
        name = row[column]
        refuse_name(Path("runs.csv"), column, name)
        if Path(name).name != name or name == "..":
            raise InputError(f"{name!r} cannot be the name of a task or method here: it would leave the folder")
    hashes = row.get("config_hash", ""), row.get("method_hash", "")
    return run_directory(row["task"], row["method"], seed_of(row["seed"]), *hashes)


def seed_of(seed: str) -> int:
    """A table's seed, `5` or from a spreadsheet `5.0`; raises InputError for anything else."""
    try:
        return int(float(seed))
    except (ValueError, OverflowError):
        raise InputError(f"a table holds {seed!r}, which is no seed") from None
