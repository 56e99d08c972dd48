"""`fidrace leaderboard`: one leaderboard over several tasks."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import Baseline


def leaderboard(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders with runs, or names of published tables, one for each task.")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="baseline-final", help="Score each to its own baseline's end, marked post hoc.")
    ] = None,
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
    from fidrace.report.across_tasks import files_of, print_across_tasks
    from fidrace.report.page.across_tasks import PAGE, across_tasks_page
    from fidrace.report.terminal import make_console
    from fidrace.score.across_tasks import compare_tasks
    from fidrace.score.rules import FINAL, Question
    from fidrace.spec.user_input import parse_target
    from fidrace.storage.atomic import write_all

    goal = parse_target(target)
    if goal not in (None, FINAL):
        raise InputError(
            f"--target {target}: a distance belongs to one task, which declares it in its study.toml; only {FINAL} means the "
            "same on all"
        )
    if out is not None and holds_runs(out):
        raise InputError(f"--out {out} holds runs, and its own tables would be lost; name another folder")
    across = compare_tasks(folders, Question(goal, baseline))
    if out is not None:
        files = files_of(across) | {PAGE: across_tasks_page(across)}
        write_all(out, files)
        say(f"wrote {', '.join(files)} into {out}")
    print_across_tasks(across, make_console())
