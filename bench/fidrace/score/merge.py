"""Merge several folders of one study into one, to collect runs that were spread over machines."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fidrace.errors import InputError
from fidrace.score.comparison import RunTable
from fidrace.score.reading import read_tables
from fidrace.score.rules import DECLARATION, read_rules
from fidrace.score.run_tables import check_comparable, make_run_table
from fidrace.storage.atomic import Row
from fidrace.storage.imports import IMPORTED
from fidrace.storage.manifest import Manifest
from fidrace.storage.study_folder import StudyFolder, directory_of, run_of
from fidrace.storage.tables import ENDED, EVAL_COLUMNS, RUN_COLUMNS, read_rows, with_extra_columns, write_table

RUN_KEY = ("task", "method", "seed")
Distances = dict[float, str]  # by iteration, as text so that NaN equals NaN: two copies of one run must agree in them


def merge_folders(folders: list[Path], out: Path) -> None:
    """Write the runs of `folders` into the new folder `out`, all or none of them. If several folders have a run, a copy that
    ended is taken. Seeds that the first folder did not declare count as added later. Raises InputError, naming what differs,
    if the folders do not compare or hold different outcomes of one run."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty; choose another --out")
    if len(folders) < 2:
        raise InputError("merge: name two folders or more")
    check_folders_comparable(folders)
    for folder in folders:
        if (folder / IMPORTED).exists():
            raise InputError(f"{folder}: imported runs are not merged; `fidrace import` adds runs to one folder")
        for name, columns in (("runs.csv", RUN_KEY), ("evals.csv", (*RUN_KEY, "iteration", "fd"))):
            read_rows(folder / name, columns)  # of other columns nothing would be known
        if (folder / DECLARATION).exists():
            raise InputError(f"{folder}: merge keeps no {DECLARATION}; take it out, and write it into {out} afterwards")
    rows = choose_runs(folders)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
        new = Path(work, out.name)
        new.mkdir()
        declared = [(folder / "study.json").exists() for folder in folders]
        if all(declared):
            refuse_trainers(folders)
            merge_studies({StudyFolder(folder): rows[folder] for folder in folders}, StudyFolder(new))
        elif any(declared):
            raise InputError(f"{folders[declared.index(False)]}: no study.json, as {folders[declared.index(True)]} has")
        else:
            merge_tables(rows, new)
        if out.exists():
            out.rmdir()
        new.rename(out)


def refuse_trainers(folders: list[Path]) -> None:
    """Raise InputError for studies of other trainers: who held what in each of them would be lost."""
    for folder in folders:
        if "trainer" in StudyFolder(folder).manifest().fixed:
            raise InputError(
                f"{folder} is a study of another trainer: race all its runs into one folder, from several machines too"
            )


def check_folders_comparable(folders: list[Path]) -> None:
    """Raise InputError if any of the folders cannot be read or does not compare with the first."""
    tables: list[RunTable] = []
    for folder in folders:
        read = read_tables(folder)
        if not read.curves:
            raise InputError(f"{folder}: runs.csv holds no runs")
        tables.append(make_run_table(read.curves, read_rules(folder, read, aimless=True), read))
        check_comparable(folders[0], tables[0], folder, tables[-1])


def choose_runs(folders: list[Path]) -> dict[Path, list[Row]]:
    """The rows of runs.csv to take from each folder. Raises InputError if two folders hold different outcomes of one run."""
    best: dict[tuple[str, ...], tuple[Path, Row, Distances]] = {}
    for folder in folders:
        lines: dict[tuple[str, ...], Distances] = {}
        for line in read_rows(folder / "evals.csv"):
            lines.setdefault(run_of(line), {})[float(line["iteration"])] = str(float(line["fd"] or "nan"))
        for row in read_rows(folder / "runs.csv"):
            run = run_of(row)
            other, before, known = best.get(run, (folder, row, lines.get(run, {})))
            if before["status"] not in ENDED:
                best[run] = folder, row, lines.get(run, {})
                continue
            best[run] = other, before, known
            if row["status"] in ENDED and (row["status"], lines.get(run, {})) != (before["status"], known):
                raise InputError(f"{run[1]} seed {run[2]} is in {other} and in {folder}, with other evaluations: leave one out")
    return {folder: [row for place, row, _ in best.values() if place == folder] for folder in folders}


def merge_studies(rows: dict[StudyFolder, list[Row]], out: StudyFolder) -> None:
    """Write study.json, the first folder's extended by the others' methods, seeds and contrasts, and a directory for every
    run, so that `fidrace run` can resume there."""
    first, *others = rows
    study = first.manifest()
    for folder in others:
        other = folder.manifest()
        if other.target != study.target:
            raise InputError(f"target is {study.target} in {first.path} and {other.target} in {folder.path}")
        if other.window != study.window:
            raise InputError(f"window is {study.window:g} in {first.path} and {other.window:g} in {folder.path}")
        for method in sorted(study.methods.keys() & other.methods.keys()):
            if study.methods[method].hash != other.methods[method].hash:
                raise InputError(f"the code of method {method!r} differs between {first.path} and {folder.path}")
        if not same_looks(study, other):
            raise InputError(f"the looks are {study.until_decided} in {first.path} and {other.until_decided} in {folder.path}")
        study = merge_manifests(study, other)
    study.write(out.path / "study.json")
    for folder, taken in rows.items():
        whole = [row for row in taken if (folder.path / directory_of(row) / "run.json").exists()]
        for row in whole:
            shutil.copytree(folder.path / directory_of(row), out.path / directory_of(row))
        out.import_rows([row for row in taken if row not in whole], folder)
    out.collect()


def same_looks(first: Manifest, other: Manifest) -> bool:
    """True if both studies are raced until they are decided by the same looks, or neither is."""
    return first.until_decided.same_plan(other.until_decided) if first.until_decided else not other.until_decided


def merge_manifests(first: Manifest, other: Manifest) -> Manifest:
    """The first manifest with the methods, seeds, contrasts and method folders of another folder of the same study."""
    changes: dict[str, Any] = {
        "methods": {**other.methods, **first.methods},
        "seeds": sorted({*first.seeds, *other.seeds}),
        "contrasts": first.contrasts + [pair for pair in other.contrasts if pair not in first.contrasts],
    }
    if folders := list(dict.fromkeys([*first.methods_path, *other.methods_path])):
        changes |= {"methods_path": folders}
    return first.model_copy(update=changes)


def merge_tables(rows: dict[Path, list[Row]], out: Path) -> None:
    """Concatenate runs.csv and evals.csv of folders without a study.json, keeping all columns."""
    for name, columns in (("runs.csv", RUN_COLUMNS), ("evals.csv", EVAL_COLUMNS)):
        lines = [line for folder, taken in rows.items() for line in rows_of_runs(read_rows(folder / name), taken)]
        rows_to_write, all_columns = with_extra_columns(lines, columns)
        present = [column for column in all_columns if any(column in line for line in lines)]
        write_table(out / name, rows_to_write, present)


def rows_of_runs(lines: list[Row], runs: list[Row]) -> list[Row]:
    wanted = {run_of(row) for row in runs}
    return [line for line in lines if run_of(line) in wanted]
