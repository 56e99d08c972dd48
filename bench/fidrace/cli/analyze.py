"""`fidrace analyze`: the paper's other experiments. Each trains what it needs, as `fidrace run` does, and measures it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli.options import AnalysisOut as Out
from fidrace.cli.options import Budget, Change, Device, MethodsPath, RetryFailed, Seeds, TaskName, Workers
from fidrace.cli.shared import SOME_FAILED, Verb, fail, guard_errors
from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.analyses.outcome import Outcome
    from fidrace.execute.study_series import StudySeries
    from fidrace.spec.study import Study

analyze = typer.Typer(
    help="Run the paper's other experiments, and its open questions. What DIR already holds is not trained again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Methods = Annotated[
    list[str], typer.Option("-m", "--method", metavar="NAME", help="A method to compare with the baseline; repeat.")
]


def load_base_study(
    task: str, methods: list[str], seeds: str, budget: int | None, change: list[str], methods_path: list[str]
) -> "Study":
    """The study that the options describe, keeping its networks. Raises InputError if runs would end at different
    iterations."""
    from fidrace.spec.study import define_study, refuse_partial_grid
    from fidrace.spec.user_input import parse_assignment

    changes = dict(map(parse_assignment, change)) | {"budget.keep_weights": True}
    if "budget.gpu_hours" in changes:
        raise InputError("--set budget.gpu_hours: networks are compared at the same iterations; use --budget")
    study = define_study(task, methods, seeds, budget, None, changes, methods_path)
    refuse_partial_grid(study, "networks are compared at the same iterations")
    return study


def run_series(studies: "dict[str, Study]", out: Path, workers: int | None, device: str, retry_failed: bool) -> "StudySeries":
    """Run what is still to do of `studies`, whose keys are their folders below `out`. Exits if a run failed."""
    from fidrace.console import say
    from fidrace.execute.local import devices
    from fidrace.execute.study_series import StudySeries
    from fidrace.report.progress import watch

    team = devices(device)
    series = StudySeries.of(out, studies, retry_failed)
    with series.open_homes() as specs:
        runs = sum(len(study.methods) * len(study.seeds) for study in studies.values())
        done = f", {runs - len(specs)} of them there already" if len(specs) < runs else ""
        count = f"{len(studies)} studies, " if len(studies) > 1 else ""
        say(f"{count}{runs} runs{done}; into {out}")
        for warning in dict.fromkeys(filter(None, (study.own_task.ema_warning() for study in studies.values()))):
            say(warning)
        if specs:
            watch(series.execute(specs, team, workers), len(specs), series.task)
    if failures := series.failures():
        for line in failures:
            say(f"  {line}")
        fail(f"{len(failures)} of {runs} runs failed; --retry-failed runs them again", SOME_FAILED)
    return series


def publish_outcome(kind: str, outcome: "Outcome", out: Path) -> None:
    """Write the tables and pictures of an analysis, and print its findings."""
    from fidrace.console import say

    files = outcome.publish(out, kind)
    for line in outcome.lines:
        print(line)
    say(f"tables and picture: {', '.join(map(str, files))}")


def default_out(kind: str, task: str) -> Path:
    return Path("results", "local", f"{kind}-{task}")


def consistency(
    task: TaskName = "digits",
    method: Methods = ["clts", "mdlrc"],
    network: Annotated[
        list[str],
        typer.Option(
            "--network",
            metavar="KEY=VALUE[,...]",
            help="Another architecture; repeat. Default: twice the channels; a block more.",
        ),
    ] = [],
    seeds: Seeds = "3",
    latents: Annotated[int, typer.Option(metavar="N", help="Latents that every network gets; at least 16.")] = 256,
    budget: Budget = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    methods_path: MethodsPath = [],
    retry_failed: RetryFailed = False,
) -> None:
    """Do networks that share neither initialisation nor data order, or not even an architecture, draw the same images from
    the same latents? Scores from 0 (the same function) to 1 (a shared latent tells nothing), over training.

    \b
    Examples:
      fidrace analyze consistency
      fidrace analyze consistency -m min-snr --network channels=16,res_blocks=2
      fidrace analyze consistency cifar10 --seeds 2 --out DIR
    """
    from fidrace.analyses.consistency.agreement import check_latents
    from fidrace.analyses.consistency.analysis import analyze_consistency
    from fidrace.analyses.consistency.networks import plan_studies

    check_latents(latents)
    base = load_base_study(task, method, seeds, budget, change, methods_path)
    folder = out or default_out("consistency", base.own_task.name)
    series = run_series(plan_studies(base, network), folder, workers, device, retry_failed)
    publish_outcome("consistency", analyze_consistency(series, latents, device), folder)


def difficulty(
    task: TaskName = "digits",
    seeds: Seeds = "3",
    bands: Annotated[
        int, typer.Option("--bands", "--cells", metavar="N", help="Ranges that the timesteps are split into; at least 2.")
    ] = 25,
    budget: Budget = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    retry_failed: RetryFailed = False,
) -> None:
    """Which timesteps are hard to learn? Held-out loss and gradient norm by timestep over training, against noise level.

    \b
    Examples:
      fidrace analyze difficulty
      fidrace analyze difficulty cifar10 --bands 50
      fidrace analyze difficulty --set ema.decay=0 --seeds 5 --out DIR
    """
    from fidrace.analyses.difficulty.analysis import analyze_difficulty, plan_bands

    base = load_base_study(task, ["baseline"], seeds, budget, change, [])
    ranges = plan_bands(base.own_task, bands)
    folder = out or default_out("difficulty", base.own_task.name)
    series = run_series({"baseline": base}, folder, workers, device, retry_failed)
    publish_outcome("difficulty", analyze_difficulty(series, ranges, device), folder)


def landscape(
    task: TaskName = "digits",
    seeds: Seeds = "2",
    bands: Annotated[int, typer.Option(min=1, metavar="N", help="Ranges of timesteps that curvature is measured in.")] = 4,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="Training images that the loss is the mean of.")] = 128,
    eigenvalues: Annotated[int, typer.Option(min=1, metavar="N", help="How many of the largest eigenvalues.")] = 3,
    probes: Annotated[int, typer.Option(min=2, metavar="N", help="Random vectors that the trace is estimated from.")] = 16,
    budget: Budget = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    retry_failed: RetryFailed = False,
) -> None:
    """Is the loss smooth around trained networks? Interpolation between networks; the largest and smallest Hessian eigenvalues
    and the trace, by band of timesteps, along training.

    \b
    Examples:
      fidrace analyze landscape
      fidrace analyze landscape --seeds 5 --bands 1 --eigenvalues 1 --probes 8 --out DIR
    """
    from fidrace.analyses.landscape.analysis import Resolution, analyze_landscape, plan_studies

    base = load_base_study(task, ["baseline"], seeds, budget, change, [])
    resolution = Resolution(bands, examples, eigenvalues, probes)
    resolution.check(base.own_task)
    folder = out or default_out("landscape", base.own_task.name)
    series = run_series(plan_studies(base), folder, workers, device, retry_failed)
    publish_outcome("landscape", analyze_landscape(series, resolution, device), folder)


def robustness(
    task: TaskName = "digits",
    method: Methods = ["mdlrc"],
    lr: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Learning rates. Default: the task's and half of it.")
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="A,B,...", help="Batches. Default: the task's and half of it.")] = None,
    schedule: Annotated[str, typer.Option(metavar="A,B", help="Noise schedules.")] = "linear,cosine",
    clip: Annotated[str, typer.Option(metavar="A,B,...", help="Norms that gradients are clipped at, or none.")] = "none,0.5",
    seeds: Seeds = "3",
    budget: Annotated[
        int | None, typer.Option(metavar="ITERS", help="Iterations of every run. Default: two fifths of the task's.")
    ] = None,
    out: Out = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    methods_path: MethodsPath = [],
    retry_failed: RetryFailed = False,
) -> None:
    """Where does a speedup hold? Measures it in each cell of a grid of learning rate, batch, noise schedule and gradient
    clipping, against that cell's own baseline. A screening: by default runs are short and evaluated 5 times.

    \b
    Examples:
      fidrace analyze robustness
      fidrace analyze robustness -m min-snr -m clts --clip none --schedule cosine
      fidrace analyze robustness digits --budget 200 --set budget.evaluations=8
    """
    from fidrace.analyses.robustness.analysis import analyze_robustness, plan_studies, shorten_runs
    from fidrace.analyses.robustness.settings import Settings

    whole = load_base_study(task, method, seeds, budget, change, methods_path).own_task
    base = load_base_study(task, method, seeds, budget, [*shorten_runs(whole, budget is None), *change], methods_path)
    folder = out or default_out("robustness", base.own_task.name)
    settings = Settings.parse(base.own_task, lr, batch, schedule, clip)
    series = run_series(plan_studies(base, settings), folder, workers, device, retry_failed)
    publish_outcome("robustness", analyze_robustness(series, settings), folder)


for verb in (consistency, difficulty, landscape, robustness):
    analyze.command(cls=Verb)(guard_errors(verb))
