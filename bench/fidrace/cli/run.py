"""`fidrace run`: races methods, and scores what the folder then holds."""

import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli.shared import SOME_FAILED, USAGE, MethodsPath, fail, require_training
from fidrace.errors import InputError, nearest

if TYPE_CHECKING:
    from fidrace.execute.events import Event
    from fidrace.execute.study_runner import Executor, StudyRunner
    from fidrace.execute.torchrun import TorchrunExecutor
    from fidrace.spec.study import RunSpec, Study
    from fidrace.spec.task import Task
    from fidrace.storage.study_folder import StudyFolder
    from fidrace.train.process_group import ProcessGroup


EXECUTORS = ("local", "ray")


def run(
    source: Annotated[
        str, typer.Argument(metavar="TASK|STUDY|FILE.toml", help="What to race on (`fidrace tasks`).")
    ] = "digits",
    method: Annotated[
        list[str], typer.Option("-m", "--method", metavar="METHOD", help="A method; repeat. Default: the task's.")
    ] = [],
    seeds: Annotated[str | None, typer.Option(metavar="N|a,b,c", help="3 means 0, 1, 2.")] = None,
    budget: Annotated[int | None, typer.Option(metavar="ITERS", help="Iterations of every run.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(metavar="H", help="End every run after so much training, too.")] = None,
    target: Annotated[str | None, typer.Option(metavar="FD|baseline-final", help="The distance to reach.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: results/local/<study>.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs at a time. Default: as many as the cores or GPUs carry.")
    ] = None,
    executor: Annotated[
        str, typer.Option(metavar="local|ray", help="local: processes of this machine; ray: a cluster.")
    ] = "local",
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster. Default: this machine's.")] = None,
    gpus: Annotated[float | None, typer.Option(metavar="G", min=0, help="GPUs of each run under ray: 1, or 0.5.")] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="The device to train on.")] = "auto",
    change: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change the task: optimizer.lr=1e-4.")] = [],
    methods_path: MethodsPath = [],
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Let failed runs go on from their checkpoints.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty DIR first, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Show the report in the browser at the end.")] = False,
) -> None:
    """Race methods to a target distance.

    Finished runs in DIR are not repeated, and interrupted ones resume. Under torchrun, all
    its processes train each run together.

    \b
    Examples:
      fidrace run --dry-run
      fidrace run digits -m min-snr -m 'clts[sigma=0.3]' --seeds 10
      fidrace run controls --out results/local/controls
      fidrace run folder --set data.root=pictures --budget 2000
    """
    require_training("fidrace run")
    from fidrace.console import say
    from fidrace.execute.study_runner import StudyRunner, default_out
    from fidrace.spec.study import load_study, parse_assignment, parse_target
    from fidrace.storage.study_folder import StudyFolder

    changes = dict(map(parse_assignment, change)) | ({} if gpu_hours is None else {"budget.gpu_hours": gpu_hours})
    study = load_study(source, method, seeds, budget, parse_target(target), changes, methods_path)
    check_executor(executor, address, gpus, device)
    group = join_torchrun(device, workers, executor) if "TORCHELASTIC_RUN_ID" in os.environ else None
    first = group is None or group.is_first
    if dry_run and not first:
        return
    directory = StudyFolder(out or default_out(study))
    study = note_content(study, directory, dry_run)
    race = StudyRunner(study, directory, retry_failed)
    fresh = fresh and (directory.path / "study.json").exists()
    if dry_run:
        known = not (fresh or study.task.open)
        if known:
            directory.merged_manifest(study)
        plan(race, race.plan() if known else list(study.specs()), device)
        return
    if group and not first:
        follow(race, group)
        return
    if not fresh:
        directory.merged_manifest(study)  # refuses a folder of something else before anything is written
    team = check_startable(race, device, executor) if fresh or race.plan() else []
    if fresh and not yes and not typer.confirm(f"Empty {directory.path}?", err=True):
        fail(f"{directory.path} stays as it is", USAGE)
    with ExitStack() as present:
        with directory.lock():
            if fresh:
                directory.empty()
            present.enter_context(directory.mark_in_use())
            directory.declare(study)
            directory.adopt()
            if retry_failed:
                race.reopen()
            specs = race.plan()
        describe(race, specs)
        if specs or group:
            if executor == "ray":
                where = cluster(race, device, gpus, address, workers)
            else:
                where = together(race, group) if group else local(race, team, workers)
            specs = broadcast_specs(race, specs, group) if group else specs
            watch(race.execute(where, specs), len(specs), study.task, as_json)
        conclude(race, as_json)
    if show:
        from fidrace.report.page.build import PAGE, open_in_browser

        open_in_browser(directory.path / PAGE)
    if failures := race.failures():
        say(f"{len(failures)} of {len(study.methods) * len(study.seeds)} runs failed; --retry-failed runs them again:")
        for failure in failures:
            say(f"  {failure}")
        if undone := len(race.plan()) - (len(failures) if retry_failed else 0):
            say(f"{undone} runs were not started; the same command goes on")
        raise typer.Exit(SOME_FAILED)


def check_executor(executor: str, address: str | None, gpus: float | None, device: str) -> None:
    """Raise InputError for one that there is not, or that is not here, and for options that are another's."""
    if executor not in EXECUTORS:
        raise InputError(f"unknown executor {executor!r}{nearest(executor, EXECUTORS)}")
    for name, value in (("--address", address), ("--gpus", gpus)):
        if value is not None and executor != "ray":
            raise InputError(f"{name} is for --executor ray")
    if gpus is not None and not (0 <= gpus <= 1 or gpus.is_integer()):
        raise InputError(f"--gpus {gpus:g}: write a whole number, or a share below 1")
    if device == "cpu" and gpus:
        raise InputError(f"--gpus {gpus:g} with --device cpu: leave one out")
    if executor == "ray":
        from fidrace.execute.ray.cluster import refuse_absent

        refuse_absent(address)


def join_torchrun(device: str, workers: int | None, executor: str) -> "ProcessGroup":
    """The group of processes that torchrun started."""
    from fidrace.execute.local import devices
    from fidrace.train.process_group import join_group

    if workers or executor != "local":
        option = "--workers" if workers else f"--executor {executor}"
        raise InputError(f"{option}: under torchrun all processes train one run at a time; leave it out")
    return join_group(devices(device))


def note_content(study: "Study", directory: "StudyFolder", dry_run: bool) -> "Study":
    """The study with the content of its data noted. A dry run decodes no images: it takes what the folder has noted, says what
    data there are, and goes on without."""
    if not study.task.open:
        return study
    from fidrace.console import say
    from fidrace.data.loading import describe_data
    from fidrace.execute.preflight import resolve_content

    if not dry_run:
        return resolve_content(study)
    try:
        say(describe_data(study.task.data))
    except InputError as error:
        say(str(error))
    noted = directory.manifest()["fixed"]["data"] if (directory.path / "study.json").exists() else {}
    return resolve_content(study, str(noted.get("sha256", ""))) if noted else study


def check_startable(race: "StudyRunner", device: str, executor: str) -> list[str]:
    """The devices of this machine to run on, once it is known that runs can start."""
    from fidrace.execute.local import devices
    from fidrace.execute.preflight import check

    found = devices("cpu" if executor == "ray" and device == "cuda" else device)  # a cluster has devices of its own
    check(race.study)
    return found


def plan(race: "StudyRunner", specs: "list[RunSpec]", device: str) -> None:
    """Say what is about to be run, and what it will take."""
    from fidrace.console import say
    from fidrace.execute.estimate import estimate
    from fidrace.execute.local import devices
    from fidrace.report.cost import cost_lines

    describe(race, specs)
    for line in cost_lines(race.study.task, estimate(race.study, devices(device)[0]), len(specs)):
        say(line)


def describe(race: "StudyRunner", specs: "list[RunSpec]") -> None:
    """Say what is about to be run, and where it goes."""
    from fidrace.console import say

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


def local(race: "StudyRunner", team: list[str], workers: int | None) -> "Executor":
    """Worker processes on this machine."""
    from fidrace.execute.local import LocalExecutor, default_workers

    threads = race.study.task.budget.threads
    return LocalExecutor(race.directory.path, team, workers or default_workers(team, threads), threads)


def cluster(race: "StudyRunner", device: str, gpus: float | None, address: str | None, workers: int | None) -> "Executor":
    """A Ray cluster."""
    from fidrace.execute.ray.executor import RayExecutor

    return RayExecutor(race.directory.path, device, race.study.task.budget.threads, gpus, address, workers)


def together(race: "StudyRunner", group: "ProcessGroup") -> "TorchrunExecutor":
    """All processes of torchrun for one run at a time."""
    from fidrace.execute.torchrun import TorchrunExecutor

    return TorchrunExecutor(race.directory.path, group)


def broadcast_specs(race: "StudyRunner", specs: "list[RunSpec]", group: "ProcessGroup") -> "list[RunSpec]":
    """`specs` as the first rank gives them, for all ranks to run the same."""
    every = list(race.study.specs())
    wanted = {spec.directory for spec in specs}
    told = group.broadcast([spec.directory in wanted for spec in every])
    return [spec for spec, one in zip(every, told, strict=True) if one]


def follow(race: "StudyRunner", group: "ProcessGroup") -> None:
    """Take part in the runs of the first rank, which speaks and writes."""
    together(race, group).follow(broadcast_specs(race, [], group))


def watch(happening: "Generator[Event]", runs: int, task: "Task", as_json: bool = False) -> None:
    """Show how so many runs of `task` go, while they go."""
    from rich.console import Console

    from fidrace.report.progress import JsonLines, Live, PlainLines, Reporter

    console = Console(stderr=True)
    reporter: Reporter
    if as_json:
        reporter = JsonLines()
    elif console.is_terminal:
        reporter = Live(runs, task.quality.metric, task.budget.evaluation_steps()[-1], console)
    else:
        reporter = PlainLines(runs, task.quality.metric)
    with reporter, closing(happening) as events:
        for event in events:
            reporter.hear(event)


def conclude(race: "StudyRunner", as_json: bool) -> None:
    """Score the folder, write its tables and its page, and show them."""
    from fidrace.console import say
    from fidrace.report.page.build import FolderContent, write_page
    from fidrace.report.progress import emit
    from fidrace.report.publish import publish
    from fidrace.report.terminal import make_console, print_scores

    folder = race.directory.path
    with race.directory.lock():
        race.directory.collect()
        found = FolderContent.of(folder)
        if found.scores:
            publish(folder, found.scores)
        path = write_page(folder, found, race.study.methods_path)
    scores = found.scores
    if scores is None:
        say(f"{folder}: {found.reason}")
        if as_json:
            emit("study_ended", sys.stdout, failed=len(race.failures()), headline=found.reason, leaderboard=[])
        return
    if as_json:
        leaderboard = scores.leaderboard.astype(object).where(scores.leaderboard.notna(), None).to_dict("records")
        emit("study_ended", sys.stdout, failed=len(race.failures()), headline=scores.headline(), leaderboard=leaderboard)
        return
    print_scores(scores, make_console())
    say(f"tables and pictures: {folder}; to look at: {path}")
