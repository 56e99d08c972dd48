"""`fidrace claims`: judge published claims by what was measured."""

from pathlib import Path
from typing import Annotated

import typer


def claims(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder with runs to judge by.")] = None,
    file: Annotated[
        Path | None, typer.Option("--claims", metavar="FILE.toml", help="Judge the claims in this file instead.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Show what the papers' own tables support of their factors.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --published: write published.md, .csv and .png into DIR.")
    ] = None,
) -> None:
    """Judge published speedup claims by what DIR measured.

    For claims that were not run, shows the command and the GPU-hours that would decide them. Writes DIR/claims.csv.
    With --published no run is needed: the points that papers print bracket the factors that they state.

    \b
    Examples:
      fidrace claims
      fidrace claims results/local/digits
      fidrace claims results/local/digits --claims my-claims.toml
      fidrace claims --published
    """
    from fidrace.errors import InputError
    from fidrace.packaged import is_published_name
    from fidrace.report.claims import print_claims
    from fidrace.report.terminal import make_console
    from fidrace.score.claims import CLAIMS, claims_table, load_claims, verdicts_on
    from fidrace.storage.atomic import write_atomic
    from fidrace.storage.locks import lock_if_shared
    from fidrace.storage.tables import csv_text

    if published and (folder or file):
        raise InputError("--published takes no DIR and no --claims: it shows the tables of papers that come with fidrace")
    if published:
        show_published(out)
        return
    if out is not None:
        raise InputError("--out DIR is for --published; the claims beside DIR's runs are written into DIR")
    verdicts = verdicts_on(load_claims(file or CLAIMS), folder)
    if folder is not None and not is_published_name(folder):
        with lock_if_shared(folder):
            write_atomic(folder / "claims.csv", csv_text(claims_table(verdicts)))
    print_claims(verdicts, make_console())


def show_published(out: Path | None) -> None:
    """Print what published tables support; with `out` also write it there, as a page, a table and a picture."""
    from fidrace.console import say
    from fidrace.report.published_curves import print_published, published_markdown
    from fidrace.report.published_png import published_png
    from fidrace.report.terminal import make_console
    from fidrace.score.published_curves import load_published
    from fidrace.score.published_support import support_of, support_table
    from fidrace.storage.atomic import write_atomic

    published = load_published()
    supports = [support_of(pair) for pair in published.pairs]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "published.md", published_markdown(published, supports))
        write_atomic(
            out / "published.csv", support_table(supports).to_csv(index=False, lineterminator="\n", float_format="%.6g")
        )
        write_atomic(out / "published.png", published_png(supports))
        say(f"wrote published.md, published.csv and published.png into {out}")
    print_published(published, supports, make_console())
