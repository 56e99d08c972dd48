"""Progress in a terminal: one moving line for each run and one for the study."""

from time import monotonic
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from fidrace.execute.events import Event
from fidrace.report.progress import Reporter

Key = tuple[str, int]


class Live(Reporter):
    """Moving lines on stderr: one for the study and one for each run."""

    def __init__(self, total: int, metric: str, iterations: int, console: Console):
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, min_width=24)),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[place]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[fd]}", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        ]
        self.progress = Progress(*columns, console=console, transient=True)
        self.metric, self.iterations, self.total = metric, iterations, total
        blank: dict[str, Any] = {"place": f"0/{total} runs", "rate": "", "fd": "", "left": ""}
        self.study = self.progress.add_task("study", total=total * iterations, **blank)
        self.lines: dict[Key, TaskID] = {}
        self.begun: dict[Key, tuple[float, int]] = {}
        self.done: dict[Key, int] = {}
        self.first: dict[Key, int] = {}
        self.ended, self.start = 0, monotonic()

    def __enter__(self) -> "Live":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def hear(self, event: Event) -> None:
        key = (event.method, event.seed)
        if event.kind == "run_started":
            name = f"{event.method} seed {event.seed}"
            blank: dict[str, Any] = {"place": "", "rate": "", "fd": "", "left": ""}
            self.lines[key] = self.progress.add_task(name, total=self.iterations, **blank)
            self.begun[key], self.first[key] = (monotonic(), event.iteration), event.iteration
        so_far = max(event.iteration, self.done.get(key, 0))  # an evaluation may be of an earlier iteration
        self.done[key] = self.iterations if event.kind == "run_ended" else so_far
        if event.kind == "run_ended":
            self.ended += 1
            if key in self.lines:
                self.progress.remove_task(self.lines.pop(key))
        elif key in self.lines:
            self._update_run(key, event)
        spent, worked = monotonic() - self.start, sum(self.done.values()) - sum(self.first.values())
        self.progress.update(
            self.study,
            completed=sum(self.done.values()),
            place=f"{self.ended}/{self.total} runs",
            left=time_left(spent, worked, self.total * self.iterations - sum(self.done.values())),
        )

    def _update_run(self, key: Key, event: Event) -> None:
        since, origin = self.begun[key]
        done = self.done[key]
        spent, worked = monotonic() - since, done - origin
        fields: dict[str, Any] = {
            "completed": done,
            "place": f"{done}/{self.iterations}",
            "rate": f"{worked / spent:.1f} it/s" if worked else "",
            "left": time_left(spent, worked, self.iterations - done),
        }
        if event.kind == "evaluation":
            fields["fd"] = f"{self.metric} {event.facts['fd']:.2f}"
        self.progress.update(self.lines[key], **fields)


def time_left(spent: float, worked: int, to_do: int) -> str:
    """How long `to_do` iterations take at the pace so far, evaluations included: `0:12:34 left`."""
    if worked <= 0:
        return ""
    seconds = round(spent / worked * to_do)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
