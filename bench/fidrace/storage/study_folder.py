"""The folder of a study.

A run owns its directory and writes only there (run.json, evals.csv, checkpoint, pictures); the tables of the study are
made anew from the runs' rows, in one order, so that they never depend on who finished first.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from fidrace.console import printable
from fidrace.errors import InputError
from fidrace.spec.study import RunSpec, Study, run_directory
from fidrace.storage.atomic import Row, read_record, sweep, write_json
from fidrace.storage.locks import Busy, hold_lock
from fidrace.storage.manifest import check_same_study, manifest_of, read_manifest
from fidrace.storage.tables import (
    ENDED,
    EVAL_COLUMNS,
    RUN_COLUMNS,
    RUN_REMEDY,
    STATUSES,
    read_rows,
    refuse_name,
    utc_now,
    with_extra_columns,
    write_table,
)

INTERNAL = ("directory", "packages", "host", "pid")  # of run.json, in no table
LOCK_SECONDS = 60
RUN = ("task", "method", "seed")  # the columns that say of which run a row is


@dataclass(frozen=True)
class StudyFolder:
    """One study's folder."""

    path: Path

    def holds_study(self) -> bool:
        """True if the folder has a study.json."""
        return (self.path / "study.json").exists()

    def merged_manifest(self, study: Study) -> dict[str, Any]:
        """What study.json will hold: `study`, and the methods and seeds that the folder already has. Raises InputError
        where the folder is another study's, or something else's."""
        new = manifest_of(study)
        if (self.path / "study.json").exists():
            old = self.manifest()
            check_same_study(self.path, old, new)
            new["methods"] = {**old["methods"], **new["methods"]}
            new["seeds"] = sorted({*old["seeds"], *new["seeds"]})
            new["declared_seeds"] = old["declared_seeds"]
            new["contrasts"] = old["contrasts"] + [pair for pair in new["contrasts"] if pair not in old["contrasts"]]
        elif self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is not a folder; choose another --out")
        elif self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise InputError(f"{self.path} holds something that is no study; choose another --out")
        return new

    def declare(self, study: Study) -> None:
        """Make the folder `study`'s, or extend it; seeds beyond those declared first are remembered as such."""
        write_json(self.path / "study.json", self.merged_manifest(study))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held for the moments in which study.json and the tables are written; raises InputError where another process
        keeps it, or where the folder cannot be written."""
        with ExitStack() as hold:
            try:
                hold.enter_context(hold_lock(self.path / ".lock", LOCK_SECONDS))
            except Busy:
                raise InputError(f"{self.path} is in use by another fidrace, for {LOCK_SECONDS} seconds by now") from None
            sweep(self.path)
            yield

    @contextmanager
    def lock_for_writing(self) -> Iterator[None]:
        """`locked` where commands run or ran; tables that were brought here need no lock."""
        with self.lock() if (self.path / ".lock").exists() else nullcontext():
            yield

    def refuse_gone(self) -> None:
        """Raise InputError where the study was moved or removed while it runs: nothing of it is made anew."""
        if not (self.path / "study.json").exists():
            raise InputError(f"{self.path}: the study is gone from there; where it is now, the same command goes on")

    @contextmanager
    def claim_run(self, spec: RunSpec, seconds: float = 0.0) -> Iterator[None]:
        """Held for as long as a run is at work, by the process that does it; raises Busy where another one still has it
        after so many seconds."""
        lock = self.path / ".locks" / spec.directory.parent / f"{spec.directory.name}.lock"  # outlives the directory
        with hold_lock(lock, seconds):
            yield

    @contextmanager
    def mark_in_use(self) -> Iterator[None]:
        """Held by a command for as long as it may do runs here, so that nobody empties the folder meanwhile."""
        path = self.path / ".locks" / f"{platform.node()}-{os.getpid()}-{uuid4().hex[:8]}.lock"  # two containers may share both
        with hold_lock(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def worker(self, spec: RunSpec) -> str:
        """Which process said last that it does this run."""
        try:
            row = self.row(spec) or {}
        except InputError:  # for who holds the lock to find
            row = {}
        return f"process {row['pid']} on {row.get('host')}" if "pid" in row else "another process"

    def manifest(self) -> dict[str, Any]:
        """study.json; raises InputError where it cannot be read."""
        return read_manifest(self.path / "study.json")

    def row(self, spec: RunSpec) -> Row | None:
        """The run's row of runs.csv, or None where it has not started."""
        path = self.path / spec.directory / "run.json"
        return read_run(path, self.path) if path.exists() else None

    def rows(self) -> list[Row]:
        """All runs that have started, in the order of method and seed as declared."""
        order = {method: place for place, method in enumerate(self.manifest()["methods"])}
        rows = [read_run(path, self.path) for path in self.path.glob("runs/*/*/*/run.json")]
        return sorted(rows, key=lambda row: (order.get(row["method"], len(order)), row["method"], row["seed"]))

    def run_statuses(self) -> dict[Path, str]:
        """The status of every run that is here, by its directory: started here, or in a table that was brought here."""
        if not (self.path / "study.json").exists():
            return {}
        started = {Path(row["directory"]): row["status"] for row in self.rows()}
        return {directory_of(row): row["status"] for row in self.rows_without_directory()} | started

    def rows_without_directory(self) -> list[Row]:
        """The rows of runs.csv, as text, of runs that have no directory: those of published tables."""
        path = self.path / "runs.csv"
        rows = read_rows(path, (*RUN, "status")) if path.exists() else []
        return [row for row in rows if not (self.path / directory_of(row) / "run.json").exists()]

    def adopt(self) -> None:
        """Give each run of published tables a directory: its rows are all there is, and tables that are made anew must not
        lose them. Raises InputError for rows that do not say what they are of."""
        rows = self.rows_without_directory()
        for row in [*rows, *self.rows()]:
            if not row.get("config_hash") or not row.get("method_hash"):
                what = f"{row['method']} seed {row['seed']}"
                raise InputError(
                    f"{self.path}: {what} has no config_hash or method_hash, so nothing can be added; choose another --out"
                )
        self.bring(rows, self)

    def bring(self, rows: list[Row], source: "StudyFolder") -> None:
        """Make run directories of rows of runs.csv and what evals.csv of `source` has of them."""
        lines: dict[tuple[str, ...], list[Row]] = {}
        for line in read_rows(source.path / "evals.csv", RUN) if rows else []:
            lines.setdefault(run_of(line), []).append(line)
        for row in rows:
            place = self.path / directory_of(row)
            place.mkdir(parents=True, exist_ok=True)
            write_table(place / "evals.csv", *with_extra_columns(lines.get(run_of(row), []), EVAL_COLUMNS))
            write_json(place / "run.json", {**row, "seed": seed_of(row["seed"]), "directory": str(directory_of(row))})

    def evaluations(self, row: Row) -> list[Row]:
        """A run's rows of evals.csv; raises InputError where the file is damaged."""
        path = self.path / row["directory"] / "evals.csv"
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            raise InputError(f"{path}: damaged; {RUN_REMEDY}")
        return read_rows(path) if path.exists() else []

    def collect(self) -> None:
        """Write runs.csv and evals.csv from the runs' own rows; of runs that ended, nothing is left of their checkpoints."""
        rows = self.rows()
        for row in rows:
            if row["status"] in ENDED:  # where a process was killed between its last two steps
                for path in (self.path / row["directory"]).glob("checkpoint-*.safetensors"):
                    path.unlink(missing_ok=True)
        lines = [line for row in rows for line in self.evaluations(row)]
        shown = [{name: value for name, value in row.items() if name not in INTERNAL} for row in rows]
        write_table(self.path / "runs.csv", *with_extra_columns(shown, RUN_COLUMNS))
        write_table(self.path / "evals.csv", *with_extra_columns(lines, EVAL_COLUMNS))

    def record_failure(self, spec: RunSpec, error: str) -> None:
        """Note that a run ended by `error`; what it had measured stays."""
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
        """Note the failure of a run whose process is gone; False where another process has taken it over, or has ended it."""
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
        """Let a failed run go on from its last checkpoint; nothing where it did not fail, or is at work."""
        with suppress(Busy), self.claim_run(spec):
            row = self.row(spec)
            if row and row["status"] == "failed":
                write_json(self.path / spec.directory / "run.json", {**row, "status": "running", "error": ""})

    def empty(self) -> None:
        """Remove all that a study has written here, and nothing else; raises InputError where another process is at it."""
        for lock in (self.path / ".locks").rglob("*.lock"):
            try:
                with hold_lock(lock):
                    pass
            except Busy:
                raise InputError(f"{self.path} is in use by another fidrace run ({lock.stem}); nothing was removed") from None
        for name in (
            "runs",
            "study.json",
            "runs.csv",
            "evals.csv",
            "speedups.csv",
            "contrasts.csv",
            "guards.csv",
            "curve.csv",
            "claims.csv",
            "leaderboard.csv",
            "leaderboard.md",
            "fd.png",
            "speedup.png",
            "report.html",
        ):
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)


def read_run(path: Path, root: Path) -> Row:
    """A run's row, of the directory in which it lies, whatever it says itself; raises InputError where it is damaged."""
    row = read_record(path, RUN_REMEDY)
    kinds = {"task": str, "method": str, "seed": int, "status": str}
    if any(not isinstance(row.get(field), kind) for field, kind in kinds.items()) or row["status"] not in STATUSES:
        raise InputError(f"{path}: damaged; {RUN_REMEDY}")
    return {"error": "", **row, "directory": str(path.parent.relative_to(root))}


def run_of(row: Row) -> tuple[str, ...]:
    """Which run a row of a table is of."""
    return row["task"], row["method"], str(seed_of(row["seed"]))


def directory_of(row: Row) -> Path:
    """Where the run of a row of runs.csv lives below DIR; raises InputError for names that lead elsewhere."""
    for column in ("task", "method"):
        name = row[column]
        refuse_name(Path("runs.csv"), column, name)
        if Path(name).name != name or name == "..":
            raise InputError(f"{name!r} cannot be the name of a task or method here: it would leave the folder")
    hashes = row.get("config_hash", ""), row.get("method_hash", "")
    return run_directory(row["task"], row["method"], seed_of(row["seed"]), *hashes)


def seed_of(seed: str) -> int:
    """A seed as a table has it: `5`, or from a spreadsheet `5.0`; raises InputError for what is none."""
    try:
        return int(float(seed))
    except (ValueError, OverflowError):
        raise InputError(f"a table holds {seed!r}, which is no seed") from None
