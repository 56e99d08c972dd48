"""`fidrace run`: race methods to a target distance, then score the folder.

The verb parses its options, plans the study, prepares its folder, executes its runs and concludes with tables and page; each
step is a function below, in that order.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fidrace.cli import options
from fidrace.cli.looks import LookOptions, race_until_decided
from fidrace.cli.place import Place, follow, make_executor, parse_place
from fidrace.cli.shared import SOME_FAILED, USAGE, fail, require_training
from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.execute.study_runner import StudyRunner
    from fidrace.spec.study import RunSpec, Study


@dataclass(frozen=True)
class StudyOptions:
    """What is raced."""

    source: str
    methods: list[str]
    seeds: str | None
    budget: int | None
    gpu_hours: float | None
    target: str | None
    window: float | None
    changes: list[str]
    methods_path: list[str]
    looks: LookOptions
    tuned: Path | None = None


@dataclass(frozen=True)
class FolderOptions:
    """How the study's folder is treated."""

    out: Path | None
    retry_failed: bool
    fresh: bool
    yes: bool


@dataclass(frozen=True)
class OutputOptions:
    """What the user sees."""

    dry_run: bool
    as_json: bool
    open_report: bool
    prove: bool


def run(
    source: options.Source = "digits",
    method: options.Methods = [],
    seeds: options.SeedsOrDefault = None,
    until_decided: options.UntilDecided = False,
    looks: options.LookList = None,
    spending: options.Spending = None,
    futility: options.Futility = None,
    budget: options.Budget = None,
    gpu_hours: options.GpuHours = None,
    target: options.Target = None,
    window: options.Window = None,
    out: options.StudyOut = None,
    workers: options.Workers = None,
    executor: options.ExecutorName = "local",
    address: options.Address = None,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    change: options.Change = [],
    methods_path: options.MethodsPath = [],
    tuned: options.Tuned = None,
    retry_failed: options.RetryFailed = False,
    fresh: options.Fresh = False,
    yes: options.Yes = False,
    prove: options.Prove = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    show: options.OpenReport = False,
) -> None:
    """Race methods to a target distance.

    Finished runs in DIR are not repeated, and interrupted ones resume. Under torchrun its processes train each run together."""
    require_training("fidrace run")
    by_looks = LookOptions(until_decided, looks, spending, futility)
    study = parse_study(
        StudyOptions(source, method, seeds, budget, gpu_hours, target, window, change, methods_path, by_looks, tuned)
    )
    place = parse_place(Place(executor, address, gpus, device, workers))
    race(study, place, FolderOptions(out, retry_failed, fresh, yes), OutputOptions(dry_run, as_json, show, prove))


run.__doc__ = f"""{run.__doc__}

    \b
    Examples:
      fidrace run digits -m min-snr -m 'clts[sigma=0.3]' --seeds 10
      fidrace run digits --until-decided --dry-run
      fidrace run controls --out results/local/controls
      fidrace run folder --set data.root=pictures --budget 2000
"""


def race(study: "Study", place: Place, folder: FolderOptions, output: OutputOptions) -> None:
    """Plan, prepare, execute and conclude; only rank 0 of torchrun does more than take part in the runs."""
    from fidrace.spec.trainer import TrainerTask

    runner = plan(study, folder, output.dry_run)
    if place.group and runner.study.until_decided:
        raise InputError(
            "--until-decided: the processes of torchrun race one list of runs; give --seeds, or race without torchrun"
        )
    if isinstance(runner.study.task, TrainerTask) and place.group:
        raise InputError("torchrun: a study of another trainer starts its command itself; put torchrun into trainer.command")
    if output.prove and not isinstance(runner.study.task, TrainerTask):
        raise InputError("--prove: fidrace holds every guarantee of its own loop; it is for studies with a [trainer]")
    if output.prove:
        from fidrace.execute.trainer.proof import study_of_proof

        study_of_proof(runner.study)  # refuses before anything runs
    if output.dry_run:
        if place.is_first:
            from fidrace.cli.dry_run import rehearse

            rehearse(runner, place, folder)
    elif place.is_first:
        with prepare(runner, place, folder) as specs:
            execute(runner, place, specs, output.as_json)
            race_until_decided(runner, partial(execute, runner, place, as_json=output.as_json), output.as_json)
            proven = prove_trainer(runner, place, output.as_json) if output.prove else True
            from fidrace.cli.conclude import conclude, report_end  # after the runs: it loads matplotlib and plotly

            conclude(runner, output.as_json)
        report_end(runner, output.open_report, in_group=place.group is not None)
        if not proven:
            raise typer.Exit(SOME_FAILED)
    else:
        follow(runner, place)


def parse_study(options: StudyOptions) -> "Study":
    """The study that the options describe; raises InputError."""
    from fidrace.spec.study import define_study
    from fidrace.spec.user_input import parse_assignment, parse_target

    if options.tuned:
        from fidrace.score.tuning import read_tuning

    changes = dict(map(parse_assignment, options.changes))
    if options.gpu_hours is not None:
        changes["budget.gpu_hours"] = options.gpu_hours
    return define_study(
        options.source,
        options.methods,
        options.seeds,
        options.budget,
        parse_target(options.target),
        changes,
        options.methods_path,
        options.window,
        options.looks.given(),
        read_tuning(options.tuned) if options.tuned else None,
    )


def plan(study: "Study", folder: FolderOptions, dry_run: bool) -> "StudyRunner":
    """The study in its folder. If the task leaves its data open, their content is read and becomes part of the study; a dry
    run decodes no images and only knows the content that study.json has recorded."""
    from fidrace.execute.study_runner import StudyRunner, default_out
    from fidrace.spec.tuning import FILE as TUNING
    from fidrace.storage.study_folder import StudyFolder

    directory = StudyFolder(folder.out or default_out(study))
    if (directory.path / TUNING).exists():
        raise InputError(f"{directory.path} holds the runs of `fidrace tune`; race into another --out")
    if study.task.has_open_content:
        from fidrace.execute.preflight import resolve_content

        recorded = directory.manifest().fixed["data"] if directory.holds_study() else {}
        if recorded or not dry_run:
            study = resolve_content(study, str(recorded.get("sha256", "")) if dry_run else "")
    if not folder.fresh:
        study = directory.adopt_looks(directory.adopt_target(study))
    if study.until_decided is None:
        return StudyRunner(study, directory, folder.retry_failed)
    from fidrace.execute.sequential_runner import make_runner  # it scores

    return make_runner(study, directory, folder.retry_failed)


@contextmanager
def prepare(runner: "StudyRunner", place: Place, folder: FolderOptions) -> "Iterator[list[RunSpec]]":
    """Check that runs can start, then write study.json. Yields the runs to do; the folder is marked as in use until the
    context ends."""
    from fidrace.console import say
    from fidrace.storage.locks import lock_folder

    directory = runner.directory
    to_empty = folder.fresh and directory.holds_study()
    if not to_empty:
        directory.merged_manifest(runner.study)  # refuses another study's folder before anything is written
        runner.catch_up()
    if to_empty or runner.plan():
        from fidrace.execute.preflight import check_space, check_startable
        from fidrace.execute.trainer.preflight import check_trainer
        from fidrace.spec.trainer import TrainerTask

        place.devices()
        if isinstance(runner.study.task, TrainerTask):
            check_trainer(runner.study)
        else:
            check_startable(runner.study)
            check_space(runner.study, directory.path, place.run_count(runner.study.task.budget.threads))
    if to_empty:
        directory.refuse_strangers()
    if to_empty and not folder.yes and not typer.confirm(f"Empty {directory.path}?", err=True):
        fail(f"{directory.path} is unchanged", USAGE)
    with ExitStack() as in_use:
        with lock_folder(directory.path):
            if to_empty:
                directory.empty()
            in_use.enter_context(directory.mark_in_use())
            runner.declare()
            passed = runner.catch_up()
            specs = runner.plan()
        describe_study(runner, runner.left_at_most())
        for look in passed:
            say(str(look))
        yield specs


def describe_study(runner: "StudyRunner", specs: "list[RunSpec]") -> None:
    """Say what is raced, to which target, how much of it is left to do (`specs`, or less), and where it is written."""
    from fidrace.console import say

    study, task = runner.study, runner.study.task
    if study.baseline_added:
        say(f"{study.baseline} is added: every factor is measured against it")
    goal = f"{task.quality.metric} <= {study.target:g}" if isinstance(study.target, float) else "each baseline's final FD"
    size, done = runner.describe_size(len(specs))
    most = "at most " if task.budget.stop else ""
    say(f"{study.name}: {size}, {most}{task.budget.iterations} iterations each, to {goal}{done}")
    say(f"methods: {', '.join(study.methods)}; into {runner.directory.path}")
    if study.until_decided:
        say(study.until_decided.describe())
    for remark in filter(None, (task.remark, task.ema_warning())):
        say(remark)


def execute(runner: "StudyRunner", place: Place, specs: "list[RunSpec]", as_json: bool) -> None:
    """Execute `specs` and show their progress; under torchrun the other ranks learn which runs these are."""
    if place.group:
        from fidrace.execute.torchrun import broadcast_specs

        specs = broadcast_specs(runner.study, specs, place.group)
    if specs or place.group:
        from fidrace.report.progress import watch

        watch(runner.execute(make_executor(runner, place), specs), len(specs), runner.study.task, as_json)


def prove_trainer(runner: "StudyRunner", place: Place, as_json: bool) -> bool:
    """Execute the two runs that show what a trainer's seed fixes and what the adapter changes, and say what they showed;
    returns False if one has failed."""
    from fidrace.console import say
    from fidrace.execute.study_runner import StudyRunner
    from fidrace.execute.trainer.proof import FOLDER, conclude_proof, read_proof, study_of_proof
    from fidrace.storage.locks import lock_folder
    from fidrace.storage.study_folder import StudyFolder

    directory = StudyFolder(runner.directory.path / FOLDER)
    if directory.holds_study() and read_proof(runner.directory.path, runner.directory.rows()) is None:
        directory.empty()  # it was of other code
    proof = StudyRunner(study_of_proof(runner.study), directory, runner.retry_failed)
    with lock_folder(directory.path):
        proof.declare()
    specs = proof.plan()
    if specs:
        say(f"--prove: {len(specs)} more runs, in {directory.path}")
        execute(proof, place, specs, as_json)
    try:
        shown = conclude_proof(runner.study, runner.directory, directory)
    except InputError as error:  # a run has failed: what the others show is shown all the same
        say(str(error))
        return False
    for held in filter(None, (shown.chances, shown.adapter)):
        say(f"--prove: {held[1]}")
    return True
