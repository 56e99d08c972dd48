"""`fidrace merge`: put the runs of several folders into one."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="Folders with runs of the same task, unchanged between them.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new folder for all runs.", show_default=False)],
) -> None:
    """Put the runs of several folders into a new one, and score it.

    \b
    Examples:
      fidrace merge seeds-0-4 seeds-5-9 --out all-seeds
      fidrace merge results/local/laptop results/local/cluster --out both
    """
    from fidrace.console import say
    from fidrace.packaged import find_tables
    from fidrace.report.publish import publish
    from fidrace.report.terminal import make_console, print_scores
    from fidrace.score.leaderboard import read_run_table, score_folder
    from fidrace.score.merge import merge_folders

    merge_folders([find_tables(folder) for folder in folders], out)
    if not read_run_table(out, aimless=True).rules.aims:
        say(f"merged; `fidrace score {out} --target FD` scores it")
        return
    scores = score_folder(out)
    publish(out, scores)
    print_scores(scores, make_console())
