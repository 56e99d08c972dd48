"""`fidrace doctor`: what this machine has and what a task needs."""

from typing import Annotated

import typer

from fidrace.cli.shared import USAGE, fail
from fidrace.errors import InputError


def doctor(
    name: Annotated[str | None, typer.Argument(metavar="[TASK]", help="A task whose needs to look at.")] = None,
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="As in run: data.root=DIR.")] = [],
    fetch: Annotated[bool, typer.Option("--fetch", help="Download what TASK needs and anybody may have.")] = False,
) -> None:
    """What this machine has: devices, number formats, and of TASK (else of each task) data, weights and disk; of what is
    missing, the line that gets it. Exit code 2 where TASK lacks something."""
    from fidrace.execute import doctor as looks
    from fidrace.spec.study import parse_assignment
    from fidrace.spec.task import load_task, task_names

    if name is None and (fetch or change):
        raise InputError("doctor: --fetch and --set need a TASK")
    tasks = [load_task(known, dict(map(parse_assignment, change))) for known in ([name] if name else task_names())]
    if fetch:
        looks.fetch(tasks[0])
    for finding in looks.describe_machine():
        print(f"  {finding.what:22} {finding.text}")
    lacking = 0
    for task in tasks:
        for finding in looks.find_needs(task):
            print(f"{'✓' if finding.present else '✗'} {f'{task.name} {finding.what}':22} {finding.text}")
            lacking += not finding.present
    if name and lacking:
        fail(f"{name} lacks {lacking} of what it needs", USAGE)
