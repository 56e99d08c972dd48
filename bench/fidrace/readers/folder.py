"""A folder of imported runs: evals.csv and runs.csv, which `score` reads, and imported.json, which tells where they are from.

runs.csv holds what was declared of each run's evaluation, in the columns FACTS. imported.json is written last: runs that it
does not name were left by an import that was killed, and the same command writes them again.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fidrace.errors import InputError
from fidrace.readers.log import Evaluation
from fidrace.score.columns import FACTS, MORE_FACTS, PROGRESS
from fidrace.score.reading import read_tables
from fidrace.storage.atomic import Row
from fidrace.storage.imports import IMPORTED, ImportedRun, Imports, Source, read_imports
from fidrace.storage.locks import lock_folder
from fidrace.storage.tables import read_rows, utc_now, with_extra_columns, write_table

RUN_COLUMNS = ["task", "method", "seed", "status", "imported", *FACTS]  # MORE_FACTS too if some run tells them
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

    def content(self) -> str:
        """The SHA-256 of what stands in tables of the run."""
        rows = [[one.progress, one.distance, sorted(one.more.items())] for one in self.evaluations]
        told = [self.task, self.status, self.unit, self.metric, sorted(self.facts.items()), rows]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def add_runs(
    folder: Path, runs: Sequence[Run], reader: str, paths: Sequence[Path], allow: Sequence[str], replace: bool
) -> None:
    """Write the runs into `folder` beside those that are there, all or none of them; nothing if they are all there. Raises
    InputError for tables that were not imported, for another run of a name that is taken unless it may be replaced, and if the
    runs do not compare."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; choose another --out")
    if (folder / "study.json").exists() or (
        not (folder / IMPORTED).exists() and any(folder.glob("*.csv")) and not left_by_import(folder)
    ):
        raise InputError(f"{folder} holds runs that were not imported; choose another --out")
    sources = [Source(name=path.name, sha256=digest(path)) for path in paths if path.is_file()]
    if not folder.exists():  # what cannot be written makes no folder
        with tempfile.TemporaryDirectory() as work:
            write_runs(Path(work), folder, runs, reader, sources, allow, replace)
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        write_runs(folder, folder, runs, reader, sources, allow, replace)


def left_by_import(folder: Path) -> bool:
    """True if all runs of runs.csv are marked as imported: the manifest had not been written yet."""
    path = folder / "runs.csv"
    return path.exists() and all(row.get("imported") for row in read_rows(path))


def write_runs(
    folder: Path, name: Path, runs: Sequence[Run], reader: str, sources: list[Source], allow: Sequence[str], replace: bool
) -> None:
    """Write the tables, checked as `score` would, and then the manifest. Messages call the folder by `name`."""
    before = read_imports(folder)
    known = {run.key: run for run in before.runs}
    now = utc_now()
    added = [
        ImportedRun(
            method=run.method, seed=run.seed, reader=reader, files=sources, facts=run.facts, remarks=run.remarks,
            evaluations=len(run.evaluations), content=run.content(), imported=now,
        )
        for run in runs
    ]  # fmt: skip
    for run in added:
        old = known.get(run.key)
        if old and old.content != run.content and not replace:
            read = f"{old.reader} from {old.files[0].name if old.files else 'elsewhere'}"
            called = run.method + (f" seed {run.seed}" if run.seed else "")
            raise InputError(f"{name} holds {called} already, with other content ({read}); --replace puts this in its place")
    allowed = sorted({*before.allow, *allow})
    if allowed == before.allow and all(run.key in known and known[run.key].content == run.content for run in added):
        return
    new = {run.key for run in added}
    kept = [run for run in before.runs if run.key not in new]
    old_runs, old_evals = (rows_of(folder / table, {run.key for run in kept}) for table in ("runs.csv", "evals.csv"))
    places = [*("" for _ in old_evals), *(one.place for run in runs for one in run.evaluations)]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".import.") as work:
        rows = in_one_unit([*old_evals, *(row for run in runs for row in eval_rows_of(run))])
        write_tables(Path(work), [*old_runs, *(run_row(run, reader) for run in runs)], rows)
        Imports(allow=allowed, runs=[*kept, *added]).write(Path(work))
        try:
            read_tables(Path(work))
        except InputError as error:
            raise InputError(in_their_words(str(error), work, name, places)) from None
        for table in ("runs.csv", "evals.csv", IMPORTED):
            Path(work, table).replace(folder / table)


def in_their_words(message: str, work: str, name: Path, places: Sequence[str]) -> str:
    """A message about the tables in the folder `work`, about the files that they were made from."""

    def place(match: re.Match[str]) -> str:
        row = int(match[1]) - 2
        return places[row] if row < len(places) and places[row] else match[0]

    return re.sub(re.escape(f"{work}/evals.csv") + r": line (\d+)", place, message).replace(work, str(name))


def rows_of(path: Path, keys: set[tuple[str, str]]) -> list[Row]:
    """The rows of the runs with these methods and seeds; none if there is no file."""
    return [row for row in read_rows(path) if (row["method"], row["seed"]) in keys] if path.exists() else []


def run_row(run: Run, reader: str) -> Row:
    """The row of runs.csv."""
    told = {name: run.facts.get(name, "") for name in FACTS} | {
        name: run.facts[name] for name in MORE_FACTS if name in run.facts
    }
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
