"""`fidrace check`: the gate for continuous integration."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.shared import GATE, NOTHING, Axis, Folder, Goal, fail
from fidrace.errors import InputError


def check(
    folder: Folder,
    require: Annotated[list[str], typer.Option(metavar="METHOD>=FACTOR", help="A speedup that must be there; repeat.")] = [],
    against: Annotated[Path | None, typer.Option(metavar="DIR2", help="A folder with the speedups of before.")] = None,
    max_regression: Annotated[str, typer.Option(metavar="SHARE", help="How much of a factor may be lost.")] = "10%",
    strict: Annotated[bool, typer.Option("--strict", help="Fail where the interval cannot tell, too.")] = False,
    axis: Axis = "iterations",
    target: Goal = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Append a Markdown summary.")] = None,
) -> None:
    """A gate: are the speedups of DIR what is required, and what they were in DIR2? Exit code 1 where they are not, 3 where
    nothing was measured."""
    from fidrace.report.gate import checks_markdown, print_checks
    from fidrace.report.terminal import make_console
    from fidrace.score import gate
    from fidrace.spec.study import parse_target

    if not require and against is None:
        raise InputError("check: nothing is asked; give --require METHOD>=FACTOR or --against DIR2")
    if summary and not summary.parent.is_dir():
        raise InputError(f"--summary {summary}: there is no folder {summary.parent}")
    requirements = [gate.parse_requirement(text) for text in require]
    checks = gate.check(folder, requirements, against, gate.parse_share(max_regression), axis, parse_target(target))
    print_checks(checks, make_console())
    if summary:
        with summary.open("a", encoding="utf-8") as file:  # as a workflow's summary is written to
            file.write(checks_markdown(checks, folder, against, axis))
    outcomes = {one.outcome for one in checks}
    if gate.FAILS in outcomes or (strict and gate.UNDECIDED in outcomes):
        raise typer.Exit(GATE)
    if gate.NOTHING in outcomes:
        fail("a check measured nothing", NOTHING)
