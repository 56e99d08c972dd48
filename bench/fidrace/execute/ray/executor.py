"""Runs on a Ray cluster: each is a Ray task in a process of its own, on any node that has room.

Events come back through a mailbox on the command's node. Locks, checkpoints and rows lie in DIR, on storage that all nodes
share, so that a run whose node died resumes from its checkpoint on another node.
"""

import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from fidrace.console import say
from fidrace.errors import InputError
from fidrace.execute.events import Ended, Event, Message, Refused, Taken
from fidrace.execute.local import THREAD_VARIABLES
from fidrace.execute.locked_run import RunQueue
from fidrace.execute.ray.cluster import first_line, join_cluster
from fidrace.execute.ray.task import TASK_STARTED, Mailbox, Order, execute_order
from fidrace.execute.stop import handle_interrupts, say_stopping
from fidrace.spec.study import RunSpec
from fidrace.storage.study_folder import StudyFolder

BACKLOG = 8  # tasks that wait for room on a node; few, because a task must start before it can be asked to stop
POLL_SECONDS = 0.2


class RayTasks:
    """The submitted Ray tasks, and the mailbox that receives their events."""

    def __init__(self, root: Path, device: str, threads: int, gpus: float):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from fidrace.execute.provenance import packages

        self.root, self.device, self.packages = root, device, packages()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.task: Any = ray.remote(
            num_cpus=threads,
            num_gpus=gpus,
            max_retries=0,  # we resubmit a run ourselves, if its node died but not if its process did
            max_calls=1,  # a new process for each run, so that no run affects the next
            runtime_env={"env_vars": dict.fromkeys(THREAD_VARIABLES, str(threads))},
        )(execute_order)
        self.submitted: dict[Any, RunSpec] = {}
        self.started: set[tuple[str, int]] = set()  # method and seed

    def submit_runs(self, queue: RunQueue, workers: int | None) -> None:
        """Submit runs from `queue`: `workers` at a time at most, and at most BACKLOG that have not started."""
        while queue and (workers is None or len(self.submitted) < workers):
            if sum((spec.method, spec.seed) not in self.started for spec in self.submitted.values()) >= BACKLOG:
                return
            spec, patience = queue.take()
            self.started.discard((spec.method, spec.seed))
            order = Order(spec, patience, self.root, self.device, self.packages)
            self.submitted[self.task.remote(order, self.mailbox)] = spec

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        import ray

        events: list[Event] = ray.get(self.mailbox.take_events.remote())
        self.started |= {(event.method, event.seed) for event in events}
        return [event for event in events if event.kind != TASK_STARTED]

    def stop(self) -> list[Event]:
        """Ask all tasks to stop; cancel those that have not started, because no node may ever have room for them. Returns the
        last events."""
        import ray

        ray.get(self.mailbox.stop.remote())
        events = self.take_events()
        for reference, spec in list(self.submitted.items()):
            if (spec.method, spec.seed) not in self.started:
                ray.cancel(reference)
                del self.submitted[reference]
        return events

    def take_finished(self, seconds: float | None) -> list[tuple[RunSpec, Message]]:
        """The runs that end within `seconds` and the message of each; None waits for all."""
        import ray

        if not self.submitted:
            return []
        ready, _ = ray.wait(list(self.submitted), num_returns=1 if seconds else len(self.submitted), timeout=seconds)
        return [(spec, self._message_of(reference, spec)) for reference in ready if (spec := self.submitted.pop(reference))]

    def _message_of(self, reference: Any, spec: RunSpec) -> Message:
        """The message of a task that ended; if its node died the run counts as free again."""
        import ray

        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # outside the run itself, such as a node without fidrace
            return Refused(first_line(error))
        except ray.exceptions.NodeDiedError:
            say(f"{spec.method} seed {spec.seed}: its node is gone; it resumes on another from its last checkpoint")
        except ray.exceptions.RayError as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            if StudyFolder(self.root / spec.home).record_death(spec, reason):
                return Ended(spec, reason)
        return Taken()


class RayExecutor:
    """Executes runs on the Ray cluster at `address`, else on the one that this machine belongs to, else on one that it starts
    here. Each run takes the task's `threads` CPUs and `gpus` GPUs (None: one if the cluster has any and the device is not
    cpu)."""

    def __init__(self, root: Path, device: str, threads: int, gpus: float | None, address: str | None, workers: int | None):
        self.root, self.device, self.threads = root.absolute(), device, threads
        self.gpus, self.address, self.workers = gpus, address, workers
        self.stop = threading.Event()

    def execute(self, specs: Iterable[RunSpec]) -> Generator[Event | Ended]:
        """As `LocalExecutor.execute`. A run whose node dies resumes on another node; one whose process dies has failed."""
        queue = RunQueue(specs)
        with join_cluster(self.address), handle_interrupts(self.stop) as interrupts:
            from ray.exceptions import RayError

            tasks = self._make_tasks()
            try:
                tasks.submit_runs(queue, self.workers)
                while tasks.submitted:
                    finished = tasks.take_finished(POLL_SECONDS)
                    yield from tasks.take_events()
                    if interrupts.woken.poll():
                        interrupts.woken.recv_bytes()
                        say_stopping()
                        yield from tasks.stop()
                    for spec, message in finished:
                        if passed := queue.accept(spec, message):
                            yield passed
                    if not self.stop.is_set():
                        tasks.submit_runs(queue, self.workers)
            except RayError as error:
                lost = f"the Ray cluster is lost ({first_line(error)}); repeat the same command to resume"
                raise InputError(lost) from error
            except (Exception, GeneratorExit):
                if interrupts.ctrl_c_count < 2:
                    tasks.stop()
                    tasks.take_finished(None)
                raise
        if self.stop.is_set():
            raise KeyboardInterrupt

    def _make_tasks(self) -> RayTasks:
        """Tasks with the resources of each run; says what the cluster has."""
        import ray

        all_gpus = float(ray.cluster_resources().get("GPU", 0))
        default_gpus = float(self.device == "cuda" or (self.device == "auto" and all_gpus > 0))
        gpus = default_gpus if self.gpus is None else self.gpus
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = sum(node.get("CPU", 0) for node in nodes)
        say(f"ray: nodes {len(nodes)}, CPUs {cpus:g}, GPUs {all_gpus:g}; each run takes CPUs {self.threads}, GPUs {gpus:g}")
        if not any(node.get("CPU", 0) >= self.threads and node.get("GPU", 0) >= gpus for node in nodes):
            say("no node has that yet: runs wait until one joins")
        return RayTasks(self.root, "cuda:0" if gpus else "cpu", self.threads, gpus)
