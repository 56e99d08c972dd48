"""A command of the user's as a child process: its output in a file; ended when it hangs, or when the study is to stop."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

GRACE = 30.0  # seconds between asking a process to end and killing it
PAUSE = 0.2  # seconds between two looks
KEPT = 2**20  # bytes of what a command prints that are searched for a number
LAST = 2000  # bytes of output that a message is taken from
PR_SET_PDEATHSIG = 1
MARK = "FIDRACE_RUN"  # environment variable of a command: its run's folder


class CommandFailed(Exception):
    """A command ended otherwise than by exit code 0, or was given up; the message is one line."""


class CommandStopped(Exception):
    """A command was ended because the study was asked to stop."""


def run_command(
    what: str,
    words: Sequence[str],
    folder: Path,
    log: Path,
    should_stop: Callable[[], bool],
    patience: float,
    watch: Callable[[], object] = lambda: None,
    started: Callable[[int], None] = lambda group: None,
) -> str:
    """Run `words` in `folder` and return the last that it printed on stdout; stdout and stderr also go to the end of `log`.

    `started` is told the process group; `watch` is called in between; `patience`: seconds for which neither it nor the output
    may stay as they were. Raises CommandFailed, and CommandStopped if `should_stop`."""
    output, begin = log.with_suffix(".out"), log.stat().st_size if log.exists() else 0
    with output.open("wb") as stdout, log.open("ab") as stderr:
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1", MARK: str(log.parent)},  # what it prints shows that it lives
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # a terminal's Ctrl-C is the study's, which ends the command itself
                preexec_fn=_bind,
            )
        except OSError as error:
            raise CommandFailed(f"{what}: {words[0]}: {error.strerror}") from None
        try:
            started(process.pid)
            seen, since = None, monotonic()
            while process.poll() is None:
                now = (output.stat().st_size, log.stat().st_size, watch())
                if now != seen:
                    seen, since = now, monotonic()
                if should_stop():
                    raise CommandStopped
                if monotonic() - since > patience:
                    raise CommandFailed(f"{what}: no output and no checkpoint for {patience / 60:g} minutes; it was ended")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PAUSE)
        finally:  # with what it has left in the background
            end_group(process.pid, process)
            last = last_line(log, begin) or last_line(output, 0)
            with log.open("ab") as whole, output.open("rb") as file:
                shutil.copyfileobj(file, whole)
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - KEPT))
        printed = file.read().decode(errors="replace")
    output.unlink()
    if process.returncode:
        raise CommandFailed(f"{what}: {describe_end(process.returncode)}{last}")
    return printed


def _bind() -> None:
    """In the child: hear SIGTERM and Ctrl-C, which the worker blocks; and be ended with the worker, if that is killed, which
    Linux alone can do."""
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_group(group: int, leader: "subprocess.Popen[bytes] | None" = None) -> None:
    """End a command and all that it started: by SIGTERM, so that they may save their state, and after GRACE by SIGKILL."""
    for name, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 1.0)):
        until = monotonic() + seconds
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, name)
            while monotonic() < until:
                if leader:
                    leader.poll()
                os.killpg(group, 0)  # raises once none is left
                sleep(PAUSE / 4)


def end_left_behind(group: int, log: Path) -> None:
    """End what is left of a command of an earlier attempt, whose worker was killed, if it has this run's mark: the number of a
    group may be another's by now. Linux alone can tell."""
    marked = f"{MARK}={log.parent}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            its_group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
            if its_group == group and marked in (folder / "environ").read_bytes().split(b"\0"):
                end_group(group)
                return


def describe_end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}" if -code in {*signal.Signals} else f"killed by signal {-code}"


def last_line(log: Path, begin: int) -> str:
    """The last line of a log, from the byte `begin` on, that says something, for a message."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - LAST))
        lines = [line.strip() for line in file.read().decode(errors="replace").replace("\r", "\n").splitlines()]
    said = [line for line in lines if line]
    return f": {said[-1][:300]}" if said else ""
