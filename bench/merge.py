"""Several folders of one study become one: the way home for runs that were spread over machines."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from bench.score.comparison import Races, make_races, refuse_unlike
from bench.score.curves import EVALS_NEEDED, read_curves
from bench.score.rules import read_rules
from bench.store import EVAL_COLUMNS, RUN_COLUMNS, Row, StudyDir, read_table, write_json, write_table
from bench.study import run_directory
from methods.base import InputError

RUN = ("task", "method", "seed")
TIMES = ("train_seconds",)  # two runs of one seed may differ in these


def merged(folders: list[Path], out: Path) -> None:
    """Write the runs of `folders` into the new folder `out`, whole or not at all. Seeds that the first folder did not declare
    count as added later. Raises InputError where the folders do not belong in one table, naming what differs."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty; choose another --out")
    if len(folders) < 2:
        raise InputError("merge: name two folders or more")
    refuse_unlike_folders(folders)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
        whole = Path(work, out.name)
        whole.mkdir()
        declared = [(folder / "study.json").exists() for folder in folders]
        if all(declared):
            merge_studies([StudyDir(folder) for folder in folders], StudyDir(whole))
        elif any(declared):
            raise InputError(f"{folders[declared.index(False)]}: no study.json, as {folders[declared.index(True)]} has")
        else:
            merge_tables(folders, whole)
        if out.exists():
            out.rmdir()
        whole.rename(out)


def refuse_unlike_folders(folders: list[Path]) -> None:
    """Raise InputError where any of the folders does not compare with the first, or both hold one run with two outcomes."""
    races: list[Races] = []
    for folder in folders:
        curves = read_curves(folder)
        if not curves:
            raise InputError(f"{folder}: runs.csv holds no runs")
        races.append(make_races(curves, read_rules(folder, curves, None, aimless=True)))
        refuse_unlike(folders[0], races[0], folder, races[-1])
    seen: dict[tuple[Any, ...], tuple[Path, list[Row]]] = {}
    for folder in folders:
        for run, rows in evaluations(folder).items():
            first, before = seen.setdefault(run, (folder, rows))
            if rows != before:
                raise InputError(f"{run[1]} seed {run[2]} is in {first} and in {folder}, with other evaluations: leave one out")


def evaluations(folder: Path) -> dict[tuple[Any, ...], list[Row]]:
    """The rows of evals.csv by run, without what the clock put there."""
    table = read_table(folder / "evals.csv", EVALS_NEEDED).drop(columns=[*TIMES]).drop_duplicates()
    ordered = table.sort_values("iteration").astype(object)
    ordered = ordered.where(ordered.notna(), None)  # unlike NaN, equal to itself
    return {tuple(run): rows.to_dict("records") for run, rows in ordered.groupby([*RUN])}  # type: ignore[misc]


def merge_studies(folders: list[StudyDir], out: StudyDir) -> None:
    """study.json of the first folder with the others' methods, seeds and contrasts; every run in a directory of its own, so
    that `fidrace run` can go on there."""
    whole = folders[0].declared()
    for folder in folders[1:]:
        other = folder.declared()
        if other["target"] != whole["target"]:
            raise InputError(f"target is {whole['target']} in {folders[0].path} and {other['target']} in {folder.path}")
        for method in sorted(whole["methods"].keys() & other["methods"].keys()):
            if whole["methods"][method].get("hash") != other["methods"][method].get("hash"):
                raise InputError(f"the code of method {method!r} differs between {folders[0].path} and {folder.path}")
        whole["methods"] = {**other["methods"], **whole["methods"]}
        whole["seeds"] = sorted({*whole["seeds"], *other["seeds"]})
        whole["contrasts"] += [pair for pair in other["contrasts"] if pair not in whole["contrasts"]]
    write_json(out.path / "study.json", whole)
    for folder in folders:
        for row in records(folder.path / "runs.csv"):
            place = run_directory(row["task"], row["method"], int(row["seed"]), row["config_hash"], row["method_hash"])
            if (out.path / place).exists():
                continue
            if (folder.path / place).is_dir():
                shutil.copytree(folder.path / place, out.path / place)
            else:  # a published table: its rows are all there is
                (out.path / place).mkdir(parents=True)
                rows = [line for line in records(folder.path / "evals.csv") if all(line[key] == row[key] for key in RUN)]
                write_table(out.path / place / "evals.csv", rows, EVAL_COLUMNS)
                write_json(out.path / place / "run.json", {**row, "seed": int(row["seed"]), "directory": str(place)})
    out.collect()


def merge_tables(folders: list[Path], out: Path) -> None:
    """runs.csv and evals.csv of tables without a study.json, one below the other."""
    for name, columns in (("runs.csv", RUN_COLUMNS), ("evals.csv", EVAL_COLUMNS)):
        key = [*RUN, "iteration"] if name == "evals.csv" else [*RUN]
        rows = pd.concat([pd.DataFrame(records(folder / name)) for folder in folders]).drop_duplicates(key)
        known = [column for column in columns if column in rows]
        write_table(out / name, rows.to_dict("records"), known)  # type: ignore[arg-type]


def records(path: Path) -> list[Row]:
    """The rows of a CSV as they stand there, as text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]
