"""`fidrace run --until-decided`: a few seeds, more only of what they do not decide, and the same again after a kill."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from fidrace.cli import run
from fidrace.errors import InputError
from fidrace.score.sequential import resolve
from fidrace.spec.looks import Looks
from fidrace.spec.study import define_study
from fidrace.storage.manifest import read_manifest
from fidrace.storage.study_folder import StudyFolder
from fidrace.train.process_group import ProcessGroup
from tests.conftest import TINY, Fidrace, Refused

SAME = '''
from fidrace.method import Method

class Same(Method, name="same", source="a test", evidence="inferred"):
    """The baseline under another name: identical, which one look shows."""
'''
TURNED = 'task = "digits"\nbaseline = "same"\nmethods = ["baseline"]\n'
SHALLOW = ("--set", "network.multipliers=[1]", "--set", "quality.samples=40")
SMALL = (
    *TINY,
    "--set",
    "budget.evaluations=1",
    *SHALLOW,
    "--methods-path",
    "own",
    "-m",
    "same",
    "-m",
    "clts",
    "--target",
    "60",
)
STUDY = ("run", *SMALL, "--until-decided", "--looks", "3,4", "--out", "s")
TABLES = ("runs.csv", "evals.csv", "speedups.csv", "curve.csv", "leaderboard.csv", "study.json")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "same.py").write_text(SAME)
    return tmp_path


def raced(folder: Path) -> dict[str, list[int]]:
    runs = pd.read_csv(folder / "runs.csv")
    return {method: sorted(found["seed"]) for method, found in runs.groupby("method")}


def untimed(folder: Path) -> dict[str, str]:
    """The tables without what a clock said."""
    found = {}
    for name in TABLES:
        if name.endswith(".csv"):
            table = pd.read_csv(folder / name)
            table = table[table["axis"] != "seconds"] if "axis" in table else table
            gone = [column for column in table if "seconds" in column or column in ("started", "ended")]
            found[name] = table.drop(columns=gone).to_csv()
        else:
            found[name] = (folder / name).read_text()
    return found


def test_a_method_that_a_look_decides_is_raced_no_further_and_a_killed_study_goes_on_alike(own: Path, fidrace: Fidrace) -> None:
    said = fidrace(*STUDY).stderr
    folder = own / "s"
    assert raced(folder) == {"baseline": [0, 1, 2, 3], "clts": [0, 1, 2, 3], "same": [0, 1, 2]}
    assert "look 1 of 2 (3 seeds): same identical; clts undecided" in said
    assert "look 2 of 2 (4 seeds): clts undecided" in said
    assert "at most 4 seeds" in said
    design = json.loads((folder / "study.json").read_text())["until_decided"]
    assert (design["looks"], design["futility"], len(design["levels"])) == ([3, 4], 1.05, 2)
    rows = pd.read_csv(folder / "speedups.csv").query("axis == 'iterations'").set_index("method")
    assert "sequential, look 1 of 2" in rows.loc["same", "flags"]
    assert "sequential, look 2 of 2" in rows.loc["clts", "flags"]
    assert "extended" not in rows.loc["clts", "flags"]
    assert "runs are those that it declares" in fidrace("verify", "s", "--tables-only", "--methods-path", "own").stdout

    whole = untimed(folder)
    for pattern in ("same/seed-2*", "clts/seed-3*"):  # look 1 lacks a run, though there are runs of look 2
        (killed,) = folder.glob(f"runs/digits/{pattern}")
        shutil.rmtree(killed)
    StudyFolder(folder).collect()
    assert raced(folder) == {"baseline": [0, 1, 2, 3], "clts": [0, 1, 2], "same": [0, 1]}
    again = fidrace("run", *SMALL, "--out", "s").stderr  # the folder's looks hold without being named again
    assert "look 1 of 2 (3 seeds): same identical; clts undecided" in again
    assert untimed(folder) == whole

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for other in (("--looks", "3,5"), ("--looks", "3,4", "--futility", "1.1"), ("--looks", "3,4", "--spending", "0.5,1")):
        error = fidrace("run", *SMALL, "--until-decided", *other, "--out", "s", code=2).stderr
        assert "looks must be declared before the first run" in error
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_programs_hear_of_every_look_and_a_decided_study_ends_early(own: Path, fidrace: Fidrace) -> None:
    """Against a baseline that the study file names."""
    (own / "s.toml").write_text(TURNED)
    words = ("run", "s.toml", *SMALL[: SMALL.index("-m")], "--target", "60", "--until-decided", "--out", "s")
    said = fidrace(*words, "--dry-run")
    assert "same is added: every factor is measured against it" in said.stderr
    assert "looks at 3, 5, 8, 12, 20 seeds, at one-sided levels 0.0057, 0.004" in said.stderr
    assert "the whole study, 40 runs" in said.stderr
    assert not (own / "s").exists()
    events = [json.loads(line) for line in fidrace(*words, "--json").stdout.splitlines()]
    (look,) = [event for event in events if event["event"] == "look_ended"]
    assert (look["look"], look["seeds"], look["undecided"]) == (1, 3, [])
    assert look["decided"][0] | {"ci_low": None, "ci_high": None} == {
        "method": "baseline",
        "verdict": "identical",
        "factor": None,
        "ci_low": None,
        "ci_high": None,
        "futility": 1.05,
    }
    assert raced(own / "s") == {"baseline": [0, 1, 2], "same": [0, 1, 2]}
    assert events[-1]["event"] == "study_ended"
    (row,) = pd.read_csv(own / "s" / "speedups.csv").query("axis == 'iterations'").to_dict("records")
    assert (row["method"], row["verdict"]) == ("baseline", "identical")


def test_looks_cannot_be_declared_once_seeds_were(own: Path, fidrace: Fidrace) -> None:
    fidrace("run", *SMALL, "--seeds", "1", "--out", "s")
    before = (own / "s" / "study.json").read_bytes()
    said = fidrace(*STUDY, code=2).stderr
    assert "s declares no looks, and looks must be declared before the first run" in said
    assert (own / "s" / "study.json").read_bytes() == before
    assert b"until_decided" not in before


def test_a_folder_keeps_its_looks_when_more_seeds_are_asked_for(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    asked = define_study("digits", ["clts"], until_decided={"looks": (3, 5)})
    folder.declare(replace(asked, until_decided=resolve(Looks(looks=(3, 5)))))
    design = folder.manifest().until_decided
    assert folder.adopt_looks(define_study("digits", ["clts"])).until_decided == design
    with pytest.raises(InputError, match="is raced by its looks at 3, 5 seeds"):  # of a decided method they would undo the look
        folder.adopt_looks(define_study("digits", ["clts"], "4"))
    more = folder.adopt_looks(define_study("digits", ["clts"], "7"))
    assert more.until_decided is None
    folder.declare(more)
    manifest = folder.manifest()
    assert manifest.until_decided == design
    assert (manifest.declared_seeds, manifest.seeds) == ([*range(5)], [*range(7)])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--looks", "3,5"), "--looks goes with --until-decided"),
        (("--spending", "0.5,1"), "--spending goes with --until-decided"),
        (("--futility", "1.1"), "--futility goes with --until-decided"),
        (("--until-decided", "--seeds", "5"), "the looks are the seeds"),
        (("--until-decided", "-m", "baseline"), "the baseline alone has nothing to decide"),
        (("--until-decided", "--looks", "2,5"), "the first look is at 2 seeds"),
        (("--until-decided", "--looks", "3,8,5"), "looks increase, and 5 comes after 8"),
        (("--until-decided", "--looks", "3,3"), "looks increase"),
        (("--until-decided", "--looks", ","), "--looks ,: write numbers"),
        (("--until-decided", "--looks", "3,1000000"), "10000 are the most"),
        (("--until-decided", "--looks", "3,x"), "--looks 3,x: write numbers"),
        (("--until-decided", "--looks", "3.5"), "--looks 3.5: write numbers"),
        (("--until-decided", "--spending", "0.5,1"), "2 shares for 5 looks"),
        (("--until-decided", "--looks", "3,5", "--spending", "0.5,1.1"), "above 0 and at most 1"),
        (("--until-decided", "--looks", "3,5", "--spending", "0.7,0.5"), "by each look increase"),
        (("--until-decided", "--looks", "3,5", "--spending", "0,1"), "above 0 and at most 1"),
        (("--until-decided", "--looks", "3,5", "--spending", "nan,1"), "spending"),
        (("--until-decided", "--futility", "1"), "futility"),
        (("--until-decided", "--futility", "nan"), "futility"),
    ],
)
def test_wrong_looks_are_one_line_and_leave_nothing(
    words: tuple[str, ...], named: str, refused: Refused, tmp_path: Path
) -> None:
    assert named in refused("run", "--out", "s", "--device", "cpu", *words)
    assert list(tmp_path.iterdir()) == []


def test_torchrun_is_told_that_it_cannot(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    group = ProcessGroup(torch.device("cpu"))
    monkeypatch.setattr(run, "parse_place", lambda place: replace(place, group=group))
    assert "give --seeds, or race without torchrun" in refused("run", "--until-decided", "--out", "s", "--device", "cpu")


FILE = 'task = "digits"\nmethods = ["clts"]\n[until_decided]\nlooks = [3, 6]\n'


def test_a_study_file_declares_looks_and_options_win_over_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(FILE)
    source = tmp_path / "mine.toml"
    study = define_study(source)
    assert study.until_decided is not None
    assert (study.until_decided.looks, study.seeds) == ((3, 6), (0, 1, 2, 3, 4, 5))
    assert define_study(source, until_decided={"futility": 1.2}).until_decided == study.until_decided.model_copy(
        update={"futility": 1.2}
    )
    assert define_study(source, seeds="2").until_decided is None
    assert define_study("digits", ["clts"], until_decided={}).seeds == tuple(range(20))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (FILE.replace("looks =", "look ="), "unknown field 'until_decided.look'; did you mean 'looks'"),
        (FILE.replace("[3, 6]", "[6, 3]"), "until_decided.looks: looks increase, and 3 comes after 6"),
        (FILE.replace("[until", "seeds = 6\n[until"), "the looks of [until_decided] are the seeds"),
        (FILE + "spending = [1.0]\n", "1 shares for 2 looks"),
    ],
)
def test_a_study_file_with_wrong_looks_is_named(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError) as error:
        define_study(tmp_path / "mine.toml")
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_looks_may_be_declared_beside_baseline_runs_that_only_set_a_target(tmp_path: Path) -> None:
    """Nobody has seen a comparison then."""
    folder = StudyFolder(tmp_path / "s")
    baseline = define_study("digits", ["baseline"], "100,101,102,103,104", target=40.0)
    folder.path.mkdir()
    folder.declare(baseline)
    folder.manifest().model_copy(update={"target_by_rule": True}).write(folder.path / "study.json")
    asked = define_study("digits", ["clts"], until_decided={"looks": (3, 5)})
    folder.declare(replace(asked, until_decided=resolve(Looks(looks=(3, 5)))))
    manifest = read_manifest(folder.path / "study.json")
    assert manifest.until_decided is not None
    assert {*range(5)} < {*manifest.declared_seeds}
