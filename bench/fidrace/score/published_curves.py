"""Curves and speedups that papers published, as data: published_curves.csv has every point, published_curves.toml says where
each was read, which runs compare with which, and which factor the paper states."""

from dataclasses import dataclass, replace
from pathlib import Path

import pydantic
from pydantic import Field

from fidrace.errors import InputError
from fidrace.score.csv_table import read_csv_table
from fidrace.score.curves import Curve
from fidrace.score.reading import make_curves, read_evaluations
from fidrace.score.table_checks import RUN
from fidrace.spec.user_input import Model, read_toml, validate

FACTS = Path(__file__).with_name("published_curves.toml")
POINTS = Path(__file__).with_name("published_curves.csv")


class Source(Model):
    """A publication: its title, where in it the points stand, and how far they may be off if they were not printed."""

    key: str
    title: str
    read_in: str
    inexact: str = ""


class Pairs(Model):
    """Runs of one source that compare, [baseline, method] on each of the tasks, and the factor that it states for them."""

    source: str
    tasks: tuple[str, ...] = Field(min_length=1)
    runs: tuple[tuple[str, str], ...] = Field(min_length=1)
    factor: float | None = Field(default=None, gt=0)
    divides: str = ""
    factor_read_in: str = ""

    @pydantic.model_validator(mode="after")
    def _says_where_the_factor_stands(self) -> "Pairs":
        if len({self.factor is None, not self.divides, not self.factor_read_in}) > 1:
            raise ValueError("factor, divides and factor_read_in go together")
        return self


class Facts(Model):
    source: tuple[Source, ...] = Field(min_length=1)
    pair: tuple[Pairs, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Pair:
    """A baseline and a method on one task of a source, their two curves, and what the source states of them."""

    source: Source
    task: str
    baseline: Curve
    method: Curve
    stated: Pairs

    @property
    def name(self) -> str:
        return f"{self.method.method} {self.task}"

    @property
    def has_curves(self) -> bool:
        """True if both runs have more than one point."""
        return min(len(self.baseline.fd), len(self.method.fd)) > 1


@dataclass(frozen=True)
class Published:
    """All sources by key, their curves, and the pairs among these."""

    sources: dict[str, Source]
    curves: dict[str, list[Curve]]
    pairs: tuple[Pair, ...]


def load_published(facts: Path = FACTS, points: Path = POINTS) -> Published:
    """The published curves; raises InputError if a file is invalid or the two name different sources or runs."""
    told, curves = validate(Facts, read_toml(facts), str(facts)), read_points(points)
    sources = {source.key: source for source in told.source}
    for key in sources.keys() ^ curves.keys():
        raise InputError(f"source {key!r} stands in only one of {facts} and {points}")
    runs = {(key, curve.task, curve.method): curve for key, own in curves.items() for curve in own}
    pairs = []
    for stated in told.pair:
        for task, names in ((task, names) for names in stated.runs for task in stated.tasks):
            for name in names:
                if (stated.source, task, name) not in runs:
                    raise InputError(f"{facts}: {stated.source} has no run {name!r} on {task!r} in {points}")
            baseline, method = (runs[stated.source, task, name] for name in names)
            pairs.append(Pair(sources[stated.source], task, baseline, method, stated))
    return Published(sources, curves, tuple(pairs))


def read_points(path: Path) -> dict[str, list[Curve]]:
    """The curves of each source, which counts training in one `unit`: the name that `progress` would have in its own table."""
    file = read_csv_table(path, {"source", "task", "method", "unit"})
    curves: dict[str, list[Curve]] = {}
    for (source, unit), rows in file.table.groupby(["source", "unit"], sort=False):
        evals, counted_in, *_ = read_evaluations(replace(file, table=rows.rename(columns={"progress": unit})), None)
        curves[str(source)] = make_curves(evals[RUN].drop_duplicates().assign(status="finished"), evals, counted_in)
    return curves
