"""`fidrace analyze`: the paper's other experiments. Each trains what it needs, as `fidrace run` does, and looks at it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli.options import AnalysisOut as Out
from fidrace.cli.options import Budget, Change, Device, MethodsPath, Seeds, TaskName, Workers
from fidrace.cli.options import RetryFailed as Retry
from fidrace.cli.shared import SOME_FAILED, Verb, fail, guard_errors
from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.analyses.outcome import Outcome
    from fidrace.execute.study_series import StudySeries
    from fidrace.spec.study import Study

analyze = typer.Typer(
    help="The paper's other experiments, and its open questions. What DIR already holds is not trained again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def study_of(
    task: str, methods: list[str], seeds: str, budget: int | None, change: list[str], methods_path: list[str]
) -> "Study":
    """The study that the options describe, its networks kept. Raises InputError where runs would end at different
    iterations."""
    from fidrace.spec.study import load_study, parse_assignment

    changes = dict(map(parse_assignment, change)) | {"budget.keep_weights": True}
    if "budget.gpu_hours" in changes:
        raise InputError("--set budget.gpu_hours: networks are compared at the same iterations; use --budget")
    return load_study(task, methods, seeds, budget, None, changes, methods_path)


def run_series(studies: "dict[str, Study]", out: Path, workers: int | None, device: str, retry_failed: bool) -> "StudySeries":
    """The series of `studies`, by their homes below `out`, run to its end."""
    from fidrace.console import say
    from fidrace.execute.local import devices
    from fidrace.execute.study_series import StudySeries
    from fidrace.report.progress import watch

    team = devices(device)
    series = StudySeries.of(out, studies, retry_failed)
    with series.open_homes() as specs:
        runs = sum(len(study.methods) * len(study.seeds) for study in studies.values())
        there = f", {runs - len(specs)} of them there already" if len(specs) < runs else ""
        series_of = f"{len(studies)} studies, " if len(studies) > 1 else ""
        say(f"{series_of}{runs} runs{there}; into {out}")
        for warning in dict.fromkeys(filter(None, (study.task.ema_warning() for study in studies.values()))):
            say(warning)
        if specs:
            watch(series.execute(specs, team, workers), len(specs), series.task)
    if failures := series.failures():
        for line in failures:
            say(f"  {line}")
        fail(f"{len(failures)} of {runs} runs failed; --retry-failed runs them again", SOME_FAILED)
    return series


def publish_outcome(kind: str, outcome: "Outcome", out: Path) -> None:
    """Write what an analysis found, and say it."""
    from fidrace.console import say

    files = outcome.publish(out, kind)
    for line in outcome.lines:
        print(line)
    say(f"tables and picture: {', '.join(map(str, files))}")


def default_out(kind: str, task: str) -> Path:
    return Path("results", "local", f"{kind}-{task}")


def consistency(
    task: TaskName = "digits",
    method: Annotated[list[str], typer.Option("-m", "--method", help="A method to set beside the baseline; repeat.")] = [
        "clts",
        "mdlrc",
    ],
    network: Annotated[
        list[str], typer.Option("--network", metavar="KEY=VALUE[,...]", help="Another architecture; repeat. Default: two.")
    ] = [],
    seeds: Seeds = "3",
    latents: Annotated[int, typer.Option(help="On how many latents.")] = 256,
    budget: Budget = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    methods_path: MethodsPath = [],
    retry_failed: Retry = False,
) -> None:
    """Do networks that share neither initialisation nor data order, or not even an architecture, draw the same images from
    the same latents? Scores from 0 (the same function) to 1 (a shared latent tells nothing), over training."""
    from fidrace.analyses.consistency.agreement import check_latents
    from fidrace.analyses.consistency.analysis import analyze_consistency, studies

    check_latents(latents)
    base = study_of(task, method, seeds, budget, change, methods_path)
    folder = out or default_out("consistency", base.task.name)
    series = run_series(studies(base, network), folder, workers, device, retry_failed)
    publish_outcome("consistency", analyze_consistency(series, latents, device), folder)


def difficulty(
    task: TaskName = "digits",
    seeds: Seeds = "3",
    cells: Annotated[int, typer.Option(help="Into how many ranges the timesteps are cut.")] = 25,
    budget: Budget = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    retry_failed: Retry = False,
) -> None:
    """Which timesteps are hard to learn? Held-out loss and gradient norm by timestep over training, against noise level."""
    from fidrace.analyses.difficulty.analysis import analyze_difficulty, check_bands

    base = study_of(task, ["baseline"], seeds, budget, change, [])
    check_bands(base.task, cells)
    folder = out or default_out("difficulty", base.task.name)
    series = run_series({"baseline": base}, folder, workers, device, retry_failed)
    publish_outcome("difficulty", analyze_difficulty(series, cells, device), folder)


def landscape(
    task: TaskName = "digits",
    seeds: Seeds = "2",
    bands: Annotated[int, typer.Option(min=1, help="Into how many ranges of timesteps the curvature is split.")] = 4,
    examples: Annotated[int, typer.Option(min=1, help="Images that the loss is taken over.")] = 128,
    eigenvalues: Annotated[int, typer.Option(min=1, help="How many of the largest.")] = 3,
    probes: Annotated[int, typer.Option(min=2, help="Random vectors for the trace.")] = 16,
    budget: Budget = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    retry_failed: Retry = False,
) -> None:
    """Is the loss smooth around what was learnt? Interpolation between trained networks, top Hessian eigenvalues and trace by
    band of timesteps, along training."""
    from fidrace.analyses.landscape.analysis import Look, analyze_landscape, studies

    base = study_of(task, ["baseline"], seeds, budget, change, [])
    look = Look(bands, examples, eigenvalues, probes)
    look.check(base.task)
    folder = out or default_out("landscape", base.task.name)
    series = run_series(studies(base), folder, workers, device, retry_failed)
    publish_outcome("landscape", analyze_landscape(series, look, device), folder)


def robustness(
    task: TaskName = "digits",
    method: Annotated[list[str], typer.Option("-m", "--method", help="A method; repeat.")] = ["mdlrc"],
    lr: Annotated[str | None, typer.Option(metavar="A,B,...", help="Learning rates. Default: the task's and its half.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="A,B,...", help="Batches. Default: the task's and its half.")] = None,
    schedule: Annotated[str, typer.Option(metavar="A,B", help="Noise schedules.")] = "linear,cosine",
    clip: Annotated[str, typer.Option(metavar="A,B,...", help="Norms that gradients are clipped at.")] = "none,0.5",
    seeds: Seeds = "3",
    budget: Annotated[
        int | None, typer.Option(metavar="ITERS", help="Iterations of every run. Default: two fifths of the task's.")
    ] = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    methods_path: MethodsPath = [],
    retry_failed: Retry = False,
) -> None:
    """Where does a speedup hold? It is measured anew in each cell of a grid of learning rate, batch, noise schedule and
    gradient clipping, against that cell's own baseline. A screening: by default in shorter runs, evaluated 5 times."""
    from fidrace.analyses.robustness.analysis import analyze_robustness, shorten, studies
    from fidrace.analyses.robustness.settings import Settings

    whole = study_of(task, method, seeds, budget, change, methods_path).task
    base = study_of(task, method, seeds, budget, [*shorten(whole, budget is None), *change], methods_path)
    folder = out or default_out("robustness", base.task.name)
    grid = Settings.parsed(base.task, lr, batch, schedule, clip)
    series = run_series(studies(base, grid), folder, workers, device, retry_failed)
    publish_outcome("robustness", analyze_robustness(series, grid), folder)


for verb in (consistency, difficulty, landscape, robustness):
    analyze.command(cls=Verb)(guard_errors(verb))
