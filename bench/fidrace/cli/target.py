"""`fidrace target`: sets a study's target by the protocol's rule, before other methods are raced."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli.analyze import run_series
from fidrace.cli.options import Budget, Change, Device, RetryFailed, Workers
from fidrace.cli.shared import require_training
from fidrace.errors import InputError
from fidrace.packaged import find_tables

if TYPE_CHECKING:
    from fidrace.spec.study import Study

# The seeds of a target are not those raced later (0, 1, 2, ...): a target set from the baseline's own runs would sit where
# these runs cross at 0.6 of the budget, and their scatter would be missing from every interval.
FIRST_SEED = 100


def target(
    source: Annotated[str, typer.Argument(metavar="DIR|TASK", help="A folder of baseline runs, or a task or study to race.")],
    seeds: Annotated[
        str | None, typer.Option(metavar="N|a,b,c", help="Seeds of the baseline. Default: 5, which means 100 to 104.")
    ] = None,
    budget: Budget = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: results/local/<study>.")] = None,
    workers: Workers = None,
    device: Device = "auto",
    change: Change = [],
    retry_failed: RetryFailed = False,
) -> None:
    """Set the target of a study before other methods are raced.

    It is the baseline's median FD at 0.6 of the budget over at least 5 seeds, rounded up to two figures. TASK: race the
    baseline alone, then set it. DIR: set it from the runs there. Later runs in that folder race to it. Exit code 2 if other
    methods have run there, 3 if the runs give no target.

    \b
    Examples:
      fidrace target folder --set data.root=pictures
      fidrace target results/local/folder
    """
    if is_study_folder(source):
        if seeds or out or workers or device != "auto" or budget or change or retry_failed:
            raise InputError(f"target {source}: a folder takes no options; name a task to race the baseline")
        publish_target(find_tables(source), None)
        return
    require_training("racing the baseline")
    from fidrace.execute.study_runner import default_out
    from fidrace.spec.study import define_study, refuse_partial_grid
    from fidrace.spec.study_file import find_study
    from fidrace.spec.user_input import BASELINE, parse_assignment

    changes = dict(map(parse_assignment, change))
    if "budget.gpu_hours" in changes:
        raise InputError("--set budget.gpu_hours: a target is read at 0.6 of the iterations; use --budget")
    file, _ = find_study(source)
    if file.trainer:
        alone = f"fidrace run {source} -m BASELINE --seeds 100,101,102,103,104 --out DIR"
        raise InputError(f"target {source}: race its baseline alone with `{alone}`, and then `fidrace target DIR`")
    study = define_study(source, [BASELINE], parse_target_seeds(seeds or "5"), budget, None, changes)
    refuse_partial_grid(study, "a target is read off whole runs")
    folder = out or default_out(study)
    run_series({"": prepare_study(study, folder)}, folder, workers, device, retry_failed)
    options = [*(["--budget", str(budget)] if budget else []), *(word for text in change for word in ("--set", text))]
    publish_target(folder, ["fidrace", "run", source, *options, "--out", str(folder)])


def is_study_folder(source: str) -> bool:
    """True if `source` is the folder of a study, not the name of a task or study."""
    from fidrace.packaged import is_published_name, packaged_studies
    from fidrace.spec.task import task_names

    path = Path(source)
    if source in task_names() or source in packaged_studies():
        return any((path / name).exists() for name in ("study.json", "runs.csv"))
    return path.is_dir() or is_published_name(source)


def parse_target_seeds(text: str) -> str:
    """The value of --seeds as a list: a count starts at FIRST_SEED. Raises InputError as `parse_seeds` does."""
    from fidrace.spec.user_input import parse_seeds

    first = 0 if "," in text else FIRST_SEED
    return "".join(f"{first + seed}," for seed in parse_seeds(text))


def prepare_study(study: "Study", folder: Path) -> "Study":
    """`study` without a target, or with the one that `folder` has so far. Raises InputError for fewer seeds than a target
    needs and for a folder in which other methods have run, before anything is raced."""
    from fidrace.score.target_rule import MIN_SEEDS, refuse_other_methods
    from fidrace.storage.study_folder import StudyFolder

    directory = StudyFolder(folder)
    known = directory.manifest() if (folder / "study.json").exists() else None
    if known:
        rows = [*directory.rows(), *directory.rows_without_directory()]
        refuse_other_methods(folder, (str(row["method"]) for row in rows))
    seeds = {*study.seeds, *(known.seeds if known else ())}
    if len(seeds) < MIN_SEEDS:
        raise InputError(f"--seeds: a target needs at least {MIN_SEEDS} seeds, not {len(seeds)}")
    if known:
        return replace(study, target=known.target, target_how=known.target_how)
    return replace(study, target="baseline-final", target_how="not set yet: fidrace target")


def publish_target(folder: Path, command: list[str] | None) -> None:
    """Set the target of the study in `folder`, print it and the distances it follows from, and say what to run next. Tables
    without a study.json have nowhere to store it."""
    from fidrace.console import say
    from fidrace.score.target_rule import TARGET_SHARE, baseline_distances, rule_target, set_target
    from fidrace.storage.study_folder import StudyFolder

    directory = StudyFolder(folder)
    value = set_target(folder) if directory.holds_study() else rule_target(folder)[0]
    distances, budget = baseline_distances(folder)
    manifest = directory.manifest() if directory.holds_study() else None
    shown = " ".join(f"{fd:.2f}" for fd in sorted(distances))
    metric = manifest.metric if manifest else "FD"
    print(f"{metric} of the baseline at {TARGET_SHARE * budget:g} of {budget:g} iterations: {shown}")
    print(f"target: {value:g}")
    if manifest is None:
        say(f"not stored: {folder} has no study.json; `--target {value:g}` names it")
    elif command:
        say(f"stored in {folder}; race other methods to it: {shlex.join(command)}")
    else:
        task = shlex.join(["fidrace", "run", manifest.task, "--out", str(folder)])
        say(f"stored in {folder}; race other methods to it, by the options of these runs: {task}")
