"""`fidrace claims`: judge published claims by what was measured."""

from pathlib import Path
from typing import Annotated

import typer


def claims(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder with runs to judge by.")] = None,
    file: Annotated[
        Path | None, typer.Option("--claims", metavar="FILE.toml", help="Judge the claims in this file instead.")
    ] = None,
) -> None:
    """Judge published speedup claims by what DIR measured.

    For claims that were not run, shows the command and the GPU-hours that would decide them. Writes DIR/claims.csv.

    \b
    Examples:
      fidrace claims
      fidrace claims results/local/digits
      fidrace claims results/local/digits --claims my-claims.toml
    """
    from fidrace.packaged import is_published_name
    from fidrace.report.claims import print_claims
    from fidrace.report.terminal import make_console
    from fidrace.score.claims import CLAIMS, claims_table, load_claims, verdicts_on
    from fidrace.storage.atomic import write_atomic
    from fidrace.storage.locks import lock_if_shared

    verdicts = verdicts_on(load_claims(file or CLAIMS), folder)
    if folder is not None and not is_published_name(folder):
        with lock_if_shared(folder):
            write_atomic(folder / "claims.csv", claims_table(verdicts).to_csv(index=False, lineterminator="\n"))
    print_claims(verdicts, make_console())
