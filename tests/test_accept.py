"""`check --accept`: a deliberate change becomes what is compared with, as a whole or not at all."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, Fidrace, Refused
from tests.foreign import SCATTER, races, with_statuses
from tests.published import DIGITS, excerpt, silently_the_baseline

KILLED = """
import os, sys
from pathlib import Path
from fidrace.score import accepted

def dying(real):
    def call(*arguments):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return real(*arguments)
    return call

now, before = map(Path, sys.argv[1:])
for step in range(20):
    if os.fork() == 0:
        left = step
        Path.rename, Path.replace = dying(Path.rename), dying(Path.replace)
        accepted.accept_tables(now, before)
        os._exit(0)
    died = os.waitstatus_to_exitcode(os.wait()[1])
    accepted.prepare_to_accept(now, before)
    same = [[(before / name).read_bytes() == (side / name).read_bytes() for name in accepted.TABLES if (side / name).exists()]
            for side in (now, Path("old"))]
    print(died, *map(all, same), len(list(before.parent.glob(".before*"))))
    if not died:
        break
"""


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A study in which min-snr trains as the baseline does."""
    return excerpt(tmp_path / "now", evals=silently_the_baseline)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_first_tables_are_stored_and_a_change_that_fails_is_accepted(
    changed: Path, tmp_path: Path, fidrace: Fidrace
) -> None:
    first = excerpt(tmp_path / "first", ("baseline", "min-snr", "p2"), seeds=(0, 1, 2, 3, 4))
    before = tmp_path / "speed" / "before"
    shutil.copytree(DIGITS.parent / "digits-target", first / "runs")  # whatever lies there
    said = fidrace("check", first, "--against", before, "--accept")
    assert said.stdout.count("1.00 [1.00, 1.00]") == 2  # with itself
    assert said.stderr == f"{before}: new, with study.json, runs.csv, evals.csv of {first}\n"
    assert contents(before) == {name: (first / name).read_bytes() for name in ("study.json", "runs.csv", "evals.csv")}

    (before / "README.md").write_text("ours")
    (before / "leaderboard.md").write_text("of the old tables")
    fidrace("check", changed, "--against", before, code=1)
    assert (before / "leaderboard.md").exists()
    said = fidrace("check", changed, "--against", before, "--accept")
    assert "fails" in said.stdout
    assert said.stderr.splitlines()[1] == f"{before} no longer holds p2"
    assert contents(before) == {**contents(changed), "README.md": b"ours"}
    fidrace("check", changed, "--against", before, "--absolute")
    assert [path.name for path in before.parent.iterdir()] == ["before"]


def test_nothing_is_accepted_that_was_not_measured_or_does_not_compare(
    changed: Path, tmp_path: Path, fidrace: Fidrace, refused: Refused
) -> None:
    before = excerpt(tmp_path / "before", target=30.0)
    known = contents(before)
    assert "the target is 34.0 in" in refused("check", changed, "--against", before, "--accept")
    few = excerpt(tmp_path / "few", seeds=(0, 1), target=30.0)
    said = fidrace("check", few, "--against", before, "--accept", code=3)
    assert said.stderr == "fidrace: a check found nothing measured: nothing was accepted\n"
    assert contents(before) == known
    fidrace("check", few, "--against", tmp_path / "new", "--accept", code=3)
    assert not (tmp_path / "new").exists()
    assert "--against DIR2" in refused("check", few, "--require", "min-snr>=1", "--accept")
    assert "never written" in refused("check", changed, "--against", "digits", "--accept")
    assert "same folder" in refused("check", before, "--against", before.parent / "now" / ".." / "before", "--accept")
    (before / "runs").mkdir()
    assert "runs of its own" in refused("check", few, "--against", before, "--accept")


def test_a_folder_that_only_looks_like_its_temporary_one_is_left_alone(changed: Path, tmp_path: Path, fidrace: Fidrace) -> None:
    before, near = excerpt(tmp_path / "before"), []
    for name in (".before.backup.tmp", ".before.fidrace-accept-backup.tmp", ".before.fidrace-accept-mybackup.tmp"):
        near.append(tmp_path / name)
        near[-1].mkdir()
        (near[-1] / "thesis.md").write_text("mine")
    (left := tmp_path / ".before.fidrace-accept-0a_b1c2d.tmp" / "new").mkdir(parents=True)
    fidrace("check", changed, "--against", before, "--accept")
    assert [contents(folder) for folder in near] == [{"thesis.md": b"mine"}] * 3
    assert not left.parent.exists()


def test_files_that_were_not_made_from_tables_stay(changed: Path, tmp_path: Path, fidrace: Fidrace) -> None:
    before = tmp_path / "before"
    before.mkdir()
    own = dict.fromkeys(("report.html", "fd.png", "curve.csv", "study.toml"), b"mine")
    for name, content in own.items():
        (before / name).write_bytes(content)
    fidrace("check", changed, "--against", before, "--accept")
    assert contents(before) == contents(changed) | own
    fidrace("check", changed, "--against", before, "--accept")  # now they lie beside tables
    assert contents(before) == contents(changed)


def test_the_current_folder_is_not_replaced(changed: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for into in (".", "..", tmp_path, "link", "now/.."):
        said = refused("check", changed, "--against", into, "--accept")
        assert said.startswith(f"fidrace: --accept: {into} holds the current folder")
    assert [path.name for path in tmp_path.iterdir() if path != tmp_path / "link"] == ["now"]


def test_tables_of_others_are_accepted_with_what_they_declare(tmp_path: Path, fidrace: Fidrace) -> None:
    paces = {"baseline": SCATTER[:3], "m": [1.5 * pace for pace in SCATTER[:3]]}
    now = with_statuses(tmp_path / "now", races(paces))
    (now / "study.toml").write_text("target = 10.0\npaired = true\n")
    fidrace("check", now, "--against", tmp_path / "before", "--accept")
    (now / "runs.csv").unlink()
    fidrace("check", now, "--against", tmp_path / "before", "--accept")
    assert {*contents(tmp_path / "before")} == {"study.toml", "evals.csv"}


def test_a_command_killed_at_any_rename_leaves_the_old_tables_or_the_new_ones(changed: Path, tmp_path: Path) -> None:
    old = excerpt(tmp_path / "old")
    shutil.copytree(old, tmp_path / "before")
    command = [sys.executable, "-c", KILLED, "now", "before"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*["9 False True 0"] * 5, "0 True False 0"]  # three files, two folders


def test_a_disk_that_is_full_leaves_the_old_tables(
    changed: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = excerpt(tmp_path / "before")
    known = contents(before)

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("fidrace.score.accepted.write_atomic", full)
    with monkeypatch.context() as quiet:
        quiet.setattr("fidrace.report.gate.print_checks", lambda *_: None)  # as `refused` wants it
        assert refused("check", changed, "--against", before, "--accept") == f"fidrace: {before}: No space left on device\n"
    assert contents(before) == known
    assert not list(tmp_path.glob(".before*"))
