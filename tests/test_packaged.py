"""Published tables by name: for somebody who has only the wheel, and no checkout in the current folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.errors import InputError
from fidrace.packaged import published_tables
from fidrace.score.leaderboard import score_folder
from tests.conftest import Refused
from tests.published import excerpt

PUBLISHED = published_tables()["digits"]


def invoke(*words: str) -> Result:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done


def state(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_published_tables_are_scored_checked_and_judged_by_name_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = state(PUBLISHED)
    scored = invoke("score", "digits")
    assert "1.22×" in scored.stdout
    assert "nothing is written" in scored.stderr
    checked = invoke("check", "digits", "--require", "min-snr>=1.1", "--against", "digits").stdout
    assert "gate: 8 holds" in checked
    assert "min-snr" in invoke("claims", "digits").stdout
    assert score_folder("digits").headline() == score_folder(PUBLISHED).headline()
    assert state(PUBLISHED) == before
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_that_name_wins_and_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    excerpt(tmp_path / "digits")
    before = state(PUBLISHED)
    assert "nothing is written" not in invoke("score", "digits").stderr
    invoke("claims", "digits")
    assert {"leaderboard.csv", "claims.csv"} <= {path.name for path in (tmp_path / "digits").iterdir()}
    assert state(PUBLISHED) == before


@pytest.mark.parametrize(
    "words",
    [
        ("score", "digts"),
        ("claims", "digts"),
        ("check", "digts", "--require", "p2>=1"),
        ("check", "digits", "--against", "digts"),
    ],
)
def test_an_unknown_name_gets_the_nearest_and_hears_that_a_path_works(words: tuple[str, ...], refused: Refused) -> None:
    assert "no folder or published tables 'digts' (write a path or a name); did you mean 'digits'?" in refused(*words)


def test_a_path_that_leads_nowhere_is_named_as_a_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent/evals\.csv: no such file"):
        score_folder(tmp_path / "absent")


def test_a_checkout_without_its_methods_says_how_to_get_them_back(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    shutil.copytree(root / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    own = os.environ | {"PYTHONPATH": str(tmp_path / "bench")}
    done = subprocess.run([sys.executable, "-m", "fidrace", "methods"], env=own, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"fidrace: {tmp_path}/methods: no such folder; `git checkout -- methods` restores it"]


def test_an_empty_folder_hides_no_published_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert "1.22×" in invoke("score", "digits").output
    assert not list((tmp_path / "digits").iterdir())


@pytest.mark.parametrize("target", [-1, float("nan"), float("inf"), "x", 0])
def test_no_table_is_scored_to_a_target_that_is_no_distance(target: object) -> None:
    with pytest.raises(InputError, match="a target is a distance above 0"):
        score_folder("digits", target=target)
