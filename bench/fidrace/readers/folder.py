"""A folder of imported runs: evals.csv and runs.csv, which `score` reads, and imported.json, which tells where they are from.

runs.csv holds what was declared of each run's evaluation, in the columns FACTS. imported.json is written last: runs that it
does not name were left by an import that was killed, and the same command writes them again.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fidrace.errors import InputError
from fidrace.readers.log import Evaluation
from fidrace.score.columns import FACTS, PROGRESS
from fidrace.score.reading import read_tables
from fidrace.storage.atomic import Row
from fidrace.storage.imports import IMPORTED, ImportedRun, Imports, Source, read_imports
from fidrace.storage.locks import lock_folder
from fidrace.storage.tables import read_rows, utc_now, with_extra_columns, write_table

RUN_COLUMNS = ["task", "method", "seed", "status", "imported", *FACTS]
COUNTS = {unit: column for column, (unit, _) in reversed(PROGRESS.items())}  # the column that each unit is written in


@dataclass(frozen=True)
class Run:
    """One run to write: its evaluations in the order of training, their unit and the distance's name, and what is declared."""

    task: str
    method: str
    seed: str
    status: str
    unit: str
    metric: str
    evaluations: Sequence[Evaluation]
    facts: dict[str, str]
    remarks: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.seed

    @property
    def name(self) -> str:
        return self.method + (f" seed {self.seed}" if self.seed else "")


def sources_of(paths: Sequence[Path]) -> list[Source]:
    """The files, and those in folders, by name and content."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path]) if file.is_file()]
    return [Source(name=file.name, sha256=digest(file)) for file in files]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def add_runs(
    folder: Path, runs: Sequence[Run], reader: str, paths: Sequence[Path], allow: Sequence[str], replace: bool
) -> None:
    """Write the runs into `folder` beside those that are there, all or none of them. Raises InputError for tables that were
    not imported, for a run that is there already unless it is the same or may be replaced, and if the runs do not compare."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; choose another --out")
    if folder.is_dir() and not (folder / IMPORTED).exists() and any(folder.glob("*.csv")) and not left_by_import(folder):
        raise InputError(f"{folder} holds tables that were not imported; choose another --out")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock_folder(folder):
            write_runs(folder, runs, reader, sources_of(paths), allow, replace)
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def left_by_import(folder: Path) -> bool:
    """True if all runs of runs.csv are marked as imported: the manifest had not been written yet."""
    path = folder / "runs.csv"
    return path.exists() and all(row.get("imported") for row in read_rows(path))


def write_runs(
    folder: Path, runs: Sequence[Run], reader: str, sources: list[Source], allow: Sequence[str], replace: bool
) -> None:
    """Write the tables, checked as `score` would, and then the manifest."""
    before = read_imports(folder)
    new = {run.key: run for run in runs}
    for known in before.runs:
        if known.key in new and known.files != sources and not replace:
            read = f"{known.reader} from {known.files[0].name if known.files else 'elsewhere'}"
            raise InputError(f"{folder} holds {new[known.key].name} already ({read}); --replace puts this one in its place")
    kept = [known for known in before.runs if known.key not in new]
    old_runs, old_evals = (rows_of(folder / name, {known.key for known in kept}) for name in ("runs.csv", "evals.csv"))
    now = utc_now()
    added = [
        ImportedRun(
            method=run.method, seed=run.seed, reader=reader, files=sources, facts=run.facts, remarks=run.remarks,
            evaluations=len(run.evaluations), imported=now,
        )
        for run in runs
    ]  # fmt: skip
    imports = Imports(allow=sorted({*before.allow, *allow}), runs=[*kept, *added])
    run_rows = [*old_runs, *(run_row(run, reader) for run in runs)]
    eval_rows = in_one_unit([*old_evals, *(row for run in runs for row in eval_rows_of(run))])
    with tempfile.TemporaryDirectory(dir=folder, prefix=".import.") as work:
        write_tables(Path(work), run_rows, eval_rows)
        imports.write(Path(work))
        try:
            read_tables(Path(work))
        except InputError as error:
            raise InputError(str(error).replace(work, str(folder))) from None
        for name in ("runs.csv", "evals.csv", IMPORTED):
            Path(work, name).replace(folder / name)


def rows_of(path: Path, keys: set[tuple[str, str]]) -> list[Row]:
    """The rows of the runs with these methods and seeds; none if there is no file."""
    return [row for row in read_rows(path) if (row["method"], row["seed"]) in keys] if path.exists() else []


def run_row(run: Run, reader: str) -> Row:
    """The row of runs.csv."""
    told = {name: run.facts.get(name, "") for name in FACTS}
    return {"task": run.task, "method": run.method, "seed": run.seed, "status": run.status, "imported": reader, **told}


def eval_rows_of(run: Run) -> list[Row]:
    """The rows of evals.csv. Images stand beside iterations if the batch is known, beside epochs if `epoch_images` is."""
    scale = images_of_one(run)
    rows = []
    for one in run.evaluations:
        images = {"images": scale * one.progress} if scale and run.unit != "images" else {}
        told = {COUNTS[run.unit]: one.progress, **images, **one.more, "metric": run.metric, "fid": one.distance}
        rows.append({"task": run.task, "method": run.method, "seed": run.seed, **told})
    return rows


def images_of_one(run: Run) -> float:
    """The images that one unit of the run's progress is; 0 if nothing tells."""
    fact = {"iterations": "batch", "epochs": "epoch_images"}.get(run.unit)
    if fact is None:
        return PROGRESS[COUNTS[run.unit]][1]
    try:
        return max(float(run.facts.get(fact, 0)), 0.0)
    except ValueError:
        raise InputError(f"--fact {fact}={run.facts[fact]}: write a number") from None


def in_one_unit(rows: list[Row]) -> list[Row]:
    """The rows, which all count training in images if their units differ; raises InputError if a run's images are not known."""
    units = [*dict.fromkeys(column for row in rows for column in PROGRESS if column != "images" and row.get(column, "") != "")]
    images_alone = any(not any(row.get(column, "") != "" for column in units) for row in rows)
    if len(units) + images_alone < 2:
        return rows
    for row in rows:
        if row.get("images", "") == "":
            known = {"iteration": "batch=N", "epoch": "epoch_images=N"}
            column = next((name for name in units if row.get(name, "") != ""), units[0])
            raise InputError(
                f"runs count training in {' and '.join(units + ['images'] * images_alone)}; to compare them in images, say "
                f"--fact {known.get(column, 'batch=N')} of {row['method']}"
            )
    return [{name: value for name, value in row.items() if name not in units} for row in rows]


def write_tables(folder: Path, run_rows: list[Row], eval_rows: list[Row]) -> None:
    write_table(folder / "runs.csv", *with_extra_columns(run_rows, RUN_COLUMNS))
    rows = [{**row, "fid": "nan" if row["fid"] != row["fid"] else row["fid"]} for row in eval_rows]  # not blank
    counts = [column for column in COUNTS.values() if any(column in row for row in rows)]
    write_table(folder / "evals.csv", *with_extra_columns(rows, ["task", "method", "seed", *counts]))
