"""`fidrace.load_study`: the tables of a folder as DataFrames, and their columns in the docs."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import fidrace
from fidrace.report.study_tables import StudyTables
from fidrace.score.provenance import COLUMNS, PROVENANCE

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "results"


@pytest.fixture(scope="module")
def digits() -> StudyTables:
    return fidrace.load_study("digits")


@pytest.mark.parametrize("name", ["runs", "evals", "speedups", "contrasts", "guards", "curve", "leaderboard"])
def test_each_table_is_the_published_file(digits: StudyTables, name: str) -> None:
    file = pd.read_csv(RESULTS / "digits" / f"{name}.csv")
    table = getattr(digits, name)
    if name in ("runs", "evals"):
        file = file.sort_values(["method", "seed", "iteration"][: 2 + (name == "evals")], ignore_index=True)
    assert len(table) == len(file)
    for column in file.dropna(axis="columns", how="all"):
        if file[column].dtype.kind == "f":
            np.testing.assert_array_equal(table[column].to_numpy(float), file[column].to_numpy(float), column)
        elif not file[column].isna().any():
            assert table[column].tolist() == file[column].tolist(), column


def test_other_peoples_columns_get_fidraces_names(tmp_path: Path) -> None:
    rows = [f"edm,{kimg},{fid}\nmine,{kimg},{fid / 2}" for kimg, fid in ((50, 9.0), (100, 4.0), (150, 3.0), (200, 2.0))]
    (tmp_path / "evals.csv").write_text("\n".join(["Method,kimg,FID", *rows]))
    study = fidrace.load_study(tmp_path, 3.5, baseline="edm")
    assert study.evals[["method", "iteration", "fd"]].head(2).to_dict("list") == {
        "method": ["edm", "edm"],
        "iteration": [50, 100],
        "fd": [9.0, 4.0],
    }
    assert study.rules.unit == "kimg"
    assert study.speedups["speedup"].item() > 1


def test_a_notebook_shows_the_leaderboard_with_its_notes(digits: StudyTables, tmp_path: Path) -> None:
    shown = digits._repr_html_()
    rows = [[cell.text for cell in row] for row in ElementTree.fromstring(f"<div>{shown}</div>").iter("tr")]
    assert [row[1] for row in rows[1:]] == digits.leaderboard["method"].tolist()
    assert dict(zip(rows[0], rows[1], strict=True))["speedup"] == "1.22×"
    assert digits.scores.headline() in shown
    assert str(digits) == (RESULTS / "digits/leaderboard.md").read_text(encoding="utf-8")
    (tmp_path / "evals.csv").write_text("method,step,fid\n<b>x</b>,1,5\n<b>x</b>,2,4\nbaseline,1,5\nbaseline,2,3\n")
    assert "<b>x</b>" not in fidrace.load_study(tmp_path, 4.5)._repr_html_()


@pytest.mark.parametrize("picture", ["fd", "speedup"])
def test_a_picture_is_the_published_one(digits: StudyTables, picture: str, tmp_path: Path) -> None:
    figure = digits.plot(picture)
    assert isinstance(figure, Figure)
    (tmp_path / "own.png").write_bytes(figure._repr_png_())  # type: ignore[attr-defined]
    own, published = (imread(path) for path in (tmp_path / "own.png", RESULTS / "digits" / f"{picture}.png"))
    assert own.shape == published.shape
    assert np.mean(own != published) < 0.02  # another version of the fonts moves some pixels


def test_mistakes_are_one_line(digits: StudyTables, tmp_path: Path) -> None:
    with pytest.raises(fidrace.InputError, match="unknown picture 'sped'"):
        digits.plot("sped")
    with pytest.raises(fidrace.InputError, match="did you mean 'digits'"):
        fidrace.load_study("digts")
    with pytest.raises(fidrace.InputError, match=r"evals\.csv"):
        fidrace.load_study(tmp_path)


def test_every_column_of_every_table_is_explained() -> None:
    text = (REPOSITORY / "docs/tables.md").read_text(encoding="utf-8")
    parts = {}  # each begins with the name of its file, as a heading or in bold
    for part in re.split(r"(?=^## |\*\*\w+\.csv\*\*)", text, flags=re.MULTILINE):
        if name := re.match(r"(?:## |\*\*)(\w+\.csv)", part):
            parts[name[1]] = part
    files: dict[str, set[str]] = {PROVENANCE: {*COLUMNS}, "runs.csv": {"backwards", "flops", "ended_by"}}
    for path in sorted(RESULTS.glob("*/*.csv")):
        files.setdefault(path.name, set()).update(pd.read_csv(path, nrows=0).columns)
    shared = set(re.findall(r"\w+", parts["speedups.csv"]))  # tables that repeat them say so
    assert {*files} <= {*parts}
    for name, columns in files.items():
        known = {*re.findall(r"\w+", parts[name])} | (
            shared if "speedups.csv" in parts[name] or name in ("contrasts.csv", "curve.csv") else set()
        )
        assert {column for column in columns if not column.startswith("val_loss_bin")} <= known, name
