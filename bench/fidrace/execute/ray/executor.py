"""Runs on a Ray cluster: each is a task in a process of its own, wherever there is room.

What runs tell comes back through a mailbox beside the command. Their locks, checkpoints and rows lie in DIR, on storage that
all nodes share, so a run whose node died goes on from its checkpoint on another.
"""

import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from fidrace.console import say
from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.local import THREAD_VARIABLES
from fidrace.execute.locked_run import Ended, Message, Refused, Taken, Waiting
from fidrace.execute.ray.cluster import first_line, join_cluster
from fidrace.execute.ray.task import Mailbox, Order, execute_order
from fidrace.execute.stop import handle_interrupts, say_stopping
from fidrace.spec.study import RunSpec
from fidrace.storage.study_folder import StudyFolder

BACKLOG = 8  # runs that wait for room; few, since a task must start before it can hear that it is to stop
LISTEN_SECONDS = 0.2


class RayTasks:
    """The tasks that are out, and the mailbox by which they speak."""

    def __init__(self, root: Path, device: str, threads: int, gpus: float):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from fidrace.execute.run import packages

        self.root, self.device, self.packages = root, device, packages()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.task: Any = ray.remote(
            num_cpus=threads,
            num_gpus=gpus,
            max_retries=0,  # we send a run again ourselves: where its node died, not where its process did
            max_calls=1,  # a process for each run: nothing that one leaves behind meets the next
            runtime_env={"env_vars": dict.fromkeys(THREAD_VARIABLES, str(threads))},
        )(execute_order)
        self.out: dict[Any, RunSpec] = {}
        self.begun: set[tuple[str, int]] = set()

    def send(self, waiting: Waiting, workers: int | None) -> None:
        """Give out runs, as many at a time as are wanted and as can soon begin."""
        while waiting and len(self.out) < (workers or len(self.out) + 1):
            if sum((spec.method, spec.seed) not in self.begun for spec in self.out.values()) >= BACKLOG:
                return
            spec, patience = waiting.next()
            self.begun.discard((spec.method, spec.seed))
            order = Order(spec, patience, self.root, self.device, self.packages)
            self.out[self.task.remote(order, self.mailbox)] = spec

    def take_events(self) -> list[Event]:
        """What the runs have told since the last time."""
        import ray

        told: list[Event] = ray.get(self.mailbox.take.remote())
        self.begun |= {(event.method, event.seed) for event in told}
        return [event for event in told if event.kind != "begun"]

    def stop(self) -> list[Event]:
        """Ask all to stop, and call back those that have not begun, for which there may never be room; the last letters."""
        import ray

        ray.get(self.mailbox.stop.remote())
        told = self.take_events()
        for reference, spec in list(self.out.items()):
            if (spec.method, spec.seed) not in self.begun:
                ray.cancel(reference)
                del self.out[reference]
        return told

    def take_finished(self, seconds: float | None) -> list[tuple[RunSpec, Message]]:
        """The runs that come back within so many seconds (None: all, however long that takes), and how."""
        import ray

        if not self.out:
            return []
        ready, _ = ray.wait(list(self.out), num_returns=1 if seconds else len(self.out), timeout=seconds)
        return [(spec, self._answer(reference, spec)) for reference in ready if (spec := self.out.pop(reference))]

    def _answer(self, reference: Any, spec: RunSpec) -> Message:
        import ray

        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # of what is around a run: no fidrace on that node, for one
            return Refused(first_line(error))
        except ray.exceptions.NodeDiedError:
            say(f"{spec.method} seed {spec.seed}: its node is gone; it goes on elsewhere from its last checkpoint")
        except ray.exceptions.RayError as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            if StudyFolder(self.root / spec.home).record_death(spec, reason):
                return Ended(spec, reason)
        return Taken()


class RayExecutor:
    """Runs on the nodes of the Ray cluster at `address`, or of the one that this machine belongs to, or on this machine alone.
    Each takes the task's `threads` CPUs and `gpus` (None: one where the cluster has any and the device is not cpu)."""

    def __init__(self, root: Path, device: str, threads: int, gpus: float | None, address: str | None, workers: int | None):
        self.root, self.device, self.threads = root.absolute(), device, threads
        self.gpus, self.address, self.workers = gpus, address, workers
        self.stop = threading.Event()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """As `Local.execute`. A run whose node dies goes on elsewhere; one whose process dies has failed."""
        waiting = Waiting(specs)
        with join_cluster(self.address), handle_interrupts(self.stop) as asked:
            from ray.exceptions import RayError

            crew = self._crew()
            try:
                crew.send(waiting, self.workers)
                while crew.out:
                    returned = crew.take_finished(LISTEN_SECONDS)
                    yield from crew.take_events()
                    if asked.woken.poll():
                        asked.woken.recv_bytes()
                        say_stopping()
                        yield from crew.stop()
                    for spec, message in returned:
                        if isinstance(message, Refused):
                            raise InputError(message.message)
                        if isinstance(message, Taken):
                            waiting.put_back(spec, message)
                        if isinstance(message, Ended):
                            yield message
                    if not self.stop.is_set():
                        crew.send(waiting, self.workers)
            except RayError as error:
                raise InputError(f"the Ray cluster is lost ({first_line(error)}); the same command goes on") from error
            except (Exception, GeneratorExit):
                if asked.times < 2:
                    crew.stop()
                    crew.take_finished(None)
                raise
        if self.stop.is_set():
            raise KeyboardInterrupt

    def _crew(self) -> RayTasks:
        """Ready to send; says where runs will go."""
        import ray

        there = float(ray.cluster_resources().get("GPU", 0))
        gpus = self.gpus if self.gpus is not None else float(self.device == "cuda" or (self.device == "auto" and there > 0))
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = sum(node.get("CPU", 0) for node in nodes)
        say(f"ray: nodes {len(nodes)}, CPUs {cpus:g}, GPUs {there:g}; each run takes CPUs {self.threads}, GPUs {gpus:g}")
        if not any(node.get("CPU", 0) >= self.threads and node.get("GPU", 0) >= gpus for node in nodes):
            say("no node has that yet: runs wait until one comes")
        return RayTasks(self.root, "cuda:0" if gpus else "cpu", self.threads, gpus)
