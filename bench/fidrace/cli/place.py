"""Where `fidrace run` executes its runs: processes of this machine, of torchrun, or of a Ray cluster."""

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidrace.errors import InputError, nearest

if TYPE_CHECKING:
    from fidrace.execute.study_runner import Executor, StudyRunner
    from fidrace.train.process_group import ProcessGroup

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Place:
    """Where runs are executed. `group` holds the processes that torchrun started, if it did."""

    executor: str
    address: str | None
    gpus: float | None
    device: str
    workers: int | None
    group: "ProcessGroup | None" = None

    @property
    def is_first(self) -> bool:
        """True unless this is a process of torchrun that only follows rank 0."""
        return self.group is None or self.group.is_first

    def devices(self) -> list[str]:
        """This machine's devices; raises InputError if the one asked for is missing. A Ray cluster has devices of its own."""
        from fidrace.execute.local import devices

        return devices("cpu" if self.executor == "ray" and self.device == "cuda" else self.device)

    def run_count(self, threads: int) -> int:
        """How many runs are executed at a time, as far as this machine knows."""
        from fidrace.execute.local import default_workers

        return 1 if self.group else self.workers or default_workers(self.devices(), threads)


def parse_place(place: Place) -> Place:
    """`place`, with the group of processes if torchrun started this one. Raises InputError for an unknown or missing executor,
    and for options that belong to another one."""
    if place.executor not in EXECUTORS:
        raise InputError(f"unknown executor {place.executor!r}{nearest(place.executor, EXECUTORS)}")
    for name, value in (("--address", place.address), ("--gpus", place.gpus)):
        if value is not None and place.executor != "ray":
            raise InputError(f"{name} is for --executor ray")
    if place.executor == "ray":
        from fidrace.execute.ray.cluster import check_cluster, check_gpus

        check_gpus(place.gpus, place.device)
        check_cluster(place.address)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return place
    if place.workers or place.executor != "local":
        option = "--workers" if place.workers else f"--executor {place.executor}"
        raise InputError(f"{option}: under torchrun all processes train one run at a time; omit it")
    from fidrace.execute.torchrun import join_group

    return replace(place, group=join_group(place.devices()))


def make_executor(runner: "StudyRunner", place: Place) -> "Executor":
    """Worker processes on this machine, the processes of torchrun, or a Ray cluster."""
    root, threads = runner.directory.path, runner.study.task.budget.threads
    if place.group:
        from fidrace.execute.torchrun import TorchrunExecutor

        return TorchrunExecutor(root, place.group)
    if place.executor == "ray":
        from fidrace.execute.ray.executor import RayExecutor

        return RayExecutor(root, place.device, threads, place.gpus, place.address, place.workers)
    from fidrace.execute.local import LocalExecutor, default_workers

    devices = place.devices()
    return LocalExecutor(root, devices, place.workers or default_workers(devices, threads), threads)


def follow(runner: "StudyRunner", place: Place) -> None:
    """Take part in the runs of rank 0, which reports and writes."""
    from fidrace.execute.torchrun import TorchrunExecutor, broadcast_specs

    assert place.group
    TorchrunExecutor(runner.directory.path, place.group).follow(broadcast_specs(runner.study, [], place.group))
