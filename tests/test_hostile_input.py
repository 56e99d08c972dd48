"""Tables and files that others made: whatever is in them, they are read, or refused in one line; nothing in them is run."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.score.reading import read_curves
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import write_table
from tests.conftest import Refused
from tests.curves import DECLARED, study, write

FORMULA = '=HYPERLINK("http://x","y")'
NAMES = [FORMULA, "+1+1|' /C calc'!A0", "-cmd", "@SUM(A1)", "red\x1b[31m", "bell\x07", "two\nlines", "zero\u200bwidth", "", " "]


def declared(folder: Path) -> Path:
    write(folder, study())
    (folder / "study.json").write_text(json.dumps(DECLARED))
    return folder


def adopted(folder: Path) -> Path:
    """A study with a directory for each run."""
    declared(folder)
    runs = pd.read_csv(folder / "runs.csv").assign(config_hash="c", method_hash="m")
    runs.to_csv(folder / "runs.csv", index=False)
    StudyFolder(folder).adopt()
    return folder


@pytest.mark.parametrize(
    ("name", "file", "column"),
    [
        *((name, "runs.csv", column) for name in NAMES for column in ("method", "task")),
        *((name, "evals.csv", "metric") for name in NAMES if name.strip()),  # a metric may be blank
    ],
)
def test_a_name_that_a_spreadsheet_would_run_or_a_terminal_obey_is_refused(
    name: str, file: str, column: str, refused: Refused, tmp_path: Path
) -> None:
    folder = declared(tmp_path)
    for table in ("runs.csv", "evals.csv"):
        read = pd.read_csv(folder / table, dtype=str, keep_default_na=False)
        if column in read:
            read[column] = read[column].where(read[column] != read[column].iloc[0], name) if column == "method" else name
            read.to_csv(folder / table, index=False)
    said = refused("score", folder)
    assert f"cannot be a {column}" in said
    assert file in said or "evals.csv" in said  # which is read first
    assert said.strip().isprintable()


def test_a_very_long_name_is_refused_and_not_repeated(refused: Refused, tmp_path: Path) -> None:
    folder = declared(tmp_path)
    for table in ("runs.csv", "evals.csv"):
        (folder / table).write_text((folder / table).read_text().replace("baseline", "b" * 10_000))
    assert len(refused("score", folder)) < 400


def test_text_that_begins_like_a_formula_is_written_inert_and_numbers_stay(tmp_path: Path) -> None:
    row = {"error": FORMULA, "kid": "-0.25", "own": "+inf", "device": "a=b", "fd": -1.5}
    write_table(tmp_path / "runs.csv", [row], list(row))
    assert pd.read_csv(tmp_path / "runs.csv", dtype=str).iloc[0].to_dict() == {
        **{"error": f"'{FORMULA}", "kid": "-0.25", "own": "+inf", "device": "a=b", "fd": "-1.5"}
    }


@pytest.mark.parametrize("name", ["../../x", "..", "a/b", "/etc/passwd", FORMULA])
def test_names_that_lead_elsewhere_make_no_directory(name: str, refused: Refused, tmp_path: Path) -> None:
    folder = declared(tmp_path / "one")
    for table in ("runs.csv", "evals.csv"):
        (folder / table).write_text((folder / table).read_text().replace("baseline", name.replace('"', "")))
    refused("merge", folder, declared(tmp_path / "two"), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


HUGE_NUMBER = "9" * 5000
DEEP = "[" * 100_000


@pytest.mark.parametrize("text", [f"budget = {HUGE_NUMBER}", f"methods = {DEEP}", "\x00", "a = 1\na = 2", "\ufeff]"])
def test_a_toml_file_without_sense_is_one_line(text: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    assert "not a TOML file" in refused("run", tmp_path / "x.toml")
    assert "not a TOML file" in refused("claims", "--claims", tmp_path / "x.toml")


@pytest.mark.parametrize("text", [HUGE_NUMBER, DEEP])
def test_a_setting_without_sense_is_one_line(text: str, refused: Refused) -> None:
    assert "optimizer.batch" in refused("run", "--set", f"optimizer.batch={text}")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def torn_line(content: bytes) -> bytes:
    return content[: content.rfind(b"\n", 0, -1) + 9]


def binary(content: bytes) -> bytes:
    return bytes(range(256)) * 8


def nothing(content: bytes) -> bytes:
    return b""


def utf16(content: bytes) -> bytes:
    return content.decode().encode("utf-16")


def quoted(content: bytes) -> bytes:
    return content.replace(b",", b',"', 1)


@pytest.mark.parametrize("damage", [cut, torn_line, binary, nothing, utf16, quoted])
@pytest.mark.parametrize("file", ["runs.csv", "evals.csv", "study.json"])
@pytest.mark.parametrize("verb", ["score", "claims", "check"])
def test_no_damage_to_a_folder_is_more_than_one_line(
    verb: str, file: str, damage: Callable[[bytes], bytes], refused: Refused, tmp_path: Path
) -> None:
    folder = declared(tmp_path)
    path = folder / file
    path.write_bytes(damage(path.read_bytes()))
    if file == "study.json" or damage is not cut:  # a table that is cut between two lines is a shorter table
        said = refused(verb, folder, *(["--require", "fast>=1.1"] if verb == "check" else []))
        assert file in said or "evals.csv" in said


@pytest.mark.parametrize("value", ["1e400", "-inf", "nan", "1e308", "0x10", "１２", "1_000", "true", "9" * 400])
@pytest.mark.parametrize("column", ["seed", "iteration", "fd", "train_seconds"])
def test_numbers_that_are_none_are_read_or_refused(column: str, value: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from fidrace.cli.main import app

    folder = declared(tmp_path)
    table = pd.read_csv(folder / "evals.csv", dtype=str, keep_default_na=False)
    table.loc[3, column] = value
    table.to_csv(folder / "evals.csv", index=False)
    result = CliRunner().invoke(app, ["score", str(folder)])
    assert result.exit_code in (0, 2, 3), result.exception
    assert result.exit_code == 0 or result.stderr.count("\n") == 1
    if result.exit_code == 0:
        assert read_curves(folder)


@pytest.mark.parametrize("damage", [cut, binary, nothing, quoted])
def test_a_damaged_table_of_a_run_is_named_when_tables_are_made_anew(
    damage: Callable[[bytes], bytes], refused: Refused, tmp_path: Path
) -> None:
    folder = adopted(tmp_path)
    (path, *_) = sorted(folder.glob("runs/*/*/*/evals.csv"))
    path.write_bytes(damage(path.read_bytes()))
    before = (folder / "evals.csv").read_bytes()
    with pytest.raises(InputError, match="damaged"):
        StudyFolder(folder).collect()
    assert (folder / "evals.csv").read_bytes() == before


@pytest.mark.parametrize("content", ["null", "1", '"x"', "[" * 100_000, '{"schema": 1e999}', f'{{"schema": {HUGE_NUMBER}}}'])
def test_a_description_without_sense_is_one_line(content: str, refused: Refused, tmp_path: Path) -> None:
    folder = declared(tmp_path)
    (folder / "study.json").write_text(content)
    assert "study.json" in refused("score", folder)


def test_html_in_a_name_stays_text(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from fidrace.cli.main import app

    folder = declared(tmp_path)
    name = "<script>alert(1)</script>"
    other = next(method for method in pd.read_csv(folder / "runs.csv")["method"].unique() if method != "baseline")
    for table in ("runs.csv", "evals.csv"):
        read = pd.read_csv(folder / table, dtype=str, keep_default_na=False)
        read["method"] = read["method"].where(read["method"] != other, name)
        read.to_csv(folder / table, index=False)
    description = json.loads((folder / "study.json").read_text())
    description["methods"][name] = description["methods"].pop(other, {})
    (folder / "study.json").write_text(json.dumps(description))
    assert CliRunner().invoke(app, ["score", str(folder)]).exit_code == 0
    assert name not in (folder / "leaderboard.md").read_text()
    assert pd.read_csv(folder / "leaderboard.csv")["method"].isin([name]).any()  # itself, in a table


@pytest.mark.parametrize(
    "damage",
    [{"method": []}, {"seed": "x"}, {"status": "done"}, {"task": None}, {"status": 3}],
)
def test_a_run_that_says_nonsense_of_itself_is_named(damage: dict[str, object], refused: Refused, tmp_path: Path) -> None:
    folder = adopted(tmp_path / "one")
    (path, *_) = sorted(folder.glob("runs/*/*/*/run.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(InputError, match=r"run\.json: damaged"):
        StudyFolder(folder).collect()


@pytest.mark.parametrize("elsewhere", ["/absolute", "../../victim", 3, None])
def test_a_run_is_of_the_directory_in_which_it_lies_whatever_it_says(elsewhere: object, tmp_path: Path) -> None:
    folder, victim = adopted(tmp_path / "one"), tmp_path / "victim"
    victim.mkdir()
    (victim / "checkpoint-1.safetensors").write_text("precious")
    where = str(victim) if elsewhere == "/absolute" else elsewhere
    for path in folder.glob("runs/*/*/*/run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"directory": where}))
    before = (folder / "evals.csv").read_text()
    StudyFolder(folder).collect()
    assert (victim / "checkpoint-1.safetensors").exists()
    assert (folder / "evals.csv").read_text().count("\n") == before.count("\n")


@pytest.mark.parametrize("file", ["runs.csv", "evals.csv"])
@pytest.mark.parametrize("column", ["task", "method", "seed"])
def test_tables_without_their_columns_are_named_when_a_study_goes_on(file: str, column: str, tmp_path: Path) -> None:
    folder = declared(tmp_path)
    runs = pd.read_csv(folder / "runs.csv").assign(config_hash="c", method_hash="m")
    runs.to_csv(folder / "runs.csv", index=False)
    pd.read_csv(folder / file).drop(columns=column).to_csv(folder / file, index=False)
    with pytest.raises(InputError, match=f"{file}: no column '{column}'"):
        StudyFolder(folder).adopt()


def test_a_columns_name_is_no_formula_either(tmp_path: Path) -> None:
    write_table(tmp_path / "x.csv", [{FORMULA: 1}], [FORMULA])
    assert (tmp_path / "x.csv").read_text().startswith("\"'=")


def test_what_is_said_steers_no_terminal(refused: Refused, tmp_path: Path) -> None:
    folder = declared(tmp_path)
    (folder / "study.json").write_text(json.dumps(DECLARED | {"task": "\x1b[31mx"}))
    assert "\x1b" not in refused("run", "--out", folder)
