"""`fidrace score`: score the tables of a folder."""

from typing import Annotated

import typer

from fidrace.cli.options import Axis, Baseline, Folder, Goal, Length, Paired, Unit, Window


def score(
    folder: Folder,
    target: Goal = None,
    axis: Axis = None,
    baseline: Baseline = None,
    unit: Unit = None,
    budget: Length = None,
    paired: Paired = None,
    window: Window = None,
    contrast: Annotated[
        list[str],
        typer.Option(metavar="METHOD/CONTROL", help="Compare METHOD with CONTROL, not only with the baseline; repeat."),
    ] = [],
) -> None:
    """Show who reaches the target faster, from its tables.

    An evals.csv of your own is enough: columns method, step (or kimg, images, epoch) and fid; seed if there are several.
    Rewrites the tables and plots in DIR; if another target, axis or contrast is asked than DIR declares, it only shows them.

    \b
    Examples:
      fidrace score results/local/digits
      fidrace score results/local/digits --target baseline-final
      fidrace score results/local/controls --contrast mdlrc/lr-decay
      fidrace score my-logs --baseline edm --target 2.0
    """
    from fidrace.console import say
    from fidrace.packaged import find_tables, is_published_name
    from fidrace.report.publish import publish
    from fidrace.report.terminal import make_console, print_scores
    from fidrace.score.leaderboard import score_tables
    from fidrace.score.rules import Question
    from fidrace.spec.user_input import parse_contrast, parse_target
    from fidrace.storage.locks import lock_if_shared

    asked = Question(parse_target(target), baseline, unit, budget, paired, window)
    scores = score_tables(find_tables(folder), asked, axis, [parse_contrast(text) for text in contrast])
    for remark in scores.remarks:
        say(remark)
    if is_published_name(folder):
        say(f"{folder}: tables that come with fidrace; nothing is written")
    elif scores.rules.replaced:
        say(f"this is not what {folder} declares: its tables stay as they are")
    elif axis in (None, scores.rules.unit):
        with lock_if_shared(folder):
            publish(folder, scores)
    print_scores(scores, make_console())
