"""`fidrace tasks`: list the tasks, or print one."""

from typing import Annotated

import typer


def tasks(name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A task to print in full.")] = None) -> None:
    """List the tasks, or print one."""
    from fidrace.spec.task import TASKS, load_task, task_names

    if name is None:
        for known in task_names():
            print(f"{known:12} {load_task(known).summary}")
    else:
        print((TASKS / f"{load_task(name).name}.toml").read_text(encoding="utf-8"), end="")
