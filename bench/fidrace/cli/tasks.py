"""`fidrace tasks`: list tasks and packaged studies, or print one."""

import textwrap
from pathlib import Path
from typing import Annotated

import typer


def tasks(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A task or a packaged study to print in full.")] = None,
) -> None:
    """List tasks and packaged studies, or print one.

    A task is the data, network, recipe and budget of a race. A study names a task, methods and seeds.

    \b
    Examples:
      fidrace tasks
      fidrace tasks digits
      fidrace tasks controls > mine.toml
    """
    from fidrace.errors import InputError, nearest
    from fidrace.packaged import packaged_studies
    from fidrace.spec.task import TASKS, load_task, task_names

    studies = packaged_studies()
    if name is None:
        print("tasks")
        for task in task_names():
            print_entry(task, load_task(task).summary)
        print("\nstudies, raced by `fidrace run NAME`")
        for study, file in studies.items():
            print_entry(study, *describe_study(file))
    else:
        files = {**{task: TASKS / f"{task}.toml" for task in task_names()}, **studies}
        if name not in files:
            raise InputError(f"no task or study {name!r}{nearest(name, files)}")
        print(files[name].read_text(encoding="utf-8"), end="")


def print_entry(name: str, *paragraphs: str) -> None:
    """Print a name and what it stands for, each paragraph indented and at most 80 columns wide."""
    indent = " " * 18
    lines = [
        textwrap.wrap(text, 79, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False) for text in paragraphs
    ]
    first, *others = [line for paragraph in lines for line in paragraph]
    print(f"  {name:15} {first.strip()}", *others, sep="\n")


def describe_study(file: Path) -> tuple[str, str]:
    """The first sentence of the comment at the head of a study's file, and what the study races."""
    from fidrace.spec.study import define_study

    head = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# "))
    study = define_study(str(file))
    methods, seeds = ", ".join(study.methods), len(study.seeds)
    return " ".join(head).partition(". ")[0].rstrip("."), f"on {study.task.name}, {seeds} seeds: {methods}"
