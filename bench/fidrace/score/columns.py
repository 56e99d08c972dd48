"""What the columns of other people's tables mean: methods, distances, and what training is counted in."""

from collections.abc import Iterable
from pathlib import Path

from fidrace.errors import InputError, nearest

DISTANCES = ("fd", "fid")
# Columns that count training, with the unit of the table and how many of `images` one of it is (0: none), the preferred first.
PROGRESS = {
    "iteration": ("iterations", 0.0),
    "iterations": ("iterations", 0.0),
    "iter": ("iterations", 0.0),
    "step": ("iterations", 0.0),
    "steps": ("iterations", 0.0),
    "global_step": ("iterations", 0.0),
    "kimg": ("kimg", 1e3),
    "mimg": ("Mimg", 1e6),
    "nimg": ("images", 1.0),
    "images": ("images", 1.0),
    "epoch": ("epochs", 0.0),
    "epochs": ("epochs", 0.0),
}
ITERATIONS = "iterations"
# How a distance was measured. Distances that differ in any of these do not compare.
DESCRIPTIONS = ("metric", "n", "n_samples", "num_samples", "reference", "reference_n", "sampler", "nfe", "guidance", "cfg")

# What is declared of an imported run, in runs.csv: images generated and real ones for each distance, how they were sampled, the
# global batch, and the average of the weights. Runs that differ in any of these do not compare.
FACTS = ("n", "reference_n", "sampler", "sampling_steps", "batch", "ema", "guidance")
MORE_FACTS = ("reference", "nfe", "repeats")  # compared too if told, and not missed if not
# The columns of other people's tables that tell them.
FACT_COLUMNS = {
    "n": ("n", "n_samples", "num_samples"),
    "guidance": ("guidance", "cfg"),
    **{name: (name,) for name in ("reference_n", "sampler", "sampling_steps", "batch", "ema", "reference", "nfe", "metric")},
}


def find_column(names: Iterable[str], wanted: Iterable[str]) -> str | None:
    """The first of `wanted` among `names`, whatever its case."""
    lower = {name.lower(): name for name in reversed([*names])}
    return next((lower[name.lower()] for name in wanted if name.lower() in lower), None)


def progress_column(path: Path, names: list[str], unit: str | None) -> tuple[str | None, str]:
    """The column that counts training and its unit, by `unit` if it is given: a unit, or a column's name. None if there is no
    such column; raises InputError if there is none for `unit`."""
    if unit is None:
        column = find_column(names, PROGRESS)
        return column, PROGRESS[column.lower()][0] if column else ITERATIONS
    names = [name for name in names if name.lower() not in ("method", "task", "seed", *DISTANCES, *DESCRIPTIONS)]
    column = find_column(names, (name for name, (its, _) in PROGRESS.items() if its == unit)) or find_column(names, [unit])
    if column is None:
        known = [PROGRESS[name.lower()][0] for name in names if name.lower() in PROGRESS]
        raise InputError(f"{path}: --unit {unit}: no column counts that{nearest(unit, dict.fromkeys([*known, *names]))}")
    return column, PROGRESS.get(column.lower(), (column,))[0]


def check_columns(path: Path, names: list[str], method: str | None, progress: str | None, distance: str | None) -> None:
    """Raise InputError with all columns that are missing, and the nearest names that are there."""
    missing = []
    for found, what, wanted in (
        (method, "methods", ("method",)),
        (progress, "progress", ("iteration", "step", "kimg", "nimg", "images", "epoch")),
        (distance, "distances", DISTANCES),
    ):
        if found is None:
            near = next((close for name in wanted if (close := nearest_name(name, names))), "")
            missing.append(f"of {what} ({', '.join(wanted)}{f'; did you mean {near!r}?' if near else ''})")
    if missing:
        raise InputError(f"{path}: no column {' and none '.join(missing)}; it has {', '.join(names[:12]) or 'none'}")


def nearest_name(wanted: str, names: list[str]) -> str:
    """The name that contains the wanted word or is spelt most like it; empty if none is."""
    from difflib import get_close_matches

    within = [name for name in names if wanted in name.lower()]
    return next(iter(within or get_close_matches(wanted, names, 1, 0.5)), "")
