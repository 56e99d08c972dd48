"""`fidrace plan`: what a verdict will cost, before it is bought."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli.options import Axis, Baseline, Goal, Length, Paired, Unit, Window
from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.report.plan import Ask

FACTORS, POWERS, SEEDS = (1.1, 1.2, 1.3, 1.5, 2.0), (0.8, 0.9), (3, 5, 10, 20)
MOST = 1_000_000


def plan(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A pilot's folder, or the name of published tables.")] = Path(
        "digits"
    ),
    factor: Annotated[
        list[float],
        typer.Option(metavar="C", help="How many seeds show this factor; repeat. Default: 1.1, 1.2, 1.3, 1.5, 2."),
    ] = [],
    power: Annotated[
        list[float], typer.Option(metavar="P", help="The chance that a study shows it; repeat. Default: 0.8 and 0.9.")
    ] = [],
    seeds: Annotated[
        list[int], typer.Option(metavar="N", help="Which factor so many seeds show; repeat. Default: 3, 5, 10, 20.")
    ] = [],
    method: Annotated[
        list[str], typer.Option("-m", "--method", metavar="METHOD", help="A method of DIR; repeat. Default: all.")
    ] = [],
    methods_in_family: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, metavar="M", help="How many methods the study will compare. Default: as many as DIR."),
    ] = None,
    axis: Axis = None,
    target: Goal = None,
    baseline: Baseline = None,
    unit: Unit = None,
    budget: Length = None,
    paired: Paired = None,
    window: Window = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Plot the smallest factor against seeds.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of the tables.")] = False,
) -> None:
    """Show how many seeds a verdict takes, and what they cost.

    From the scatter of the seeds in DIR: a pilot of a few seeds, other people's tables, or published ones. Shown means the
    verdict faster: an interval above 1, and Holm's adjustment over all methods of the study.

    \b
    Examples:
      fidrace plan
      fidrace plan digits -m min-snr --factor 1.15 --seeds 30
      fidrace plan results/local/pilot --methods-in-family 1
      fidrace plan my-logs --baseline edm --target 2.0 --out plan.png
    """
    from fidrace.report.plan import plan_json, print_plan
    from fidrace.report.terminal import make_console
    from fidrace.score.plan import make_plan
    from fidrace.score.rules import Question
    from fidrace.spec.user_input import parse_target

    ask = check_ask(factor, power, seeds)
    check_picture(out)
    asked = Question(parse_target(target), baseline, unit, budget, paired, window)
    found = make_plan(folder, list(dict.fromkeys(method)), axis, asked, methods_in_family)
    console = make_console()
    if json:
        console.out(plan_json(found, ask, str(folder)))
    else:
        print_plan(found, ask, console)
    if out:
        from fidrace.report.plan_png import plan_png
        from fidrace.storage.atomic import write_output

        write_output(out, plan_png(found, ask))


def check_ask(factors: list[float], powers: list[float], seeds: list[int]) -> "Ask":
    """What is asked, in rising order, or the defaults; raises InputError for numbers that no plan has."""
    from fidrace.report.plan import Ask
    from fidrace.score.speedups import MIN_PAIRS

    for factor in factors:
        if 0 < factor < 1:
            inverse = f"1/{factor:g} = {1 / factor:.4g}"
            raise InputError(f"--factor {factor:g}: below 1 means slower; ask for {inverse}, which takes as many seeds")
        if not 1 < factor < math.inf:
            raise InputError(f"--factor {factor:g}: write a factor above 1, such as 1.2")
    for power in powers:
        if not 0.5 < power < 1:
            raise InputError(f"--power {power:g}: write a chance between 0.5 and 1, such as 0.8")
    for count in seeds:
        if not MIN_PAIRS <= count <= MOST:
            raise InputError(f"--seeds {count}: a verdict takes {MIN_PAIRS} seeds or more, and a plan names {MOST:,} at most")
    return Ask(*(sorted({*given}) or list(usual) for given, usual in ((factors, FACTORS), (powers, POWERS), (seeds, SEEDS))))


def check_picture(out: Path | None) -> None:
    """Raise InputError for a picture that could not be written."""
    if out and out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: a picture's name ends in .png")
    if out and out.is_dir():
        raise InputError(f"--out {out}: a folder, not a file")
    if out and not out.parent.is_dir():
        raise InputError(f"--out {out}: no folder {out.parent}")
