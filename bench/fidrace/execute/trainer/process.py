"""A command of the user's as a child process: its output in a file; ended when it hangs, or when the study is to stop."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

GRACE = 30.0  # seconds between asking a process to end and killing it
PAUSE = 0.2  # seconds between two looks
LAST = 2000  # bytes of output that a message is taken from
PR_SET_PDEATHSIG = 1


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
) -> str:
    """Run `words` in `folder` and return what it printed on stdout; stdout and stderr also go to the end of `log`.

    `watch` is called in between; `patience`: seconds for which neither it nor the output may stay as they were. Raises
    CommandFailed, and CommandStopped if `should_stop`."""
    output, begin = log.with_suffix(".out"), log.stat().st_size if log.exists() else 0
    with output.open("wb") as stdout, log.open("ab") as stderr:
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # a terminal's Ctrl-C is the study's, which ends the command itself
                preexec_fn=_bind,
            )
        except OSError as error:
            raise CommandFailed(f"{what}: {words[0]}: {error.strerror}") from None
        seen, since = None, monotonic()
        while process.poll() is None:
            now = (output.stat().st_size, log.stat().st_size, watch())
            if now != seen:
                seen, since = now, monotonic()
            if should_stop():
                end(process)
                raise CommandStopped
            if monotonic() - since > patience:
                end(process)
                raise CommandFailed(f"{what}: no output and no checkpoint for {patience / 60:g} minutes; it was ended")
            with suppress(subprocess.TimeoutExpired):
                process.wait(PAUSE)
    printed = output.read_text(errors="replace")
    last = last_line(log, begin) or last_line(output, 0)
    with log.open("ab") as whole:
        whole.write(printed.encode())
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


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it started: by SIGTERM, so that it may save its state, and after GRACE by SIGKILL."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, name)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it has left behind


def describe_end(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def last_line(log: Path, begin: int) -> str:
    """The last line of a log, from the byte `begin` on, that says something, for a message."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - LAST))
        lines = [line.strip() for line in file.read().decode(errors="replace").replace("\r", "\n").splitlines()]
    said = [line for line in lines if line]
    return f": {said[-1][:300]}" if said else ""
