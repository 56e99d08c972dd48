"""A run's published evaluations beside those of the same run trained again.

On one kind of CPU with one torch they are equal to the last digit. Elsewhere sums are rounded otherwise, and training carries
that on: then a distance may be off by a tenth of its own standard error, a held-out loss by a ten-thousandth, a share by 0.02.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fidrace.storage.atomic import Row

NAMES = ("task", "method", "seed", "metric")
COUNTS = ("iteration", "images", "forwards", "backwards", "flops")
TIMES = ("train_seconds",)
LATER = ("grad_norm", "grad_norm_max")  # measured since tables were first published, so older ones lack them
SHARES = ("precision", "recall", "memorised")
LOSS = "val_loss"  # how columns of held-out losses begin
OF_ERROR = 0.1  # of fd_se, for fd
OF_LOSS = 1e-4  # relative, for held-out losses
OF_SHARE = 0.02
OF_OTHERS = 0.05  # relative: fd_se itself, gradients' norms, kernel distances


@dataclass(frozen=True)
class Cell:
    """A measured value: its published text, and the text that training again gave."""

    iteration: str
    column: str
    published: str
    again: str
    allowed: float

    @property
    def is_equal(self) -> bool:
        return self.published == self.again

    @property
    def off(self) -> float:
        """How far it is off, as a share of what is allowed; infinite if one of both is no number or not there."""
        if self.is_equal:
            return 0.0
        try:
            apart = abs(float(self.published) - float(self.again))
        except ValueError:
            return math.inf
        if not math.isfinite(apart) or not math.isfinite(self.allowed) or (apart > 0 and not self.allowed):
            return math.inf
        return apart / self.allowed if apart else 0.0

    def __str__(self) -> str:
        told = [cell or "empty" for cell in (self.published, self.again)]
        return f"iteration {self.iteration}: {self.column} is {told[0]}, and {told[1]} trained again"


@dataclass(frozen=True)
class Retrained:
    """All cells of one run, and lines about evaluations and columns that only one of both has."""

    cells: list[Cell]
    missing: list[str]

    @property
    def same_arithmetic(self) -> bool:
        """True if more than a tenth of the held-out losses after iteration 0 are equal to the last digit, which rounding leaves
        hardly one of: then everything must be."""
        losses = [cell.is_equal for cell in self.cells if cell.column.startswith(LOSS) and cell.iteration != "0"]
        return sum(losses) > len(losses) / 10

    def faults(self) -> list[str]:
        """What cannot be due to rounding, a line each; of equal arithmetic a digit that changes no number either."""
        wrong = (cell for cell in self.cells if (not cell.is_equal if self.same_arithmetic else cell.off > 1))
        return [*self.missing, *map(str, wrong)]

    def describe(self) -> str:
        """One line: how much is equal, and what is furthest off."""
        measured = [cell for cell in self.cells if cell.allowed]
        equal, worst = sum(cell.is_equal for cell in measured), self.furthest()
        if not worst:
            return f"all {equal} measured values are equal to the last digit"
        off = f", {100 * worst.off:.2g} % of what rounding may do" if worst.off <= 1 else ""
        return f"{equal} of {len(measured)} measured values are equal to the last digit; furthest off{off}: {worst}"

    def furthest(self) -> Cell | None:
        """The cell that is furthest off, if one is."""
        return max((cell for cell in self.cells if not cell.is_equal), key=lambda cell: cell.off, default=None)


def compare(published: Sequence[Row], again: Sequence[Row]) -> Retrained:
    """The evaluations of one run, as rows of two evals.csv whose cells are text."""
    if not published:
        return Retrained([], ["it has no evaluations"])
    ours, theirs = ({row["iteration"]: row for row in rows} for rows in (again, published))
    missing = [f"iteration {n} is in one of both only" for n in sorted(ours.keys() ^ theirs.keys(), key=float)]
    columns = [name for name in published[0] if name not in TIMES]
    missing += [f"column {name} is not measured any more" for name in columns if name not in again[0]]
    later = () if any(name in published[0] for name in LATER) else LATER
    missing += [f"column {name} is not there" for name in again[0] if name not in (*published[0], *later)]
    cells = [
        cell for n, row in theirs.items() if n in ours for cell in pair(row, ours[n], [c for c in columns if c in again[0]])
    ]
    return Retrained(cells, missing)


def pair(published: Row, again: Row, columns: Sequence[str]) -> Iterator[Cell]:
    for name in columns:
        yield Cell(published["iteration"], name, published[name], again[name], allowance(name, published))


def allowance(column: str, row: Row) -> float:
    """How far a cell of `row` may be off where sums are rounded otherwise; 0: not at all."""
    if column in (*NAMES, *COUNTS):
        return 0.0
    if column in SHARES:
        return OF_SHARE
    try:
        if column == "fd":
            return OF_ERROR * float(row["fd_se"])
        return abs(float(row[column])) * (OF_LOSS if column.startswith(LOSS) else OF_OTHERS)
    except (KeyError, ValueError):
        return 0.0
