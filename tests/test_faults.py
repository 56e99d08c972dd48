"""Killed, stopped, starved of disk and memory: a study loses nothing, does nothing twice, and ends in the same tables."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import HALVING, TINY, Fidrace, Refused
from tests.faults import SMALL, Study, assert_same, ended_here, rows

pytestmark = pytest.mark.usefixtures("nothing_left")
RUNS = [("baseline", 0), ("uncertainty+mdlrc", 0), ("baseline", 1), ("uncertainty+mdlrc", 1)]

# Files with methods may do anything where they are imported, in the command and in its workers; these do faults.
KILLS_AT_RENAME = """
import os, signal
from pathlib import Path

rename, marker = os.replace, Path("struck")

def replace(source, target, **options):
    if "checkpoint-000000030" in str(target) and not marker.exists():
        marker.touch()
        os.killpg(0, signal.SIGKILL)
    rename(source, target, **options)

if os.environ.get("STRIKE"):
    os.replace = replace
"""
FILLS_THE_DISK = """
import errno, os

real = os.fsync

def fsync(handle):
    if os.environ.get("FULL") in os.readlink(f"/proc/self/fd/{handle}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(handle)

if os.environ.get("FULL"):
    os.fsync = fsync
"""
MOUNT = ("mount", "-t", "tmpfs", "-o")
FAULTS = {
    "memory": "(_ for _ in ()).throw(MemoryError('unable to allocate 1 PiB'))",
    "leaves": "__import__('sys').exit(3)",
    "killed": "__import__('os').kill(__import__('os').getpid(), 9)",
}
NO_NUMBER = {"not-a-number": "float('nan') * self.schedule.abar"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    ended_here([*SMALL, "--out", "s"], folder)
    return folder / "s"


def test_killed_between_a_checkpoints_write_and_its_rename_and_left_at_once_by_a_second_ctrl_c(
    undisturbed: Path, tmp_path: Path
) -> None:
    """All processes are killed at the rename, then one worker at a random moment of its work, when a command leaves that does
    not wait for it. 25 random moments of all processes are in tests/slow/kills.py."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "striking.py").write_text(KILLS_AT_RENAME)
    words = [*SMALL, "--methods-path", "mine", "--out", "killed"]
    Study(words, tmp_path, "struck", {"STRIKE": "1"}).ended(-signal.SIGKILL)
    assert (tmp_path / "struck").exists()
    assert list(tmp_path.rglob(".checkpoint-*.tmp"))  # written, not renamed
    study = Study(words, tmp_path, "left")
    study.until(lambda: study.trained(1))
    time.sleep(random.uniform(0.3, 1))
    (pid,) = {row["pid"] for row in rows(tmp_path / "killed") if row["status"] == "running"}
    os.kill(pid, signal.SIGSTOP)  # it will never say that it has saved
    study.send(signal.SIGINT)
    study.until(lambda: "press Ctrl-C again to leave at once" in study.err.read_text())
    start = time.monotonic()
    study.send(signal.SIGINT)
    study.ended(130, seconds=20)
    assert time.monotonic() - start < 10
    taken = study.starts() + ended_here(words, tmp_path)
    assert max(iteration for _, _, iteration in taken) > 0
    assert_same(tmp_path / "killed", undisturbed)


def test_two_commands_share_the_runs_and_wait_for_the_one_of_a_stopped_worker(undisturbed: Path, tmp_path: Path) -> None:
    """Both start at once. A worker is stopped for three seconds after it is waited for; for 60 in tests/slow/kills.py."""
    words = [*SMALL, "--out", "s"]
    studies = [Study(words, tmp_path, f"number-{k}") for k in range(2)]
    studies[0].until(lambda: any(study.starts() for study in studies))
    first = next(study for study in studies if study.starts())
    others = [study for study in studies if study is not first]
    run = first.starts()[0][:2]
    (row,) = (row for row in rows(tmp_path / "s") if (row["method"], row["seed"]) == run)
    os.kill(row["pid"], signal.SIGSTOP)
    held = f"process {row['pid']} on {row['host']} is running it"
    for study in others:
        study.until(lambda study=study: f"waiting for {run[0]} seed {run[1]}: {held}" in study.err.read_text())
    time.sleep(3)
    os.kill(row["pid"], signal.SIGCONT)
    taken = {study: study.ended(0).starts() for study in studies}
    assert sorted(start for starts in taken.values() for start in starts) == sorted((method, seed, 0) for method, seed in RUNS)
    assert sum(map(bool, taken.values())) > 1  # shared indeed
    assert taken[first] == [(*run, 0)]
    for study in studies:  # each of them ends with all of the table
        assert len(study.events()[-1]["leaderboard"]) == 2
    assert_same(tmp_path / "s", undisturbed)


def test_a_killed_workers_run_goes_on_with_retry_failed_and_a_killed_commands_is_taken_over_by_one_that_waits(
    undisturbed: Path, tmp_path: Path
) -> None:
    """First the worker is killed, and another takes its place; then the command, and that worker saves its run and goes."""
    words = [*SMALL, "--out", "s"]
    first = Study(words, tmp_path, "first")
    first.until(lambda: ("baseline", 15) in [(event["method"], event["iteration"]) for event in first.events()])
    os.kill(pid_of(tmp_path / "s", RUNS[0]), signal.SIGKILL)
    first.until(lambda: any(run_of(event) == RUNS[1] and event["iteration"] >= 20 for event in first.events()))
    pid = pid_of(tmp_path / "s", RUNS[1])
    os.kill(pid, signal.SIGSTOP)
    failed = next(row for row in rows(tmp_path / "s") if run_of(row) == RUNS[0])
    assert (failed["status"], failed["error"]) == ("failed", "worker killed by SIGKILL (no memory left?)")
    second = Study([*words, "--retry-failed"], tmp_path, "second")
    second.until(lambda: f"waiting for {RUNS[1][0]} seed 0" in second.err.read_text())
    first.send(signal.SIGKILL)
    first.ended(-signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    second.ended(0)
    taken = {run[:2]: run[2] for run in second.starts()}
    assert taken.keys() == {*RUNS}
    assert taken[RUNS[0]] >= 10  # from its checkpoint
    assert taken[RUNS[1]] >= 20
    assert_same(tmp_path / "s", undisturbed)


def run_of(told: dict[str, Any]) -> tuple[str, int]:
    return told["method"], told["seed"]


def pid_of(folder: Path, run: tuple[str, int]) -> int:
    """The process that has taken up the run."""
    (pid,) = (int(row["pid"]) for row in rows(folder) if run_of(row) == run)
    return pid


def test_signals_to_all_processes_leave_a_resumable_state_and_fresh_does_not_empty_a_folder_in_use(
    undisturbed: Path, tmp_path: Path, refused: Refused
) -> None:
    """SIGINT as a terminal sends it, then SIGTERM as a batch system does."""
    words = [*SMALL, "--out", "s", "--set", "budget.checkpoint_minutes=99"]
    first = Study(words, tmp_path, "first")
    first.until(first.starts)
    (row,) = rows(tmp_path / "s")
    os.kill(row["pid"], signal.SIGSTOP)  # for as long as the second command takes
    assert "in use by another fidrace run" in refused(*words, "--fresh", "--yes")
    first.send(signal.SIGINT, group=True)
    os.kill(row["pid"], signal.SIGCONT)
    first.ended(130)
    second = Study(words, tmp_path, "second")
    second.until(lambda: second.trained(20))
    second.send(signal.SIGTERM, group=True)
    second.ended(130)
    for study in (first, second):
        assert "the same command resumes" in study.err.read_text()
    third = ended_here(words, tmp_path)
    assert sorted({run[:2] for run in second.starts() + third}) == sorted(RUNS)
    assert max(iteration for _, _, iteration in third) >= 20
    assert_same(tmp_path / "s", undisturbed)


def test_what_goes_wrong_in_a_run_ends_it_with_its_reason_and_the_others_go_on(tmp_path: Path, fidrace: Fidrace) -> None:
    """What is only a reason is looked at in this process."""
    (tmp_path / "mine").mkdir()
    for name, body in (FAULTS | NO_NUMBER).items():
        text = HALVING.replace("Halving", name.title().replace("-", "")).replace("halving", name)
        body = f"print('noise') or ({body} if progress > 0.5 else 0 * self.schedule.abar + 1)"  # stdout stays JSON
        (tmp_path / "mine" / f"{name}.py").write_text("print('noise')\n" + text.replace("0 * self.schedule.abar + 0.5", body))
    words = ["run", *TINY, "--seeds", "1", "--out", "s", "--methods-path", "mine"]
    words += [word for name in FAULTS for word in ("-m", name)]
    study = Study([*words, "-m", "p2"], tmp_path).ended(4)
    assert study.events()[-1]["event"] == "study_ended"
    runs = pd.read_csv(tmp_path / "s" / "runs.csv").set_index("method")
    assert runs["status"].to_dict() == {"baseline": "finished", **dict.fromkeys(FAULTS, "failed"), "p2": "finished"}
    reasons = runs["error"].to_dict()
    assert reasons["memory"].startswith("MemoryError: unable to allocate 1 PiB")
    assert reasons["leaves"].startswith("SystemExit: 3")
    assert reasons["killed"] == "worker killed by SIGKILL (no memory left?)"
    pids = {row["method"]: row["pid"] for row in rows(tmp_path / "s")}
    assert pids["baseline"] == pids["memory"]
    assert len({pids[name] for name in (*FAULTS, "p2")}) == 4  # nothing that a failed run leaves behind meets the next
    evals = pd.read_csv(tmp_path / "s" / "evals.csv")
    assert len(evals[evals["method"] == "memory"]) == 2  # what was measured before stays
    assert "3 of 5 runs failed; --retry-failed resumes them" in study.err.read_text()
    fidrace("run", *TINY, "--seeds", "1", "--out", "t", "--methods-path", "mine", "-m", "not-a-number", code=4)
    runs = pd.read_csv(tmp_path / "t" / "runs.csv").set_index("method")
    assert runs["status"].to_dict() == {"baseline": "finished", "not-a-number": "failed"}
    assert "weight" in runs.loc["not-a-number", "error"]


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    """A small file system where this machine may mount one, else errors in its place."""
    (tmp_path / "disk").mkdir()
    mounted = not subprocess.run(
        [*MOUNT, "size=1m", "tmpfs", "disk"], cwd=tmp_path, capture_output=True, check=False
    ).returncode
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "full.py").write_text(FILLS_THE_DISK)
    words = [*SMALL, "--out", "disk/s", "--methods-path", "mine"]
    try:
        study = Study(words, tmp_path, "full", {} if mounted else {"FULL": "checkpoint-"}).ended(2)
        assert study.err.read_text().splitlines()[-1].startswith("fidrace: no space left for disk/s; free some")
        assert "Traceback" not in study.err.read_text()
        assert not list((tmp_path / "disk").rglob("*.tmp"))
        if mounted:
            subprocess.run([*MOUNT, "remount,size=64m", "disk"], cwd=tmp_path, check=True)
        ended_here(words, tmp_path)
        assert_same(tmp_path / "disk" / "s", undisturbed)
    finally:
        if mounted:
            subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_a_folder_that_is_moved_away_while_it_is_used_is_not_made_anew(tmp_path: Path) -> None:
    study = Study([*SMALL, "--budget", "600", "--out", "s"], tmp_path)
    study.until(lambda: study.trained(1))
    (tmp_path / "s").rename(tmp_path / "moved")
    study.ended(2)
    assert study.err.read_text().splitlines()[-1].startswith("fidrace: s: the study was moved or removed")
    assert "Traceback" not in study.err.read_text()
    assert not (tmp_path / "s" / "runs").exists()
    assert {row["status"] for row in rows(tmp_path / "moved")} == {"running"}
