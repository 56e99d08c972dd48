"""`fidrace leaderboard`: one leaderboard over several tasks."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import Baseline, Goal


def leaderboard(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders with runs, or names of published tables, one for each task.")
    ],
    target: Goal = None,
    baseline: Baseline = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the tables, a picture and a page into this folder.")
    ] = None,
) -> None:
    """Compare methods over several tasks, by their factors.

    Shows each method's factor on each task, geometric means, performance profiles, and whether one task's order of methods
    predicts another's. Each folder is scored as it declares, and only factors are compared: tasks may differ in metric and
    unit. Name the folders in the order in which you want to read them, the cheapest task first.

    \b
    Examples:
      fidrace leaderboard digits-field digits-late
      fidrace leaderboard digits digits-late results/local/mine --out across
    """
    from fidrace.console import say
    from fidrace.errors import InputError
    from fidrace.packaged import holds_runs
    from fidrace.report.across_tasks import print_across_tasks, publish_across_tasks
    from fidrace.report.page.across_tasks import write_across_tasks_page
    from fidrace.report.terminal import make_console
    from fidrace.score.across_tasks import compare_tasks
    from fidrace.score.rules import FINAL, Question
    from fidrace.spec.user_input import parse_target

    goal = parse_target(target)
    if goal not in (None, FINAL):
        raise InputError(f"--target {target}: a distance belongs to one task; only {FINAL} means the same on all")
    if out is not None and holds_runs(out):
        raise InputError(f"--out {out} holds runs, and its own tables would be lost; name another folder")
    across = compare_tasks(folders, Question(goal, baseline))
    if out is not None:
        names = [*publish_across_tasks(out, across), write_across_tasks_page(out, across).name]
        say(f"wrote {', '.join(names)} into {out}")
    print_across_tasks(across, make_console())
