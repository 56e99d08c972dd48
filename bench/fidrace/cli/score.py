"""`fidrace score`: score the tables of a folder."""

from typing import Annotated

import typer

from fidrace.cli.options import Axis, Folder, Goal


def score(
    folder: Folder,
    target: Goal = None,
    axis: Axis = "iterations",
    contrast: Annotated[
        list[str],
        typer.Option(metavar="METHOD/CONTROL", help="Compare METHOD with CONTROL, not only with the baseline; repeat."),
    ] = [],
) -> None:
    """Show who reaches the target faster, from runs.csv and evals.csv.

    Rewrites the tables and plots in DIR; with another --target, --axis or --contrast it only shows them.

    \b
    Examples:
      fidrace score results/local/digits
      fidrace score results/local/digits --axis seconds
      fidrace score results/local/digits --target baseline-final
      fidrace score results/local/controls --contrast mdlrc/lr-decay
    """
    from fidrace.console import say
    from fidrace.packaged import is_published_name
    from fidrace.report.publish import publish
    from fidrace.report.terminal import make_console, print_scores
    from fidrace.score.leaderboard import score_folder
    from fidrace.spec.user_input import parse_contrast, parse_target
    from fidrace.storage.locks import lock_if_shared

    scores = score_folder(folder, parse_target(target), axis, [parse_contrast(text) for text in contrast])
    if is_published_name(folder):
        say(f"{folder}: tables that come with fidrace; nothing is written")
    elif scores.rules.replaced:
        say(f"another target or contrast than the study declares: the tables in {folder} stay as they are")
    elif axis == "iterations":
        with lock_if_shared(folder):
            publish(folder, scores)
    print_scores(scores, make_console())
