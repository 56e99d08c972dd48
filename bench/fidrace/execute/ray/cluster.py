"""Being part of a Ray cluster: which one, whether it is there, and parting from it."""

import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from fidrace.errors import InputError

ANSWER_SECONDS = 10.0  # in which a cluster must answer
OBJECT_STORE = 100 * 2**20  # bytes, of a cluster of this machine alone; runs pass no arrays


@contextmanager
def join_cluster(address: str | None) -> Iterator[None]:
    """Be part of a Ray cluster; raises InputError where there is none at the address."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anybody
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 lets anything else on the machine slow a run down
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "1"  # a run without GPUs sees none
    import ray

    # Ray prints the logs of dead nodes, and parts with some last words, all on stdout
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            connect(address or os.environ.get("RAY_ADDRESS") or "auto")
            yield
        finally:
            ray.shutdown()


def connect(address: str) -> None:
    """Raises InputError where there is no cluster at `address`; `auto` is then one of this machine alone."""
    import ray

    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != "auto":
            raise InputError(f"no Ray cluster at {address} ({first_line(error)})") from None
        ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
    except (RuntimeError, ValueError) as error:  # another version of Ray or Python there
        raise InputError(f"cannot join the Ray cluster at {address} ({first_line(error)})") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own there


def refuse_absent(address: str | None) -> None:
    """Raise InputError where Ray is not installed, or nothing answers at HOST:PORT."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--executor ray needs Ray: pip install 'fidrace[ray]'")
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    started = Path(
        os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster"
    )  # by `ray start`, says Ray's documentation
    if address == "auto" and started.is_file():
        where = f"{started} names {started.read_text().strip()} (`ray stop` makes it forget)"
        refuse_silent(started.read_text().strip(), where)
    elif address not in ("auto", "local"):
        refuse_silent(address, f"--address {address}")


def refuse_silent(address: str, where: str) -> None:
    """Raise InputError unless something answers at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdigit():
        raise InputError(f"{where}: write HOST:PORT, as `ray start` prints it (a ray:// client cannot be used)")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"{where}: no Ray cluster answers there ({error})") from None


def first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")
