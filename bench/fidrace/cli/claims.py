"""`fidrace claims`: published claims beside what was measured."""

from pathlib import Path
from typing import Annotated

import typer


def claims(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A folder with runs to judge by.")] = None,
    file: Annotated[Path | None, typer.Option("--claims", metavar="FILE.toml", help="Claims of your own.")] = None,
) -> None:
    """Published claims beside what DIR measured, and what would decide those that were not run; writes DIR/claims.csv."""
    from fidrace.report.claims import print_claims
    from fidrace.report.terminal import make_console
    from fidrace.score.claims import CLAIMS, claims_table, load_claims, verdicts_on
    from fidrace.storage.atomic import write_atomic
    from fidrace.storage.study_folder import StudyFolder

    judged = verdicts_on(load_claims(file or CLAIMS), folder)
    if folder is not None:
        with StudyFolder(folder).lock_for_writing():
            write_atomic(folder / "claims.csv", claims_table(judged).to_csv(index=False, lineterminator="\n"))
    print_claims(judged, make_console())
