"""`fidrace import`: other people's logs as runs that can be scored."""

import re
from pathlib import Path
from typing import Annotated

import typer

from fidrace.errors import InputError, nearest


def import_logs(
    reader: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="csv, jsonl, k-diffusion, flow-matching, openai, edm, dit, tensorboard, wandb, or an installed one.",
            show_default=False,
        ),
    ],
    paths: Annotated[list[Path], typer.Argument(metavar="FILE", help="The files of the runs.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of tables to add the runs to.", show_default=False)],
    method: Annotated[str, typer.Option(metavar="NAME", help="The method, if the files hold one run.")] = "",
    seed: Annotated[str, typer.Option(metavar="N", help="The run's seed, if it is known.")] = "",
    columns: Annotated[
        list[str], typer.Option(metavar="OURS=THEIRS,...", help="Names in the file, as step=iternum,fid=FID. Repeat.")
    ] = [],
    wide: Annotated[str, typer.Option(metavar="A,B,...", help="Columns that each hold one method's distances.")] = "",
    where: Annotated[
        list[str], typer.Option(metavar="NAME=VALUE", help="Only rows, or checkpoints, with this value. Repeat.")
    ] = [],
    rename: Annotated[
        list[str], typer.Option(metavar="NAME=METHOD[:SEED]", help="A run of the file is this method's. Repeat.")
    ] = [],
    fact: Annotated[
        list[str],
        typer.Option(
            metavar="FACT=VALUE", help="How FID was measured: n, reference_n, sampler, sampling_steps, batch, ema, guidance."
        ),
    ] = [],
    allow: Annotated[list[str], typer.Option(metavar="FACT", help="Runs may differ in this fact. Repeat.")] = [],
    repeats: Annotated[
        str, typer.Option(metavar="mean|first|last|min", help="What to take of several distances of one checkpoint.")
    ] = "",
    progress: Annotated[
        str, typer.Option(metavar="UNIT=PATTERN", help="How names of checkpoints tell it: 'epoch=ep([0-9]+)'.")
    ] = "",
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="What the distance is called, if the file's name is another.")
    ] = "",
    status: Annotated[
        str, typer.Option(metavar="STATUS", help="How the run ended: finished, diverged, failed or running.")
    ] = "finished",
    task: Annotated[str, typer.Option(metavar="NAME", help="What was trained, if tables should name it.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Put these runs in the place of those of the same name.")] = False,
) -> None:
    """Make other people's logs into tables for `fidrace score`.

    Writes DIR/runs.csv, DIR/evals.csv and DIR/imported.json, or nothing. Call it once for each run: runs are added.

    \b
    Examples:
      fidrace import k-diffusion edm_metrics.csv --method edm --seed 0 \\
          --fact n=2000 --out logs
      fidrace import csv table.csv --columns kimg=iternum --wide edm,mine \\
          --out logs
      fidrace import edm run-0 fids.txt --method edm --out logs
      fidrace score logs --baseline edm --target 2.0
    """
    from fidrace.console import say
    from fidrace.readers import importing
    from fidrace.readers.log import Wanted

    parts = ((text, text.split(",")) for text in columns)  # a name may hold a comma
    chosen = dict(
        pairs_of("--columns", [one for text, some in parts for one in (some if all("=" in s for s in some) else [text])])
    )
    names = tuple(filter(None, (name.strip() for name in wide.split(","))))
    wanted = Wanted(chosen, dict(pairs_of("--where", where)), names, repeats, parse_progress(progress))
    renamed = {name: split_seed(text) for name, text in pairs_of("--rename", rename, last=True)}
    facts = dict(pairs_of("--fact", fact))
    told = importing.Told(method, seed, renamed, task, metric, status, facts, allow, replace)
    runs = importing.import_logs(reader, paths, out, wanted, told)
    for remark in dict.fromkeys(remark for run in runs for remark in run.remarks):
        say(remark)
    for run in runs:
        count = len(run.evaluations)
        first, last = run.evaluations[0].progress, run.evaluations[-1].progress
        place = f"{first:g}" if count == 1 else f"{first:g} to {last:g}"
        said = ", ".join(f"{name} {value}" for name, value in run.facts.items()) or "how FID was measured is not told"
        say(f"{run.name}: {count} evaluation{'s' * (count != 1)}, {run.unit} {place}; {said}")
    say(f"in {out}; `fidrace score {out} --baseline NAME --target FD` compares them")


def pairs_of(option: str, texts: list[str], last: bool = False) -> list[tuple[str, str]]:
    """NAME=VALUE pairs, parted at the first = or the last; raises InputError for what is none, and for a name given twice."""
    pairs: list[tuple[str, str]] = []
    for text in texts:
        name, equals, value = (part.strip() for part in (text.rpartition("=") if last else text.partition("=")))
        if not equals or not name or not value:
            raise InputError(f"{option} {text}: write NAME=VALUE")
        if name in (known for known, _ in pairs):
            raise InputError(f"{option}: {name!r} is given twice")
        pairs.append((name, value))
    return pairs


def parse_progress(text: str) -> "tuple[str, re.Pattern[str]] | None":
    """`epoch=ep([0-9]+)` as a unit and a pattern; raises InputError for an unknown unit, and for a pattern without a group."""
    from fidrace.score.columns import PROGRESS

    if not text:
        return None
    column, _, pattern = text.partition("=")
    if column.strip().lower() not in PROGRESS:
        raise InputError(f"--progress {text}: begin with what it counts{nearest(column, PROGRESS)}")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--progress {text}: {error}") from None
    if not compiled.groups:
        raise InputError(f"--progress {text}: put the number into parentheses, as in 'epoch=ep([0-9]+)'")
    return PROGRESS[column.strip().lower()][0], compiled


def split_seed(text: str) -> tuple[str, str]:
    """`mine:3` as method and seed; a name without a number after its last colon has no seed."""
    method, colon, seed = text.rpartition(":")
    return (method, seed) if colon and method and seed.isdecimal() else (text, "")
