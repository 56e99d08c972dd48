"""The verbs that run nothing: what methods and tasks there are."""

from pathlib import Path
from typing import Annotated

import typer

from bench.verbs import GATE, USAGE, MethodsPath, fail
from methods.base import InputError


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A method or composition to explain.")] = None,
    grid: Annotated[str, typer.Option(metavar="SCHEDULE-T", help="The timesteps to show it on.")] = "cosine-1000",
    progress: Annotated[
        list[float], typer.Option(min=0, max=1, help="How far training has come; repeat. Default: 0, 0.5 and 1.")
    ] = [0.0, 0.5, 1.0],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write t, abar, snr, p, w, progress.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw p and w over t.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Put it to the tests that any method must pass.")] = False,
    methods_path: MethodsPath = [],
) -> None:
    """List the methods, explain one, or check it."""
    from bench.report.methods import examine, explain, listing, write_csv, write_plot
    from bench.report.moments import moments
    from methods.registry import Registry

    registry = Registry(methods_path)
    files = [file for file in (csv, plot) if file]
    if name is None:
        if files or check:
            raise InputError("--csv, --plot and --check need the NAME of a method")
        listing(registry)
        return
    composition = registry.compose(name)
    for file in files:
        if check or files.count(file) > 1 or not file.parent.is_dir():
            raise InputError(f"{file}: {'--check writes no file' if check else 'the folder is absent, or it is named twice'}")
    if check:
        failed, of = examine(registry, name, methods_path)
        if failed:
            fail(f"method {name!r} fails {failed} of {of} checks", GATE)
        return
    said = moments(composition, grid, progress)
    if csv:
        write_csv(composition, said, csv)
    if plot:
        write_plot(composition, grid, said, plot)
    explain(composition, grid, said)


def tasks(name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A task to print in full.")] = None) -> None:
    """List the tasks, or print one."""
    from bench.task import TASKS, load_task, task_names

    if name is None:
        for known in task_names():
            print(f"{known:12} {load_task(known).summary}")
    else:
        print((TASKS / f"{load_task(name).name}.toml").read_text(encoding="utf-8"), end="")


def doctor(
    name: Annotated[str | None, typer.Argument(metavar="[TASK]", help="A task whose needs to look at.")] = None,
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="As in run: data.root=DIR.")] = [],
    fetch: Annotated[bool, typer.Option("--fetch", help="Download what TASK needs and anybody may have.")] = False,
) -> None:
    """What this machine has: devices, number formats, and of TASK (else of each task) data, weights and disk; of what is
    missing, the line that gets it. Exit code 2 where TASK lacks something."""
    from bench.execute import doctor as looks
    from bench.study import assignment
    from bench.task import load_task, task_names

    if name is None and (fetch or change):
        raise InputError("doctor: --fetch and --set need a TASK")
    tasks = [load_task(known, dict(map(assignment, change))) for known in ([name] if name else task_names())]
    if fetch:
        looks.fetch(tasks[0])
    for finding in looks.machine():
        print(f"  {finding.what:22} {finding.said}")
    lacking = 0
    for task in tasks:
        for one in looks.needs(task):
            print(f"{'✓' if one.there else '✗'} {f'{task.name} {one.what}':22} {one.said}")
            lacking += not one.there
    if name and lacking:
        fail(f"{name} lacks {lacking} of what it needs", USAGE)
