"""Killed, stopped, starved of disk and memory: a study loses nothing, does nothing twice, and ends in the same tables."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import HALVING, TINY, Refused
from tests.faults import SMALL, Study, assert_same, killed_again_and_again, rows

pytestmark = pytest.mark.usefixtures("nothing_left")
RUNS = [("baseline", 0), ("uncertainty+mdlrc", 0), ("baseline", 1), ("uncertainty+mdlrc", 1)]

# Files with methods may do anything where they are imported, in the command and in its workers; these do faults.
KILLS_AT_RENAME = """
import os, signal
from pathlib import Path

rename, marker = os.replace, Path("struck")

def replace(source, target, **options):
    if "checkpoint-000000030" in str(target) and os.environ.get("STRIKE") and not marker.exists():
        marker.touch()
        os.killpg(0, signal.SIGKILL)
    rename(source, target, **options)

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
    "not-a-number": "float('nan') * self.schedule.abar",
    "memory": "(_ for _ in ()).throw(MemoryError('unable to allocate 1 PiB'))",
    "leaves": "__import__('sys').exit(3)",
    "killed": "__import__('os').kill(__import__('os').getpid(), 9)",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    Study([*SMALL, "--out", "s"], folder).ended(0)
    return folder / "s"


def test_killed_between_a_checkpoints_write_and_its_rename_and_at_random_moments(undisturbed: Path, tmp_path: Path) -> None:
    """One random moment here; 25 in tests/slow/kills.py."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "striking.py").write_text(KILLS_AT_RENAME)
    words = [*SMALL, "--methods-path", "mine"]
    Study([*words, "--out", "killed"], tmp_path, "struck", {"STRIKE": "1"}).ended(-signal.SIGKILL)
    assert (tmp_path / "struck").exists()
    assert list(tmp_path.rglob(".checkpoint-*.tmp"))  # written, not renamed
    taken = killed_again_and_again(tmp_path, [random.uniform(0.3, 1)], words, begun=True)
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


def test_a_killed_commands_run_is_taken_over_by_one_that_waits(undisturbed: Path, tmp_path: Path) -> None:
    """Only the command is killed: its worker saves the run and goes. With all processes killed, the test of random moments."""
    words = [*SMALL, "--out", "s"]
    first = Study([*words], tmp_path, "first")
    first.until(lambda: first.trained(20))
    pid = rows(tmp_path / "s")[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    second = Study(words, tmp_path, "second")
    second.until(lambda: "waiting for baseline seed 0" in second.err.read_text())
    first.send(signal.SIGKILL)
    first.ended(-signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    second.ended(0)
    taken = {run[:2]: run[2] for run in second.starts()}
    assert taken.keys() == {*RUNS}
    assert taken[RUNS[0]] >= 20
    assert_same(tmp_path / "s", undisturbed)


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
    third = Study(words, tmp_path, "third").ended(0)
    assert sorted({run[:2] for run in second.starts() + third.starts()}) == sorted(RUNS)
    assert max(iteration for _, _, iteration in third.starts()) >= 20
    assert_same(tmp_path / "s", undisturbed)


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    study = Study([*SMALL, "--out", "s"], tmp_path)
    study.until(study.starts)
    for row in rows(tmp_path / "s"):
        os.kill(row["pid"], signal.SIGSTOP)  # these will never say that they have saved
    study.send(signal.SIGINT)
    study.until(lambda: "press Ctrl-C again to leave at once" in study.err.read_text())
    start = time.monotonic()
    study.send(signal.SIGINT)
    study.ended(130, seconds=20)
    assert time.monotonic() - start < 10


def test_what_goes_wrong_in_a_run_ends_it_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, body in FAULTS.items():
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
    assert "weight" in reasons["not-a-number"]
    assert reasons["memory"].startswith("MemoryError: unable to allocate 1 PiB")
    assert reasons["leaves"].startswith("SystemExit: 3")
    assert reasons["killed"] == "worker killed by SIGKILL (no memory left?)"
    pids = {row["method"]: row["pid"] for row in rows(tmp_path / "s")}
    assert pids["baseline"] == pids["not-a-number"]
    assert len({pids[name] for name in (*FAULTS, "p2")}) == 5  # nothing that a failed run leaves behind meets the next
    evals = pd.read_csv(tmp_path / "s" / "evals.csv")
    assert len(evals[evals["method"] == "memory"]) == 2  # what was measured before stays
    assert "4 of 6 runs failed; --retry-failed resumes them" in study.err.read_text()


def test_a_killed_workers_run_goes_on_from_its_checkpoint_with_retry_failed(undisturbed: Path, tmp_path: Path) -> None:
    words = [*SMALL, "--out", "s"]
    study = Study(words, tmp_path)
    study.until(lambda: ("baseline", 15) in [(event["method"], event["iteration"]) for event in study.events()])
    os.kill(rows(tmp_path / "s")[0]["pid"], signal.SIGKILL)
    study.ended(4)
    found = {(row["method"], row["seed"]): row["status"] for row in rows(tmp_path / "s")}
    assert found == dict.fromkeys(RUNS, "finished") | {RUNS[0]: "failed"}
    ((method, seed, iteration),) = Study([*words, "--retry-failed"], tmp_path, "again").ended(0).starts()
    assert (method, seed) == RUNS[0]
    assert iteration >= 10
    assert_same(tmp_path / "s", undisturbed)


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
        Study(words, tmp_path, "again").ended(0)
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
