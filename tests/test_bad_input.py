"""Wrong input: one line that names what and the nearest valid choice, exit code 2, nothing half-written."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fidrace.data.loading import digits, load_data
from fidrace.errors import InputError
from fidrace.evaluate.classifier import load_classifier
from fidrace.evaluate.classifier_training import accuracy_of
from fidrace.evaluate.features import WEIGHTS
from fidrace.score.leaderboard import score_folder
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from fidrace.storage.atomic import write_atomic
from fidrace.storage.study_folder import StudyFolder
from tests.conftest import TINY, Fidrace, Refused
from tests.curves import DECLARED, study, write

RUN = ("run", "--out", "s", "--device", "cpu")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "digit"), "did you mean 'digits'"),
        (("tasks", "digts"), "did you mean 'digits'"),
        (("tasks", "../store"), "no task or study"),
        ((*RUN, "-m", "minsnr"), "did you mean 'min-snr'"),
        (("methods", "ctls"), "did you mean 'clts'"),
        ((*RUN, "-m", "p2", "-m", "p2"), "listed twice"),
        ((*RUN, "-m", "clts", "-m", "clts[sigma=0.5]"), "listed twice"),
        ((*RUN, "-m", "clts[sigm=1]"), "did you mean 'sigma'"),
        ((*RUN, "-m", "p2+min-snr"), "both claim the weight"),
        ((*RUN, "--device", "gpu"), "choices: auto, cpu, cuda"),
        ((*RUN, "--seeds", "0"), "at least 1 seed"),
        ((*RUN, "--seeds", "-1"), "at least 1 seed"),
        ((*RUN, "--seeds", "1,-2"), "from 0 up"),
        ((*RUN, "--seeds", "1,1"), "different"),
        ((*RUN, "--seeds", "x"), "--seeds x"),
        ((*RUN, "--seeds", ","), "seeds are"),
        ((*RUN, "--budget", "0"), "budget.iterations"),
        ((*RUN, "--budget", "-5"), "budget.iterations"),
        ((*RUN, "--budget", "5"), "10 evaluations do not fit into a budget of 5"),
        ((*RUN, "--target", "0"), "above 0"),
        ((*RUN, "--target", "-3"), "above 0"),
        ((*RUN, "--target", "nan"), "above 0"),
        ((*RUN, "--target", "low"), "write a distance or baseline-final"),
        ((*RUN, "--set", "optimizer.lrr=1"), "did you mean 'lr'"),
        ((*RUN, "--set", "optimiser.lr=1"), "did you mean 'optimizer'"),
        ((*RUN, "--set", "optimizer.lr=fast"), "optimizer.lr"),
        ((*RUN, "--set", "optimizer"), "section.field=value"),
        ((*RUN, "--set", "network.heads=3"), "heads"),
        ((*RUN, "--set", "quality.metric=fid"), "'fid' is the name of Inception's distance; call this fd_digits"),
        ((*RUN, "--set", "quality.metric=FID_10k"), "is the name of Inception's distance"),
        (("run", "cifar10", "--set", "quality.metric=fd_x"), "are called 'fid', not 'fd_x'"),
        (("run", "cifar10", "--set", "quality.resize=clean"), "are called 'fid_clean', not 'fid'"),
        ((*RUN, "--set", "network.norm_groups=3"), "norm_groups"),
        ((*RUN, "--set", "sampler.steps=2000"), "sampler.steps"),
        ((*RUN, "--methods-path", "absent"), "no such folder"),
        ((*RUN, "--set", "optimizer.lr=inf"), "optimizer.lr"),
        ((*RUN, "--set", "optimizer.batch=99999999999999999999"), "optimizer.batch"),
        ((*RUN, "--set", "network.multipliers=[0]"), "network.multipliers"),
        (("methods", "p2", "--grid", "cosine-99999999999"), "timesteps"),
        (("methods", "p2", "--csv", "absent/x.csv"), "absent"),
        (("run", "absent.toml"), "absent.toml"),
        (("score", "absent"), "no folder or published tables"),
        (("methods", "p2", "--grid", "cosin-1000"), "did you mean 'cosine'"),
        (("methods", "--csv", "x.csv"), "NAME"),
        (("methods", "--check"), "NAME"),
        (("methods", "--plot", "x.png"), "NAME"),
        (("methods", "p2", "--plot", "absent/x.png"), "absent"),
        (("methods", "p2", "--grid", "linear-10"), "a beta above 1"),
        (("methods", "speed[variant=cod]", "--check"), "did you mean 'code'"),
    ],
)
def test_wrong_words_are_one_line_and_leave_nothing(
    words: tuple[str, ...], named: str, refused: Refused, tmp_path: Path
) -> None:
    assert named in refused(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("run", "--worker", "2"), ("run", "--workers", "0"), ("run", "--seeds"), ("race",)])
def test_wrong_flags_exit_with_2(words: tuple[str, ...], fidrace: Fidrace, tmp_path: Path) -> None:
    assert fidrace(*words, code=2).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('task = "digits"\nsseds = 3\n', "did you mean 'seeds'"),
        ('task = "digits"\nseeds = "three"\n', "seeds"),
        ('task = "digits"\nmethods = "clts"\n', "methods"),
        ("methods = []\n", "task"),
        ('task = "digits"\n[set]\n"optimizer.lr" = "quick"\n', "optimizer.lr"),
        ("task = digits\n", "not a TOML file"),
        ("\x00\x01", "not a TOML file"),
        ("", "task"),
        ('task = "digits"\nseeds = []\n', "seeds"),
        ('task = "digits"\nmethods = []\n', "methods"),
    ],
)
def test_a_study_file_that_is_wrong_is_named_with_its_field(text: str, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    assert named in refused("run", "mine.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_a_folder_of_another_study_is_refused_by_the_field_that_differs(fidrace: Fidrace, tmp_path: Path) -> None:
    again = ("run", *TINY, "--set", "budget.evaluations=1", "-m", "baseline", "--seeds", "1", "--out", "s")
    fidrace(*again)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    assert "optimizer.batch = 16, not 8" in fidrace(*again, "--set", "optimizer.batch=8", code=2).stderr
    assert "target" in fidrace(*again, "--target", "7", code=2).stderr
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == before
    said = fidrace(*again, "--set", "optimizer.batch=8", "--fresh", "--yes")
    assert "0 of" not in said.stderr
    assert '"batch": 8' in (tmp_path / "s" / "study.json").read_text()


def test_a_folder_with_something_else_in_it_is_left_alone(fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("precious")
    assert "no study" in fidrace(*RUN, code=2).stderr
    fidrace(*RUN, "--fresh", "--yes", code=2)
    assert (tmp_path / "s" / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/fidrace"])
def test_a_folder_that_cannot_be_written_is_named(out: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert out in refused("run", "--device", "cpu", "--out", out)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("runs.csv", b"", "empty"),
        ("runs.csv", bytes(range(256)), "not a CSV"),
        ("evals.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "not a CSV"),
        ("evals.csv", b"task,method,seed\ndigits,baseline,0\n", "no column"),
        ("runs.csv", b"task,method,seed,status\ndigits,baseline,zero,finished\n", "'zero'"),
        (
            "evals.csv",
            b"task,method,seed,metric,fd,iteration,images,train_seconds,forwards\ndigits,baseline,0,fd,low,0,0,0,0\n",
            "'low'",
        ),
        ("runs.csv", b"task,method,seed,status\ndigits,baseline,0,Finished\n", "unknown status 'Finished'"),
        ("runs.csv", b"task,method,seed,status\ndigits,baseline,1,finished\n", "baseline seed 0 has no row in runs.csv"),
        (
            "evals.csv",
            b"task,method,seed,metric,fd,iteration,images,train_seconds,forwards\ndigits,baseline,0,fd,-1,0,0,0,0\n",
            "below 0",
        ),
    ],
)
def test_a_csv_that_is_none_is_named(name: str, content: bytes, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("task,method,seed,status\ndigits,baseline,0,finished\n")
    (tmp_path / "evals.csv").write_text(
        "task,method,seed,metric,fd,iteration,images,train_seconds,forwards\ndigits,baseline,0,fd_digits,90,0,0,0,0\n"
    )
    (tmp_path / name).write_bytes(content)
    said = refused("score", tmp_path)
    assert named in said
    assert "runs.csv" in said or "evals.csv" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evals.csv", "runs.csv"]


def test_a_write_that_fails_leaves_the_old_file_whole_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new" * 1000)
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old"


def test_a_disk_that_is_full_when_the_command_itself_writes_is_one_line(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, study())
    (folder / "study.json").write_text(json.dumps(DECLARED))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in refused("score", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}"])
def test_a_damaged_run_is_named_and_not_run_over(damage: str, refused: Refused, tmp_path: Path) -> None:
    study = define_study("digits", ["baseline"], "1")
    StudyFolder(tmp_path / "s").path.mkdir()
    StudyFolder(tmp_path / "s").declare(study)
    row = tmp_path / "s" / next(study.specs()).directory / "run.json"
    row.parent.mkdir(parents=True)
    row.write_text(damage)
    assert "run.json: damaged" in refused("run", "--device", "cpu", "-m", "baseline", "--seeds", "1", "--out", "s")
    assert row.read_text() == damage


@pytest.mark.parametrize(("body", "named"), [("import sys; sys.exit(0)", "SystemExit"), ("x = (", "SyntaxError")])
def test_a_method_file_that_ends_the_program_is_named(body: str, named: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(body)
    said = refused("methods", "--methods-path", str(tmp_path))
    assert "bad.py" in said
    assert named in said


def test_options_win_over_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('task = "digits"\nbudget = 20\n')
    source = str(tmp_path / "mine.toml")
    assert define_study(source).task.budget.iterations == 20
    assert define_study(source, changes={"budget.iterations": 30}).task.budget.iterations == 30
    assert define_study(source, changes={"budget.iterations": 30}, budget=40).task.budget.iterations == 40


def test_a_target_that_is_met_before_training_is_refused_at_the_first_evaluation(fidrace: Fidrace) -> None:
    said = fidrace("run", *TINY, "-m", "baseline", "--seeds", "1", "--target", "500", code=2).stderr
    assert "at the target 500 at iteration 0" in said
    assert "iteration 4" not in said


def test_data_of_another_content_is_refused() -> None:
    with pytest.raises(InputError, match="SHA-256"):
        load_data(load_task("digits", {"data.sha256": "0" * 64}).data)


def test_the_packaged_classifier_has_the_accuracy_that_is_reported() -> None:
    data = digits()
    assert data.train.shape == (1500, 1, 8, 8)
    assert len(np.unique(np.concatenate([data.train, data.heldout]).reshape(1797, 64), axis=0)) == 1797
    assert accuracy_of(
        load_classifier("digits", WEIGHTS / "digits.safetensors"), data.heldout, data.heldout_labels
    ) == pytest.approx(295 / 297)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("budget", 0), ("methods", []), ("methods", {"m": 1}), ("declared_seeds", 3), ("schema", 2)),
        *(("target", value) for value in (None, "abc", -1, 0, True, float("nan"))),
        *(("evaluations_at", value) for value in (3, [[0]], [{}], ["x"])),
    ],
)
def test_a_damaged_study_description_is_named(field: str, value: object, tmp_path: Path) -> None:
    folder = write(tmp_path, study())
    (folder / "study.json").write_text(json.dumps({**DECLARED, field: value}))
    with pytest.raises(InputError, match=r"study\.json"):
        score_folder(folder)
