"""A study whose whole process group is killed at 25 random moments, and one whose worker stands still for a minute: the tables
are those of an undisturbed study, byte for byte but for times.

    python -m tests.slow.kills [KILLS]      its last figures are in docs/reliability.md

About eight minutes on two cores.
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import SMALL, Study, assert_same, killed_again_and_again, rows

STUDY = (*SMALL, "--budget", "300", "-m", "clts", "--seeds", "3")


def killed(folder: Path, kills: int, undisturbed: float) -> None:
    """Half of the moments count from the command's start, its imports included, half from when a run trains."""
    while_starting, at_work = kills // 2, kills - kills // 2
    chance = random.Random(0)
    moments = [chance.uniform(0, 8) for _ in range(while_starting)]
    taken = killed_again_and_again(folder, moments, STUDY)
    assert_same(folder / "killed", folder / "undisturbed")
    print(f"{while_starting} kills 0 to 8 s after the start: runs taken up {len(taken)} times, tables equal")
    (folder / "killed").rename(folder / "killed-1")
    moments = [chance.uniform(0, undisturbed / at_work) for _ in range(at_work)]  # half of the study, so that all fall into it
    taken = killed_again_and_again(folder, moments, STUDY, begun=True)
    assert_same(folder / "killed", folder / "undisturbed")
    resumed = [iteration for _, _, iteration in taken if iteration]
    print(f"{at_work} kills at work: runs taken up {len(taken)} times, {len(resumed)} of them from a checkpoint, tables equal")


def stopped(folder: Path, seconds: float) -> None:
    """A worker stopped and continued, while a second command does the other runs and waits."""
    words = [*STUDY, "--out", "stopped", "--workers", "1"]
    first = Study(words, folder, "first")
    first.until(first.starts)
    pid = rows(folder / "stopped")[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    second = Study(words, folder, "second")
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    taken = first.ended(0, 600).starts() + second.ended(0, 600).starts()
    assert len(taken) == len({run[:2] for run in taken}) == 9
    assert {iteration for _, _, iteration in taken} == {0}
    assert_same(folder / "stopped", folder / "undisturbed")
    print(f"a worker stopped for {seconds:g} s, a second command beside it: each of 9 runs done once, tables equal")


def main(kills: int = 25) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()
        Study([*STUDY, "--out", "undisturbed"], folder, "undisturbed").ended(0, 600)
        undisturbed = time.monotonic() - start
        print(f"undisturbed: 9 runs in {undisturbed:.0f} s")
        stopped(folder, 60)
        killed(folder, kills, undisturbed)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
