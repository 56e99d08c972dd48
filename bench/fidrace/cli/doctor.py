"""`fidrace doctor`: check this machine and what a task needs."""

from typing import Annotated

import typer

from fidrace.cli.shared import USAGE, fail, require_training
from fidrace.errors import InputError


def doctor(
    name: Annotated[
        str | None, typer.Argument(metavar="TASK", help="Check only what this task needs. Default: all tasks.")
    ] = None,
    change: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the task, as in run: data.root=DIR.")
    ] = [],
    fetch: Annotated[bool, typer.Option("--fetch", help="Download what TASK needs, if it is free to all.")] = False,
) -> None:
    """Check devices, precision, data, weights and disk space.

    For what is missing, prints the command that gets it. Exit code 2 if TASK lacks something.

    \b
    Examples:
      fidrace doctor
      fidrace doctor cifar10 --fetch
      fidrace doctor folder --set data.root=pictures
    """
    require_training("fidrace doctor")
    from fidrace.execute import doctor as looks
    from fidrace.spec.task import load_task, task_names
    from fidrace.spec.user_input import parse_assignment

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
