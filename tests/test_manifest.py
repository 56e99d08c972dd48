"""study.json: what is written back, and the folders of methods that it remembers."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.errors import InputError
from fidrace.execute.study_series import StudySeries
from fidrace.packaged import packaged_studies
from fidrace.report.page.build import FolderContent, profiles_of
from fidrace.spec.study import define_study
from fidrace.storage.manifest import Manifest, read_manifest
from fidrace.storage.study_folder import StudyFolder
from tests.conftest import HALVING
from tests.published import DIGITS, excerpt


@pytest.mark.parametrize("name", ["digits", "digits-field", "digits-controls", "digits-late", "digits-flow", "digits-dit"])
def test_a_published_manifest_is_written_back_to_the_byte(name: str, tmp_path: Path) -> None:
    path = DIGITS.parent / name / "study.json"
    read_manifest(path).write(tmp_path / "study.json")
    assert (tmp_path / "study.json").read_bytes() == path.read_bytes()


def test_fields_of_another_version_outlive_a_study_that_is_extended(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "s", later={"a": [1]})
    study = json.loads((folder / "study.json").read_text())
    study["methods"]["min-snr"]["later"] = 2
    (folder / "study.json").write_text(json.dumps(study))
    StudyFolder(folder).declare(define_study("digits", ["min-snr", "p2"], "5"))
    extended = json.loads((folder / "study.json").read_text())
    assert extended["later"] == {"a": [1]}
    assert extended["methods"]["min-snr"] == study["methods"]["min-snr"]
    assert list(extended["methods"]) == ["baseline", "min-snr", "p2"]
    assert (extended["seeds"], extended["declared_seeds"]) == ([0, 1, 2, 3, 4], [0, 1, 2])


def test_runs_of_earlier_random_streams_are_not_mixed_with_todays(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "s")
    study = json.loads((folder / "study.json").read_text())
    study["fixed"].pop("random_streams", None)  # as it was before there was a second version
    (folder / "study.json").write_text(json.dumps(study))
    with pytest.raises(InputError, match="random_streams = 1, not 2; choose another --out"):
        StudyFolder(folder).declare(define_study("digits", ["min-snr"], "5"))


@pytest.fixture
def halving(tmp_path: Path) -> Path:
    """Published tables in which min-snr is called halving, a method in a folder of its own that study.json names."""
    mine, folder = tmp_path / "mine", excerpt(tmp_path / "s")
    mine.mkdir()
    (mine / "halving.py").write_text(HALVING)
    for path in (folder / "runs.csv", folder / "evals.csv"):
        path.write_text(path.read_text().replace("min-snr", "halving"))
    StudyFolder(folder).path.joinpath("study.json").unlink()
    study = define_study("digits", ["halving"], "3", methods_path=[str(mine)])
    Manifest.of(study).write(folder / "study.json")
    return folder


def unsaid(folder: Path, *methods_path: Path) -> dict[str, str]:
    """What the page says of methods that it cannot show."""
    manifest = read_manifest(folder / "study.json")
    return profiles_of(FolderContent.of(folder).races, manifest, [str(path) for path in methods_path])[1]


def test_a_report_finds_the_methods_of_a_folder_that_the_study_was_run_with(halving: Path) -> None:
    assert unsaid(halving) == {}
    study = json.loads((halving / "study.json").read_text())
    assert study["methods_path"] == [str(halving.parent / "mine")]
    del study["methods_path"]
    (halving / "study.json").write_text(json.dumps(study))
    assert "unknown method 'halving'" in unsaid(halving)["halving"]
    assert "--methods-path" in unsaid(halving)["halving"]


def test_a_report_without_that_folder_names_it_and_the_option(halving: Path) -> None:
    shutil.move(halving.parent / "mine", halving.parent / "moved")
    done = CliRunner().invoke(app, ["report", str(halving)])
    assert done.exit_code == 0, done.output
    note = re.search(r"halving is not shown: (.*)</p>", (halving / "report.html").read_text())
    assert note
    assert f"{halving.parent / 'mine'}: no such folder" in note[1]
    assert "--methods-path" in note[1]
    assert unsaid(halving, halving.parent / "moved") == {}


def test_a_copy_of_that_folder_beside_it_is_no_method_defined_twice(halving: Path) -> None:
    copy = shutil.copytree(halving.parent / "mine", halving.parent / "copy")
    assert unsaid(halving, copy) == {}


def test_another_folder_of_methods_makes_no_other_study(halving: Path) -> None:
    moved = Path(shutil.move(halving.parent / "mine", halving.parent / "moved"))
    StudyFolder(halving).declare(define_study("digits", ["halving"], "3", methods_path=[str(moved)]))
    assert unsaid(halving) == {}
    first = (halving / "study.json").read_bytes()
    StudyFolder(halving).declare(define_study("digits", ["halving"], "3", methods_path=[str(moved)]))
    assert (halving / "study.json").read_bytes() == first


def test_a_study_of_packaged_methods_records_no_folder() -> None:
    assert "methods_path" not in Manifest.of(define_study("digits")).model_dump(exclude_unset=True)


def test_seeds_of_a_study_are_a_count_a_list_or_text() -> None:
    for seeds, expected in ((2, (0, 1)), ([4, 7], (4, 7)), ("5,", (5,))):
        assert define_study("digits", seeds=seeds).seeds == expected
    assert define_study(packaged_studies()["ci"]).name == "ci"


def test_a_series_of_studies_takes_no_folder_that_holds_a_study(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "s", ("baseline",), (0,))
    with pytest.raises(InputError, match="holds a study of its own"):
        StudySeries.of(folder, {"baseline": define_study("digits", ["baseline"])})
