"""Joining and leaving a Ray cluster, and checks that it can be joined."""

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

ANSWER_SECONDS = 10.0  # how long a cluster may take to answer
OBJECT_STORE = 100 * 2**20  # bytes, if we start a cluster on this machine; runs pass no arrays


@contextmanager
def join_cluster(address: str | None) -> Iterator[None]:
    """Join the Ray cluster at `address` for as long as the context lasts; raises InputError if there is none."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # report nothing to Ray's makers
    os.environ.setdefault("RAY_worker_niceness", "0")  # with Ray's 15, any other program slows runs down
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "1"  # a run without GPUs sees none
    import ray

    # Ray prints the logs of dead nodes and its messages at shutdown on stdout
    with Path(os.devnull).open("w") as devnull, redirect_stdout(devnull):
        try:
            connect(address or os.environ.get("RAY_ADDRESS") or "auto")
            yield
        finally:
            ray.shutdown()


def connect(address: str) -> None:
    """Connect to the cluster at `address`; raises InputError if there is none. For `auto`, a cluster is then started on this
    machine."""
    import ray

    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != "auto":
            raise InputError(f"no Ray cluster at {address} ({first_line(error)})") from None
        ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
    except (RuntimeError, ValueError) as error:  # the cluster has another version of Ray or Python
        raise InputError(f"cannot join the Ray cluster at {address} ({first_line(error)})") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has installed its own handler


def check_gpus(gpus: float | None, device: str) -> None:
    """Raise InputError for a number of GPUs per run that Ray or the device does not allow."""
    if gpus is not None and not (0 <= gpus <= 1 or gpus.is_integer()):
        raise InputError(f"--gpus {gpus:g}: write a whole number, or a share below 1")
    if device == "cpu" and gpus:
        raise InputError(f"--gpus {gpus:g} with --device cpu: leave one out")


def check_cluster(address: str | None) -> None:
    """Raise InputError if Ray is not installed or no cluster answers at HOST:PORT."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--executor ray needs Ray: pip install 'fidrace[ray]'")
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    record = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # documented: `ray start` writes it
    if address == "auto" and record.is_file():
        recorded = record.read_text().strip()
        check_answer(recorded, f"{record} names {recorded} (`ray stop` removes it)")
    elif address not in ("auto", "local"):
        check_answer(address, f"--address {address}")


def check_answer(address: str, origin: str) -> None:
    """Raise InputError, which begins with `origin`, unless something answers at HOST:PORT. Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdigit():
        raise InputError(f"{origin}: write HOST:PORT, as `ray start` prints it (a ray:// client cannot be used)")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"{origin}: no Ray cluster answers there ({error})") from None


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), "")
