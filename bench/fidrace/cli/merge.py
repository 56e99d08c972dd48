"""`fidrace merge`: several folders become one."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of one task and fixed part.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for all of their runs.")],
) -> None:
    """Put the runs of several folders into one new folder, and score it."""
    from fidrace.console import say
    from fidrace.report.publish import publish
    from fidrace.report.terminal import make_console, print_scores
    from fidrace.score.leaderboard import read_run_table, score_folder
    from fidrace.score.merge import merge_folders

    merge_folders(folders, out)
    if not read_run_table(out, aimless=True).rules.aims:
        say(f"merged; `fidrace score {out} --target FD` scores it")
        return
    scores = score_folder(out)
    publish(out, scores)
    print_scores(scores, make_console())
