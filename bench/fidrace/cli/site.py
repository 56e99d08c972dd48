"""`fidrace site`: published studies as a static site."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import MethodsPath
from fidrace.errors import InputError


def site(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write; one that an earlier site is in is replaced.")],
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR...", help="Studies, or folders of studies; the published ones if omitted."),
    ] = None,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Markdown to add; a checkout's own docs if omitted.")] = None,
    methods_path: MethodsPath = [],
) -> None:
    """Write studies, methods, claims and docs as a static site.

    Each study gets its page of charts, each method its card, and every word can be searched. The files need no server and no
    network: open index.html from a disk, or put the folder onto any web server.

    \b
    Examples:
      fidrace site --out site
      fidrace site results/ --out site
      fidrace site results/ my-results/mine --out site
    """
    from fidrace.console import say
    from fidrace.packaged import checkout_docs, packaged_folder
    from fidrace.report.site.build import find_studies, site_files
    from fidrace.report.site.write import check_replaceable, write_site

    if docs and not docs.is_dir():
        raise InputError(f"--docs {docs}: no such folder")
    check_replaceable(out)
    found = find_studies(folders or [packaged_folder("results")])
    count = write_site(out, site_files(found, docs or checkout_docs(), methods_path))
    say(f"wrote {count} pages of {len(found)} studies; begin at {out / 'index.html'}")
