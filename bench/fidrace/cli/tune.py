"""`fidrace tune`: the same settings tried for methods and baseline alike, before they are raced."""

import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli import options
from fidrace.cli.shared import require_training
from fidrace.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# The seeds that methods are tuned with are not those raced later (0, 1, 2, ...), nor those of targets (100, 101, ...).
FIRST_SEED = 200
Over = Annotated[
    list[str],
    typer.Option("--over", metavar="KEY=log|lin:LOW:HIGH", help="A setting and its range: optimizer.lr=log:1e-4:1e-2."),
]


def tune(
    source: options.Source = "digits",
    method: options.Methods = [],
    over: Over = [],
    trials: Annotated[
        int, typer.Option(metavar="N", help="Settings that each method is tried with, the task's own first.")
    ] = 8,
    seeds: Annotated[
        str, typer.Option(metavar="N|a,b,c", help="Tuning seeds, never raced later. A count of 2 means 200 and 201.")
    ] = "2",
    budget: options.Budget = None,
    target: options.Target = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: results/local/tune-<study>.")] = None,
    workers: options.Workers = None,
    device: options.Device = "auto",
    change: options.Change = [],
    methods_path: options.MethodsPath = [],
    retry_failed: options.RetryFailed = False,
) -> None:
    """Tune methods and the baseline alike, before they are raced.

    Every method and the baseline are tried with the same settings (quasi-random points of the ranges) and the same seeds, which
    are not raced later. The best of each comes to the target soonest. tuning.csv in DIR has all trials and what they cost.

    \b
    Examples:
      fidrace tune digits -m muon -m lion --over optimizer.lr=log:3e-4:3e-2
      fidrace run digits --tuned results/local/tune-digits
    """
    require_training("fidrace tune")
    from fidrace.cli.analyze import run_series
    from fidrace.console import say
    from fidrace.execute.study_runner import default_out
    from fidrace.method.registry import Registry
    from fidrace.score.tuning import tabulate, write_tuning
    from fidrace.spec.study import define_study
    from fidrace.spec.tuning import parse_range, trials_of
    from fidrace.spec.user_input import BASELINE, parse_assignment, parse_seeds, parse_target

    changes, goal = dict(map(parse_assignment, change)), parse_target(target)
    ranges = [parse_range(text) for text in over]
    plain = define_study(source, method, None, budget, goal, changes, methods_path)
    names = list(dict.fromkeys([BASELINE, *plain.methods]))
    tried = trials_of(names, ranges, trials, plain.own_task, Registry(methods_path))
    first = 0 if "," in seeds else FIRST_SEED
    numbers = [first + seed for seed in parse_seeds(seeds)]
    study = define_study(source, [one.raced_as for one in tried], numbers, budget, goal, changes, methods_path)
    if isinstance(study.target, str):
        raise InputError(
            f"{source}: methods are tuned to a target that is known before; give --target FD, or `fidrace target` sets it"
        )
    study = replace(study, name=f"tune-{plain.name}", contrasts=())
    folder = out or default_out(study)
    refuse_other_study(folder, study.name)
    say(f"{len(names)} methods x {trials} trials, over {', '.join(map(str, ranges))}; seeds {', '.join(map(str, numbers))}")
    run_series({"": study}, folder, workers, device, retry_failed)
    table = tabulate(folder, tried, ranges, numbers)
    print_tuning(table, len(numbers))
    say(f"all trials: {write_tuning(folder, table)}")
    again = [word for text in change for word in ("--set", text)] + (["--budget", str(budget)] if budget else [])
    again += ["--target", target] if target else []
    say(f"race what they chose: {shlex.join(['fidrace', 'run', source, *again, '--tuned', str(folder)])}")


def refuse_other_study(folder: Path, name: str) -> None:
    """Raise InputError if `folder` holds a study that is not this tuning."""
    from fidrace.storage.study_folder import StudyFolder

    directory = StudyFolder(folder)
    if directory.holds_study() and directory.manifest().name != name:
        raise InputError(f"{folder} holds a study that is not the tuning {name}; choose another --out")


def print_tuning(table: "pd.DataFrame", seeds: int) -> None:
    """What is chosen for each method, beside the task's own setting."""
    from fidrace.report.terminal import make_console, print_in_parts

    rows, edges = [], []
    for method, own in table.groupby("method", sort=False):
        first, best = own[own["trial"] == 0].iloc[0], own[own["chosen"] == "yes"].iloc[0]
        before, after = ("-" if math.isnan(row["iterations"]) else f"{row['iterations']:.0f}" for row in (first, best))
        factor = "-" if math.isnan(best["factor"]) else f"{best['factor']:.2f}×"
        arrived, spent = f"{best['reached']}/{seeds}", f"{own['spent'].sum():.0f}"
        rows.append([str(method), before, after, factor, arrived, best["settings"], spent])
        edges += [f"{method}: {best['at_edge']}"] if best["at_edge"] else []
    heading = ["method", "untuned", "tuned", "best / best", "reached", "settings", "iterations spent"]
    print_in_parts(make_console(), "iterations to the target, by the task's own setting and by the best", heading, rows)
    print("best / best: of the seeds that they were chosen by, so it flatters both; race them for a factor.")
    if edges:
        print(f"the lowest or highest that was tried: {'; '.join(edges)}. A wider range may hold a better one.")
