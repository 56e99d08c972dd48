"""The command `fidrace`: its verbs, each a few lines. What is heavy is imported inside the verb that needs it."""

import sys
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from methods.base import InputError

if TYPE_CHECKING:
    from bench.execute.race import Race
    from bench.score.leaderboard import Scores
    from bench.study import RunSpec

GATE, USAGE, NOTHING, SOME_FAILED, INTERRUPTED = 1, 2, 3, 4, 130

app = typer.Typer(
    help="How many iterations to the target FID, and is the difference real? Races methods that claim to train diffusion "
    "models faster, and judges the claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

MethodsPath = Annotated[
    list[str], typer.Option("--methods-path", metavar="DIR", help="A folder with method files of your own.")
]


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Make errors of input one line and an exit code; anything else is a defect and keeps its traceback."""

    @wraps(function)
    def guarded(*arguments: Any, **options: Any) -> None:
        from bench.score.errors import NothingToConclude

        try:
            function(*arguments, **options)
        except InputError as error:
            fail(str(error), USAGE)
        except NothingToConclude as error:
            fail(str(error), NOTHING)
        except KeyboardInterrupt:
            fail("interrupted; the same command goes on from here", INTERRUPTED)
        except OSError as error:  # a folder in a file's place, no space, no permission
            fail(f"{error.filename or 'input or output'}: {error.strerror}", USAGE)

    return app.command()(guarded)


def fail(message: str, code: int) -> None:
    print(f"fidrace: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)


def main() -> None:
    """The command; what it cannot parse is one line too."""
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(USAGE)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer brings its own copy of click, or not
            raise
        if len(sys.argv) == 1:
            error.show()  # type: ignore[attr-defined]  # the help
        else:
            print(f"fidrace: {' '.join(error.format_message().split())} (--help tells more)", file=sys.stderr)
        sys.exit(USAGE)
    sys.exit(code)


@verb
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
    from bench.report.tables import publish
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
    show(scores)
    say(f"tables and pictures: {folder}")


def show(scores: "Scores") -> None:
    from bench.report.tables import stdout, terminal

    terminal(scores, stdout())


@verb
def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A study's folder, or one with runs.csv and evals.csv.")],
    target: Annotated[str | None, typer.Option(metavar="FD|baseline-final", help="Another target: post hoc.")] = None,
    axis: Annotated[str, typer.Option(help="iterations, images, seconds or forwards.")] = "iterations",
    contrast: Annotated[
        list[str], typer.Option(metavar="METHOD/CONTROL", help="Compare with a control, not only the baseline; repeat.")
    ] = [],
) -> None:
    """Make the tables of DIR anew from runs.csv and evals.csv, without torch; with another --target or --contrast only
    show them."""
    from bench.report.progress import say
    from bench.report.tables import publish
    from bench.score.leaderboard import score as scored
    from bench.study import parse_contrast, parse_target

    scores = scored(folder, parse_target(target), axis, [parse_contrast(text) for text in contrast])
    if scores.rules.replaced:
        say(f"another target or contrast than the study declares: the tables in {folder} stay as they are")
    elif axis == "iterations":
        publish(folder, scores)
    show(scores)


@verb
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
    from bench.report.methods import examine, explain, listing, moments, write_csv, write_plot
    from methods.registry import Registry

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
    said = moments(composition, grid, progress)
    if csv:
        write_csv(composition, said, csv)
    if plot:
        write_plot(composition, grid, said, plot)
    explain(composition, grid, said)


@verb
def tasks(name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A task to print in full.")] = None) -> None:
    """List the tasks, or print one."""
    from bench.task import TASKS, load_task, task_names

    if name is None:
        for known in task_names():
            print(f"{known:12} {load_task(known).summary}")
    else:
        print((TASKS / f"{load_task(name).name}.toml").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
