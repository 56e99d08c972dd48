"""The verbs that need no torch: what the tables of a folder say."""

from pathlib import Path
from typing import Annotated

import typer

from bench.verbs import GATE, NOTHING, MethodsPath, fail
from methods.base import InputError

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder, or one with runs.csv and evals.csv.")]
Goal = Annotated[str | None, typer.Option(metavar="FD|baseline-final", help="Another target: post hoc.")]
Axis = Annotated[str, typer.Option(help="iterations, images, seconds or forwards.")]


def score(
    folder: Folder,
    target: Goal = None,
    axis: Axis = "iterations",
    contrast: Annotated[
        list[str], typer.Option(metavar="METHOD/CONTROL", help="Compare with a control, not only the baseline; repeat.")
    ] = [],
) -> None:
    """Make the tables of DIR anew from runs.csv and evals.csv, without torch; with another --target or --contrast only
    show them."""
    from bench.events import say
    from bench.report.tables import publish, stdout, terminal
    from bench.score.leaderboard import score as scored
    from bench.store import StudyDir
    from bench.study import parse_contrast, parse_target

    scores = scored(folder, parse_target(target), axis, [parse_contrast(text) for text in contrast])
    if scores.rules.replaced:
        say(f"another target or contrast than the study declares: the tables in {folder} stay as they are")
    elif axis == "iterations":
        with StudyDir(folder).writing():
            publish(folder, scores)
    terminal(scores, stdout())


def report(
    folder: Folder,
    methods_path: MethodsPath = [],
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write DIR/report.html, a page to look at that needs no network: leaderboard, curves, samples, provenance. Of a study at
    work it tells what its runs have measured so far."""
    from bench.events import say
    from bench.report.page import Found, opened, write_page
    from bench.report.tables import publish
    from bench.store import StudyDir

    directory = StudyDir(folder)
    with directory.writing():
        if (folder / "runs").is_dir() and not directory.tabled():  # runs at work are ahead of the tables
            directory.collect()
        found = Found.of(folder)
        if found.scores:
            publish(folder, found.scores)
        path = write_page(folder, found, methods_path)
    say(found.scores.headline() if found.scores else f"nothing can be compared yet: {found.reason}")
    print(path)
    if show:
        opened(path)


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
    from bench.report.tables import stdout
    from bench.report.verdicts import checks_markdown, checks_terminal
    from bench.score import gate
    from bench.study import parse_target

    if not require and against is None:
        raise InputError("check: nothing is asked; give --require METHOD>=FACTOR or --against DIR2")
    if summary and not summary.parent.is_dir():
        raise InputError(f"--summary {summary}: there is no folder {summary.parent}")
    requirements = [gate.parse_requirement(text) for text in require]
    checks = gate.check(folder, requirements, against, gate.parse_share(max_regression), axis, parse_target(target))
    checks_terminal(checks, stdout())
    if summary:
        with summary.open("a", encoding="utf-8") as file:  # as a workflow's summary is written to
            file.write(checks_markdown(checks, folder, against, axis))
    outcomes = {one.outcome for one in checks}
    if gate.FAILS in outcomes or (strict and gate.UNDECIDED in outcomes):
        raise typer.Exit(GATE)
    if gate.NOTHING in outcomes:
        fail("a check measured nothing", NOTHING)


def claims(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A folder with runs to judge by.")] = None,
    file: Annotated[Path | None, typer.Option("--claims", metavar="FILE.toml", help="Claims of your own.")] = None,
) -> None:
    """Published claims beside what DIR measured, and what would decide those that were not run; writes DIR/claims.csv."""
    from bench.files import write_atomic
    from bench.report.tables import stdout
    from bench.report.verdicts import claims_terminal
    from bench.score.claims import CLAIMS, claims_table, judge, load_claims
    from bench.store import StudyDir

    judged = judge(load_claims(file or CLAIMS), folder)
    if folder is not None:
        with StudyDir(folder).writing():
            write_atomic(folder / "claims.csv", claims_table(judged).to_csv(index=False, lineterminator="\n"))
    claims_terminal(judged, stdout())


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of one task and fixed part.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for all of their runs.")],
) -> None:
    """Put the runs of several folders into one new folder, and score it."""
    from bench.events import say
    from bench.merge import merged
    from bench.report.tables import publish, stdout, terminal
    from bench.score.leaderboard import read_races
    from bench.score.leaderboard import score as scored

    merged(folders, out)
    if not read_races(out, aimless=True).rules.aims:
        say(f"merged; `fidrace score {out} --target FD` scores it")
        return
    scores = scored(out)
    publish(out, scores)
    terminal(scores, stdout())
