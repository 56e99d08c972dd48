"""`fidrace check`: a gate on speedups, for continuous integration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli.options import Axis, Baseline, Folder, Goal, Length, Paired, Unit, Window
from fidrace.cli.shared import GATE, NOTHING, fail
from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.score.checks import Check


@dataclass(frozen=True)
class Outputs:
    """The files that the checks are written to. Raises InputError, naming the option, for one that could not be."""

    summary: Path | None
    comment: Path | None
    junit: Path | None

    def __post_init__(self) -> None:
        for name, file in vars(self).items():
            if file and file.is_dir():
                raise InputError(f"--{name} {file}: a folder, not a file")
            if file and not file.parent.is_dir():
                raise InputError(f"--{name} {file}: no folder {file.parent}")

    def write(self, checks: "Sequence[Check]", folder: Path, against: Path | None, strict: bool) -> None:
        from fidrace.report.gate import checks_markdown, comment_marker
        from fidrace.report.junit import checks_junit
        from fidrace.storage.atomic import write_output

        text = checks_markdown(checks, folder, against)
        if self.summary:
            with self.summary.open("a", encoding="utf-8") as file:  # as a workflow's summary is written to
                file.write(text)
        if self.comment:
            write_output(self.comment, f"{comment_marker(folder)}\n{text}")
        if self.junit:
            write_output(self.junit, checks_junit(checks, folder, against, strict))


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
    accept: Annotated[
        bool, typer.Option("--accept", help="Store DIR's tables in DIR2 if all was measured, even if checks fail.")
    ] = False,
    axis: Axis = None,
    target: Goal = None,
    baseline: Baseline = None,
    unit: Unit = None,
    budget: Length = None,
    paired: Paired = None,
    window: Window = None,
    summary: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Append a summary in Markdown to this file.")] = None,
    comment: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Replace this file by a comment in Markdown.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE.xml", help="Write the checks to this file as JUnit XML.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of the table.")] = False,
) -> None:
    """Fail if a required speedup is gone: a gate for CI.

    Exit code 0 if every check holds or cannot tell, 1 if one fails, 3 if nothing was measured. A check fails only if its 95 %
    interval excludes what is asked, or if runs of a required method diverge or end no lower than they began. With --accept the
    code is 0 if the tables were stored.

    \b
    Examples:
      fidrace check results/local/digits --require 'min-snr>=1.1'
      fidrace check results/local/ci --against results/digits
      fidrace check results/local/ci --against results/digits \\
          --max-regression 5% --absolute --summary summary.md
      fidrace check results/local/ci --against speed/before --accept
    """
    from fidrace.packaged import find_tables, holds_runs
    from fidrace.report.gate import checks_json, print_checks
    from fidrace.report.terminal import make_console
    from fidrace.score import gate
    from fidrace.score.accepted import prepare_to_accept
    from fidrace.score.rules import Question
    from fidrace.spec.user_input import parse_target

    for option, given in (("--absolute", absolute), ("--accept", accept)):
        if given and against is None:
            raise InputError(f"{option} goes with another folder: give --against DIR2")
    if not require and against is None:
        raise InputError("check: nothing to check; give --require METHOD>=FACTOR or --against DIR2")
    outputs = Outputs(summary, comment, junit)
    if accept and against:
        prepare_to_accept(find_tables(folder), against)
    before = folder if accept and against and not holds_runs(against) else against  # the first time itself: is it measured?
    requirements = [gate.parse_requirement(text) for text in require]
    asked = Question(None, baseline, unit, budget, paired, window)
    share = gate.parse_share(max_regression)
    checks = gate.check(folder, requirements, before, share, axis, parse_target(target), absolute, asked)
    console = make_console()
    if not json:
        print_checks(checks, console)
    outputs.write(checks, folder, before, strict)
    code, meaning = conclude(checks, strict, accept)
    if accept and against and code == 0:
        store_tables(find_tables(folder), against)
    if json:
        console.out(checks_json(checks, folder, before, code, meaning))
    if code == NOTHING:
        fail(meaning, NOTHING)
    raise typer.Exit(code)


def conclude(checks: "Sequence[Check]", strict: bool, accept: bool) -> tuple[int, str]:
    """The exit code and what it means. Tables are accepted whatever the checks found, if they found something."""
    from fidrace.score.estimates import FAILS, UNDECIDED
    from fidrace.score.estimates import NOTHING as UNMEASURED

    outcomes = {check.outcome for check in checks}
    unmeasured = "a check found nothing measured"
    if accept:
        return (NOTHING, f"{unmeasured}: nothing was accepted") if UNMEASURED in outcomes else (0, "the tables were accepted")
    if FAILS in outcomes or (strict and UNDECIDED in outcomes):
        return GATE, "a check fails" if FAILS in outcomes else "a check cannot tell, which --strict takes for a failure"
    return (NOTHING, unmeasured) if UNMEASURED in outcomes else (0, "no check fails")


def store_tables(folder: Path, into: Path) -> None:
    """Accept the tables of `folder`, and say what that replaces."""
    from fidrace.console import say
    from fidrace.packaged import holds_runs
    from fidrace.score.accepted import accept_tables, lost_methods

    known = holds_runs(into)
    lost = lost_methods(folder, into) if known else []
    names = accept_tables(folder, into)
    say(f"{into}: {'replaced by' if known else 'new, with'} {', '.join(names)} of {folder}")
    if lost:
        say(f"{into} no longer holds {', '.join(lost)}")
