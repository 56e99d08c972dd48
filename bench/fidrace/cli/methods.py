"""`fidrace methods`: list, explain, draw and check methods."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import MethodsPath
from fidrace.cli.shared import GATE, fail, require_training
from fidrace.errors import InputError


def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A method or a composition such as clts+mdlrc.")] = None,
    grid: Annotated[
        str, typer.Option(metavar="SCHEDULE-T", help="Noise schedule and number of timesteps to show it on.")
    ] = "cosine-1000",
    progress: Annotated[
        list[float],
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Show this share of training; repeat. Default: 0, 0.5 and 1.",
            show_default=False,
        ),
    ] = [0.0, 0.5, 1.0],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its arrays: t, abar, snr, p, w, progress.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Plot p and w over t, and learning rate, beta1 and average.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Run the checks that every method must pass.")] = False,
    cards: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page on each method, with how it fared in published races.")
    ] = None,
    methods_path: MethodsPath = [],
) -> None:
    """List the methods, explain one, or check your own.

    \b
    Examples:
      fidrace methods
      fidrace methods 'clts[sigma=0.3]+mdlrc' --plot clts.png
      fidrace methods min-snr --grid linear-1000 --csv min-snr.csv
      fidrace methods mine --methods-path my-methods --check
    """
    from fidrace.method.profile import profile
    from fidrace.method.registry import Registry
    from fidrace.packaged import published_tables
    from fidrace.report.cards import raced_line, write_cards
    from fidrace.report.methods import examine, explain, print_methods, write_csv, write_plot

    registry = Registry(methods_path)
    files = [file for file in (csv, plot) if file]
    if cards and (name or files or check):
        raise InputError("--cards is of all methods, and takes no NAME, --csv, --plot or --check")
    if cards:
        write_cards(cards, registry, published_tables())
        return
    if name is None:
        if files or check:
            raise InputError("--csv, --plot and --check need the NAME of a method")
        print_methods(registry)
        return
    composition = registry.compose(name)
    for file in files:
        if check or files.count(file) > 1 or not file.parent.is_dir():
            raise InputError(
                f"{file}: {'--check writes no file' if check else 'its folder does not exist, or it is named twice'}"
            )
    if check:
        require_training("fidrace methods --check")
        failed, of = examine(registry, name, methods_path)
        if failed:
            fail(f"method {name!r} fails {failed} of {of} checks", GATE)
        return
    points = profile(composition, grid, progress)
    if csv:
        write_csv(composition, points, csv)
    if plot:
        write_plot(composition, grid, points, plot)
    explain(composition, grid, points)
    print(f"raced: {raced_line(str(composition), published_tables())}")
