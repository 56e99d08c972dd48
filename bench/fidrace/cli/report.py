"""`fidrace report`: write the page of a folder or of published tables."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import Baseline, Folder, Goal, Length, MethodsPath, Paired, Unit, Window


def report(
    source: Folder,
    target: Goal = None,
    baseline: Baseline = None,
    unit: Unit = None,
    budget: Length = None,
    paired: Paired = None,
    window: Window = None,
    methods_path: MethodsPath = [],
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write one HTML page: leaderboard, curves and samples.

    The page is DIR/report.html, needs no network and can be mailed. While runs are still going it shows what they have measured
    so far. For the name of published tables, which are never changed, the page is NAME.html in the current folder.

    \b
    Examples:
      fidrace report results/local/digits --open
      fidrace report digits-field
      fidrace report results/local/mine --methods-path my-methods
    """
    from fidrace.console import say
    from fidrace.packaged import find_tables, is_published_name
    from fidrace.report.page.build import FolderContent, open_in_browser, write_page
    from fidrace.report.publish import publish
    from fidrace.score.rules import Question
    from fidrace.spec.user_input import parse_target
    from fidrace.storage.locks import lock_if_shared
    from fidrace.storage.study_folder import StudyFolder

    folder, asked = find_tables(source), Question(parse_target(target), baseline, unit, budget, paired, window)
    if is_published_name(source):
        content = FolderContent.of(folder, asked)
        path = write_page(folder, content, methods_path, Path(f"{source}.html"))
    else:
        directory = StudyFolder(folder)
        with lock_if_shared(folder):
            if (folder / "runs").is_dir() and not directory.rows_without_directory():  # runs at work are ahead of the tables
                directory.collect()
            content = FolderContent.of(folder, asked)
            if content.scores and not content.scores.rules.replaced:
                publish(folder, content.scores)
            path = write_page(folder, content, methods_path)
    say(content.scores.headline() if content.scores else f"nothing can be compared yet: {content.reason}")
    print(path)
    if show:
        open_in_browser(path)
