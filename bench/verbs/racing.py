"""`fidrace run`: races methods, and scores what the folder then holds."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.verbs import SOME_FAILED, USAGE, MethodsPath, fail

if TYPE_CHECKING:
    from bench.execute.race import Race
    from bench.study import RunSpec


def run(
    source: Annotated[str, typer.Argument(metavar="[TASK|STUDY.toml]", help="What to race on.")] = "digits",
    method: Annotated[list[str], typer.Option("-m", "--method", help="A method; repeat. Default: the task's.")] = [],
    seeds: Annotated[str | None, typer.Option(metavar="N|a,b,c", help="3 means 0, 1, 2.")] = None,
    budget: Annotated[int | None, typer.Option(metavar="ITERS", help="Iterations of every run.")] = None,
    target: Annotated[str | None, typer.Option(metavar="FD|baseline-final", help="The distance to reach.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: results/local/<study>.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time. Default: as many as the cores or GPUs carry.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the task: optimizer.lr=1e-4.")] = [],
    methods_path: MethodsPath = [],
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty DIR first, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> None:
    """Race methods to a target distance. What DIR already holds is not run again."""
    from bench.execute.race import Race, default_out
    from bench.report.progress import say
    from bench.store import StudyDir
    from bench.study import assignment, make_study, parse_target

    study = make_study(source, method, seeds, budget, parse_target(target), dict(map(assignment, change)), methods_path)
    directory = StudyDir(out or default_out(study))
    race = Race(study, directory, retry_failed)
    fresh = fresh and (directory.path / "study.json").exists()
    if not fresh:
        directory.merged(study)  # refuses a folder of something else before anything is written
    if dry_run:
        describe(race, list(study.specs()) if fresh else race.plan())
        return
    team = ready(race, device) if fresh or race.plan() else []
    if fresh and not yes and not typer.confirm(f"Empty {directory.path}?", err=True):
        fail(f"{directory.path} stays as it is", USAGE)
    with directory.locked():
        if fresh:
            directory.empty()
        directory.declare(study)
        directory.adopt()
        specs = race.plan()
        describe(race, specs)
        if specs:
            perform(race, specs, team, workers, as_json)
        conclude(race, as_json)
    if failures := race.failures():
        say(f"{len(failures)} of {len(study.methods) * len(study.seeds)} runs failed; --retry-failed runs them again:")
        for failure in failures:
            say(f"  {failure}")
        raise typer.Exit(SOME_FAILED)


def ready(race: "Race", device: str) -> list[str]:
    """The devices to run on, once it is known that runs can start."""
    from bench.execute.local import devices
    from bench.execute.preflight import check

    found = devices(device)
    check(race.study)
    return found


def describe(race: "Race", specs: "list[RunSpec]") -> None:
    """Say what is about to be run, and where it goes."""
    from bench.report.progress import say

    study, task = race.study, race.study.task
    if study.baseline_added:
        say("the baseline is added: every factor is measured against it")
    total = len(study.methods) * len(study.seeds)
    done = total - len(specs)
    goal = f"{task.quality.metric} <= {study.target:g}" if isinstance(study.target, float) else "each baseline's final FD"
    say(
        f"{study.name}: {len(study.methods)} methods x {len(study.seeds)} seeds, "
        f"{task.budget.iterations} iterations each, to {goal}" + (f"; {done} of {total} runs are there already" if done else "")
    )
    say(f"methods: {', '.join(study.methods)}; into {race.directory.path}")


def perform(race: "Race", specs: "list[RunSpec]", team: list[str], workers: int | None, as_json: bool) -> None:
    """Run `specs` on worker processes and show how they go."""
    from rich.console import Console

    from bench.execute.local import Local, default_workers
    from bench.report.progress import JsonLines, Live, PlainLines, Reporter

    task = race.study.task
    console = Console(stderr=True)
    reporter: Reporter
    if as_json:
        reporter = JsonLines()
    elif console.is_terminal:
        reporter = Live(len(specs), task.quality.metric, task.budget.grid()[-1], console)
    else:
        reporter = PlainLines(len(specs), task.quality.metric)
    threads = task.budget.threads
    executor = Local(race.directory.path, team, workers or default_workers(team, threads), threads)
    with reporter, closing(race.execute(executor, specs)) as events:
        for event in events:
            reporter.hear(event)


def conclude(race: "Race", as_json: bool) -> None:
    """Score the folder, write its tables and show them."""
    from bench.report.progress import emit, say
    from bench.report.tables import publish, stdout, terminal
    from bench.score.errors import NothingToConclude
    from bench.score.leaderboard import score

    folder = race.directory.path
    race.directory.collect()
    try:
        scores = score(folder)
    except NothingToConclude as error:
        say(str(error))
        if as_json:
            emit("study_ended", failed=len(race.failures()), headline=str(error), leaderboard=[])
        return
    publish(folder, scores)
    if as_json:
        leaderboard = scores.leaderboard.astype(object).where(scores.leaderboard.notna(), None).to_dict("records")
        emit("study_ended", failed=len(race.failures()), headline=scores.headline(), leaderboard=leaderboard)
        return
    terminal(scores, stdout())
    say(f"tables and pictures: {folder}")
