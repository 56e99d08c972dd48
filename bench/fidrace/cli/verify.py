"""`fidrace verify`: train some published runs again, and make every published table anew."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli import options
from fidrace.cli.shared import GATE, fail, require_training
from fidrace.errors import InputError, NothingToConclude

if TYPE_CHECKING:
    from fidrace.execute.recorded_study import RecordedRun


def verify(
    folder: options.Folder,
    runs: Annotated[int, typer.Option(metavar="K", help="How many runs are trained again.")] = 2,
    seed: Annotated[int | None, typer.Option(metavar="N", help="What draws them: a number of your own.")] = None,
    tables_only: Annotated[bool, typer.Option("--tables-only", help="Train nothing: a second.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the runs here. Default: they are removed.")] = None,
    workers: options.Workers = None,
    device: options.Device = "cpu",
    change: options.Change = [],
    methods_path: options.MethodsPath = [],
) -> None:
    """Train published runs again, and make every table anew.

    A run that is trained again must give every number of its rows: to the last digit on the same kind of CPU with the same
    torch, and elsewhere within a tenth of its standard error. Each difference is a line; exit code 1 if there is one.

    \b
    Examples:
      fidrace verify digits --seed 7
      fidrace verify results/digits-field --runs 5 --seed 12345
      fidrace verify my-results --tables-only
    """
    from fidrace.packaged import find_tables

    place = find_tables(folder)
    if not tables_only and seed is None:
        raise InputError("--seed: draw the runs by a number of your own, as --seed 7; --tables-only trains none")
    if runs < 1 or (seed is not None and seed < 0):
        raise InputError(f"--runs {runs}, --seed {seed}: write a count from 1 and a number from 0")
    faults, changed = verify_tables(place, str(folder), methods_path)
    if not tables_only:
        require_training("fidrace verify")
        from fidrace.execute.recorded_study import draw_runs

        drawn = draw_runs(place, runs, int(seed or 0), changed)
        faults += verify_runs(place, drawn, out, workers, device, change, methods_path)
    if changed and not tables_only and not faults:
        raise NothingToConclude(f"{folder}: nothing was verified of {', '.join(changed)}, whose code has changed")
    if faults:
        fail(f"{folder}: {faults} {'difference' if faults == 1 else 'differences'}", GATE)


def tell(text: str) -> None:
    """Print one line, whatever a table of somebody else's has in it."""
    from fidrace.console import printable

    print(printable(text))


def verify_tables(place: Path, name: str, methods_path: list[str]) -> tuple[int, list[str]]:
    """Print what is wrong with the tables in `place`; the number of faults, and methods whose code is not what it was."""
    from fidrace.method.registry import Registry
    from fidrace.report.declaration_audit import changed_code, declaration_faults, describe_declaration
    from fidrace.report.table_audit import table_faults
    from fidrace.storage.manifest import read_manifest

    if not (place / "study.json").exists():
        raise InputError(f"{place}: no study.json, which says what was declared; there is nothing to verify it by")
    manifest = read_manifest(place / "study.json")
    registry, faults = Registry(methods_path), 0
    for fault in declaration_faults(place, manifest, registry):
        tell(fault)
        faults += 1
    try:
        for fault in table_faults(place):
            tell(fault)
            faults += 1
    except (InputError, NothingToConclude) as error:
        if not faults:
            raise
        tell(str(error))  # what is wrong with the study leaves nothing to score
        faults += 1
    if not faults:
        tell(f"{name}: its tables follow from its evals.csv, and its runs are those that it declares")
    tell(describe_declaration(manifest))
    if changed := changed_code(manifest, registry):
        tell(f"the code has changed since, so their runs are not trained again: {', '.join(changed)}")
    return faults, changed


def verify_runs(
    place: Path,
    drawn: "list[RecordedRun]",
    out: Path | None,
    workers: int | None,
    device: str,
    change: list[str],
    methods_path: list[str],
) -> int:
    """Train the runs in `drawn` again and print how far each is off; the number of differences that are not rounding."""
    from fidrace.cli.analyze import run_series
    from fidrace.execute.recorded_study import made, recorded_studies
    from fidrace.score.retrained import compare
    from fidrace.spec.user_input import parse_assignment
    from fidrace.storage.tables import read_rows

    studies = recorded_studies(place, drawn, dict(map(parse_assignment, change)), methods_path)
    published = read_rows(place / "evals.csv")
    faults = 0
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run_series(studies, folder, workers, device, False)
        for run, home in zip(drawn, studies, strict=True):
            rows = [row for row in published if (row["method"], row["seed"]) == (run.method, str(run.seed))]
            found = compare(rows, read_rows(folder / home / "evals.csv"))
            tell(f"{run}: {found.describe()}")
            if found.furthest():
                (row,) = read_rows(folder / home / "runs.csv")
                tell(f"  published: {run.made}; again: {made(row)}")
            for line in (told := found.faults()):
                tell(f"  differs: {line}")
            faults += len(told)
    return faults
