"""The folder of a study: what is on disk, in which columns, and how it gets there whole.

A run owns its directory and writes only there (run.json, evals.csv, checkpoint, pictures); the tables of the study are
made anew from the runs' rows, in one order, so that they never depend on who finished first.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pandas as pd

from bench.study import RunSpec, Study
from methods.base import InputError
from methods.registry import Registry, content_hash

SCHEMA = 1
BINS = 10
REAL_MEMORISED = 0.05  # by its definition, the share of held-out real images that the column `memorised` would count
RUN_COLUMNS = (
    "task method seed status iterations images forwards train_seconds eval_seconds device precision threads "
    "config_hash method_hash revision fidrace_version started ended error "
    "precision_ceiling recall_ceiling"
).split()
CEILINGS = RUN_COLUMNS[-2:]
EVAL_COLUMNS = [
    *"task method seed iteration images forwards train_seconds metric fd fd_se precision recall memorised val_loss".split(),
    *(f"val_loss_bin{k}" for k in range(BINS)),
]
TEXT = {  # by table: `precision` is fp32 in one and a share in the other
    "runs.csv": {*RUN_COLUMNS} - {*"seed iterations images forwards train_seconds eval_seconds threads".split(), *CEILINGS},
    "evals.csv": {"task", "method", "metric"},
}

# What study.json must hold for others to read it.
DECLARED: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "fixed": dict,
    "budget": (int, float),
    "target": (int, float, str),
    "target_how": str,
    "declared_seeds": list,
    "seeds": list,
    "methods": dict,
}

Row = dict[str, Any]


def write_atomic(path: Path, content: bytes | str) -> None:
    """`content` at `path`, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def write_json(path: Path, content: Any) -> None:
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """CSV in UTF-8; floats in the shortest form that reads back the same, what was not measured empty."""
    write_atomic(path, pd.DataFrame(rows, columns=pd.Index(columns), dtype=object).to_csv(index=False, lineterminator="\n"))


def read_record(path: Path) -> Row:
    """The JSON object at `path`, a run's row (with task, method, seed and status) or a study's description; raises
    InputError where it is damaged."""
    needed = ("method", "seed", "status") if path.name == "run.json" else ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or any(field not in content for field in needed):
        raise InputError(f"{path}: damaged; remove its folder, and the same command makes it anew")
    return content


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The runs.csv or evals.csv at `path`; raises InputError where it is no CSV, lacks one of `columns` or holds a word for
    a number."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: empty") from None
    except (UnicodeDecodeError, pd.errors.ParserError, ValueError):
        raise InputError(f"{path}: not a CSV file in UTF-8") from None
    for column in columns:
        if column not in table:
            raise InputError(f"{path}: no column {column!r} (has: {', '.join(map(repr, table.columns[:8]))}...)")
    for column in set(table.columns) - TEXT[path.name]:
        try:
            table[column] = pd.to_numeric(table[column])
        except ValueError:
            if column in {*columns, *EVAL_COLUMNS, *RUN_COLUMNS}:
                bad = next(value for value in table[column] if value and pd.isna(pd.to_numeric(value, errors="coerce")))
                raise InputError(f"{path}: column {column!r} holds {bad!r}, not a number") from None
    return table


@dataclass(frozen=True)
class StudyDir:
    """One study's folder."""

    path: Path

    def merged(self, study: Study) -> dict[str, Any]:
        """What study.json will hold: `study`, and the methods and seeds that the folder already has. Raises InputError
        where the folder is another study's, or something else's."""
        new = study_json(study)
        if (self.path / "study.json").exists():
            old = self.declared()
            refuse_another(self.path, old, new)
            new["methods"] = {**old["methods"], **new["methods"]}
            new["seeds"] = sorted({*old["seeds"], *new["seeds"]})
            new["declared_seeds"] = old["declared_seeds"]
            new["contrasts"] = old["contrasts"] + [pair for pair in new["contrasts"] if pair not in old["contrasts"]]
        elif self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is not a folder; choose another --out")
        elif self.path.is_dir() and any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise InputError(f"{self.path} holds something that is no study; choose another --out")
        return new

    def declare(self, study: Study) -> None:
        """Make the folder `study`'s, or extend it; seeds beyond those declared first are remembered as such."""
        write_json(self.path / "study.json", self.merged(study))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held by the one process that runs this study; raises InputError where another has it or it cannot be written."""
        lock = filelock.FileLock(self.path / ".lock", blocking=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout:
            raise InputError(f"{self.path} is in use by another fidrace run") from None
        except OSError as error:
            raise InputError(f"cannot write to {self.path}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def declared(self) -> dict[str, Any]:
        """study.json; raises InputError where it cannot be read."""
        path = self.path / "study.json"
        content = read_record(path)
        if content.get("schema") != SCHEMA:
            raise InputError(f"{path}: schema {content.get('schema')}, this fidrace reads {SCHEMA}")
        for field, kind in DECLARED.items():
            if not isinstance(content.get(field), kind):
                raise InputError(f"{path}: field {field!r} is missing or of the wrong type")
        if content["budget"] <= 0 or not all(isinstance(entry, dict) for entry in content["methods"].values()):
            raise InputError(f"{path}: 'budget' is not above 0, or 'methods' does not hold tables")
        if not isinstance(content.setdefault("evaluations_at", []), list):
            raise InputError(f"{path}: 'evaluations_at' does not hold a list")
        pairs = content.setdefault("contrasts", [])
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and list(map(type, pair)) == [str, str] for pair in pairs
        ):
            raise InputError(f"{path}: 'contrasts' does not hold pairs of a method and its control")
        return content

    def row(self, spec: RunSpec) -> Row | None:
        """The run's row of runs.csv, or None where it has not started."""
        path = self.path / spec.directory / "run.json"
        return read_record(path) if path.exists() else None

    def rows(self) -> list[Row]:
        """All runs that have started, in the order of method and seed as declared."""
        order = {method: place for place, method in enumerate(self.declared()["methods"])}
        rows = [read_record(path) for path in self.path.glob("runs/*/*/*/run.json")]
        return sorted((row for row in rows if row["method"] in order), key=lambda row: (order[row["method"]], row["seed"]))

    def evaluations(self, row: Row) -> list[Row]:
        """A run's rows of evals.csv."""
        path = self.path / row["directory"] / "evals.csv"
        if not path.exists():
            return []
        try:
            return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]
        except (ValueError, pd.errors.ParserError):
            raise InputError(f"{path}: damaged; remove its folder, and the same command makes it anew") from None

    def collect(self) -> None:
        """Write runs.csv and evals.csv from the runs' own rows."""
        rows = self.rows()
        write_table(self.path / "runs.csv", rows, RUN_COLUMNS)
        write_table(self.path / "evals.csv", [line for row in rows for line in self.evaluations(row)], EVAL_COLUMNS)

    def record_failure(self, spec: RunSpec, error: str) -> None:
        """Note that a run ended by `error`; what it had measured stays."""
        identity = {"task": spec.task.name, "method": spec.method, "seed": spec.seed, "directory": str(spec.directory)}
        hashes = {"config_hash": spec.task.fixed_hash(), "method_hash": spec.method_hash}
        path = self.path / spec.directory / "run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**identity, **hashes, **(self.row(spec) or {}), "status": "failed", "error": error, "ended": now()})

    def forget(self, spec: RunSpec) -> None:
        """Remove a run, so that it starts anew."""
        shutil.rmtree(self.path / spec.directory)

    def empty(self) -> None:
        """Remove all that a study has written here, and nothing else."""
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
        ):
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def study_json(study: Study) -> dict[str, Any]:
    registry = Registry(study.methods_path)
    compositions = {method: registry.compose(method) for method in study.methods}
    return {
        "schema": SCHEMA,
        "name": study.name,
        "task": study.task.name,
        "fixed": study.task.fixed(),
        "fixed_hash": study.task.fixed_hash(),
        "budget": study.task.budget.iterations,
        "evaluations_at": study.task.budget.grid(),
        "metric": study.task.quality.metric,
        "target": study.target,
        "target_how": study.target_how,
        "declared_seeds": list(study.seeds),
        "seeds": list(study.seeds),
        "contrasts": [list(pair) for pair in study.contrasts],
        "methods": {
            method: {
                "hash": content_hash(composition),
                "horizon": composition.depends_on_horizon(),
                "evidence": composition.evidence(),
            }
            for method, composition in compositions.items()
        },
    }


def refuse_another(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise InputError, naming the first field that differs, where the folder's study is not the one asked for."""
    remedy = "choose another --out, or --fresh to empty it"
    for field, before, now in differences({"task": old["task"], **old["fixed"]}, {"task": new["task"], **new["fixed"]}):
        raise InputError(f"{path} holds a study with {field} = {before}, not {now}; {remedy}")
    if old["target"] != new["target"]:
        raise InputError(f"{path} has the target {old['target']}, not {new['target']}; `fidrace score --target` tries others")
    for method in old["methods"].keys() & new["methods"].keys():
        if old["methods"][method]["hash"] != new["methods"][method]["hash"]:
            raise InputError(f"the code of method {method!r} has changed since its runs in {path}; {remedy}")


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted names, old and new values of the leaves in which two nested tables differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{prefix}.{key}".lstrip("."))
    elif old != new:
        yield prefix, old, new
