"""`fidrace methods`: list, explain, draw and check methods."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import MethodsPath
from fidrace.cli.shared import GATE, fail
from fidrace.errors import InputError


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A method or composition to explain.")] = None,
    grid: Annotated[str, typer.Option(metavar="SCHEDULE-T", help="The timesteps to show it on.")] = "cosine-1000",
    progress: Annotated[
        list[float], typer.Option(min=0, max=1, help="How far training has come; repeat. Default: 0, 0.5 and 1.")
    ] = [0.0, 0.5, 1.0],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write t, abar, snr, p, w, progress.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw p and w over t.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Put it to the tests that any method must pass.")] = False,
    methods_path: MethodsPath = [],
) -> None:
    """List the methods, explain one, or check it."""
    from fidrace.method.profile import profile
    from fidrace.method.registry import Registry
    from fidrace.report.methods import examine, explain, listing, write_csv, write_plot

    registry = Registry(methods_path)
    files = [file for file in (csv, plot) if file]
    if name is None:
        if files or check:
            raise InputError("--csv, --plot and --check need the NAME of a method")
        listing(registry)
        return
    composition = registry.compose(name)
    for file in files:
        if check or files.count(file) > 1 or not file.parent.is_dir():
            raise InputError(f"{file}: {'--check writes no file' if check else 'the folder is absent, or it is named twice'}")
    if check:
        failed, of = examine(registry, name, methods_path)
        if failed:
            fail(f"method {name!r} fails {failed} of {of} checks", GATE)
        return
    said = profile(composition, grid, progress)
    if csv:
        write_csv(composition, said, csv)
    if plot:
        write_plot(composition, grid, said, plot)
    explain(composition, grid, said)
