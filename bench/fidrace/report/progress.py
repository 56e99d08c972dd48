"""Progress of a running study: moving lines in a terminal, plain lines elsewhere, or JSON."""

import os
import sys
from collections.abc import Generator
from contextlib import closing
from types import TracebackType

from rich.console import Console

from fidrace.console import say
from fidrace.execute.events import Event
from fidrace.spec.task import Task
from fidrace.spec.trainer import TrainerTask
from fidrace.storage.tables import CROSSED


class Reporter:
    """A context that is told every event."""

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def hear(self, event: Event) -> None:
        pass


class PlainLines(Reporter):
    """A line on stderr whenever a run is evaluated or ends."""

    def __init__(self, total: int, metric: str):
        self.total, self.metric, self.ended = total, metric, 0

    def hear(self, event: Event) -> None:
        run = f"{event.method} seed {event.seed}"
        if event.kind == "evaluation":
            say(f"{run}: iteration {event.iteration}, {self.metric} {event.facts['fd']:.2f} ± {event.facts['fd_se']:.2f}")
        elif event.kind == "run_ended":
            self.ended += 1
            why = f" ({event.facts['error']})" if event.facts["error"] else ""
            if event.facts.get("ended_by") == CROSSED:
                why = f" at its confirmed crossing, iteration {event.iteration}"
            say(f"{run}: {event.facts['status']}{why}, {self.ended} of {self.total} runs done")


def lines_may_move() -> bool:
    """Whether stderr is a terminal with a person before it. A notebook gives its commands a terminal and keeps every frame;
    FORCE_COLOR makes no file a terminal."""
    return sys.stderr.isatty() and "JPY_PARENT_PID" not in os.environ


def watch(events: Generator[Event], runs: int, task: Task | TrainerTask, as_json: bool = False) -> None:
    """Show the progress of `runs` runs of `task` as their events arrive."""
    reporter: Reporter
    if as_json:
        from fidrace.report.json_lines import JsonLines

        reporter = JsonLines()
    elif lines_may_move():
        from fidrace.report.live import Live

        reporter = Live(runs, task.quality.metric, task.budget.evaluation_steps()[-1], Console(stderr=True))
    else:
        reporter = PlainLines(runs, task.quality.metric)
    with reporter, closing(events):
        for event in events:
            reporter.hear(event)
