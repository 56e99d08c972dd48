"""`fidrace report`: write the page of a folder."""

from typing import Annotated

import typer

from fidrace.cli.shared import Folder, MethodsPath


def report(
    folder: Folder,
    methods_path: MethodsPath = [],
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write DIR/report.html, a page to look at that needs no network: leaderboard, curves, samples, provenance. Of a study at
    work it tells what its runs have measured so far."""
    from fidrace.console import say
    from fidrace.report.page.build import FolderContent, open_in_browser, write_page
    from fidrace.report.publish import publish
    from fidrace.storage.study_folder import StudyFolder

    directory = StudyFolder(folder)
    with directory.lock_for_writing():
        if (folder / "runs").is_dir() and not directory.rows_without_directory():  # runs at work are ahead of the tables
            directory.collect()
        found = FolderContent.of(folder)
        if found.scores:
            publish(folder, found.scores)
        path = write_page(folder, found, methods_path)
    say(found.scores.headline() if found.scores else f"nothing can be compared yet: {found.reason}")
    print(path)
    if show:
        open_in_browser(path)
