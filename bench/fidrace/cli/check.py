"""`fidrace check`: a gate on speedups, for continuous integration."""

from pathlib import Path
from typing import Annotated

import typer

from fidrace.cli.options import Axis, Baseline, Folder, Goal, Length, Paired, Unit
from fidrace.cli.shared import GATE, NOTHING, fail
from fidrace.errors import InputError


def check(
    folder: Folder,
    require: Annotated[list[str], typer.Option(metavar="METHOD>=FACTOR", help="Demand a speedup; repeat for several.")] = [],
    against: Annotated[Path | None, typer.Option(metavar="DIR2", help="Compare with the speedups of this folder.")] = None,
    max_regression: Annotated[
        str, typer.Option(metavar="SHARE", help="The part of a speedup that may be lost since DIR2.")
    ] = "10%",
    strict: Annotated[bool, typer.Option("--strict", help="Fail also if the interval cannot tell.")] = False,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="With --against: check also the costs themselves, the baseline's too.")
    ] = False,
    axis: Axis = None,
    target: Goal = None,
    baseline: Baseline = None,
    unit: Unit = None,
    budget: Length = None,
    paired: Paired = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Append a summary in Markdown to this file.")] = None,
) -> None:
    """Fail if a required speedup is gone: a gate for CI.

    Exit code 0 if every check holds or cannot tell, 1 if one fails, 3 if nothing was measured. A check fails only if its 95 %
    interval excludes what is asked, or if runs of a required method diverge or end no lower than they began.

    \b
    Examples:
      fidrace check results/local/digits --require 'min-snr>=1.1'
      fidrace check results/local/ci --against results/digits
      fidrace check results/local/ci --against results/digits \\
          --max-regression 5% --summary summary.md
    """
    from fidrace.report.gate import checks_markdown, print_checks
    from fidrace.report.terminal import make_console
    from fidrace.score import gate
    from fidrace.score.rules import Question
    from fidrace.spec.user_input import parse_target

    if absolute and against is None:
        raise InputError("--absolute compares with another folder: give --against DIR2")
    if not require and against is None:
        raise InputError("check: nothing to check; give --require METHOD>=FACTOR or --against DIR2")
    if summary and summary.is_dir():
        raise InputError(f"--summary {summary}: a folder, not a file")
    if summary and not summary.parent.is_dir():
        raise InputError(f"--summary {summary}: no folder {summary.parent}")
    requirements = [gate.parse_requirement(text) for text in require]
    asked = Question(None, baseline, unit, budget, paired)
    share = gate.parse_share(max_regression)
    checks = gate.check(folder, requirements, against, share, axis, parse_target(target), absolute, asked)
    print_checks(checks, make_console())
    if summary:
        with summary.open("a", encoding="utf-8") as file:  # as a workflow's summary is written to
            file.write(checks_markdown(checks, folder, against, axis))
    outcomes = {check.outcome for check in checks}
    if gate.FAILS in outcomes or (strict and gate.UNDECIDED in outcomes):
        raise typer.Exit(GATE)
    if gate.NOTHING in outcomes:
        fail("a check found nothing measured", NOTHING)
