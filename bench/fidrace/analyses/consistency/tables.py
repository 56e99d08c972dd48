"""What a comparison of generators says, as tables and in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from torch import Tensor

from fidrace.analyses.consistency.agreement import Agreement, agreement, distances, interval
from fidrace.analyses.consistency.pairs import AMONG, NEITHER, OTHER_SEED, Pair
from fidrace.method.base import Floats
from fidrace.spec.study import BASELINE
from fidrace.spec.task import Task
from fidrace.storage.atomic import Row

SPACES = ("pixels", "features")
UNTRAINED = "untrained, outputs drawn at random"
SHUFFLED = "baseline, one side's latents shuffled"
GAUSSIAN, EXACT = "Gaussian denoiser", "exact denoiser"  # generators, and below the groups of their pairs
AGAINST = f"{BASELINE} against the {{}}"
Reached = Mapping[tuple[str, int], float]  # Fréchet distances by run and iteration


class Images(Protocol):
    """What a generator makes of the latents."""

    @property
    def pixels(self) -> Tensor: ...

    @property
    def features(self) -> Tensor: ...


@dataclass(frozen=True)
class Compared:
    """A pair at an iteration, in one space."""

    iteration: int
    pair: Pair
    space: str
    found: Agreement


@dataclass
class Comparison:
    """All that was compared, on the same `drawn` [R, N] resamples of the latents; `real`: by space, how far different real
    images lie apart."""

    drawn: Floats
    all: list[Compared] = field(default_factory=list)
    real: dict[str, float] = field(default_factory=dict)

    def add(self, iteration: int, pairs: Sequence[Pair], images: Mapping[str, Images]) -> None:
        for pair in pairs:
            for space in SPACES:
                apart = distances(*(getattr(images[name], space) for name in (pair.a, pair.b)))
                self.all.append(Compared(iteration, pair, space, agreement(apart, self.drawn)))

    def add_real(self, images: Images) -> None:
        for space in SPACES:
            apart = distances(*[getattr(images, space)] * 2)
            self.real[space] = float(apart.sum() / (len(apart) * (len(apart) - 1)))


def pair_table(comparison: Comparison, task: str, reached: Reached) -> pd.DataFrame:
    """One row per iteration, pair and space; ci_low, ci_high: 95 %, over latents, of these two networks."""
    rows = []
    for one in comparison.all:
        low, high = interval(one.found.resampled)
        rows.append(
            {
                "task": task,
                "iteration": one.iteration,
                "group": one.pair.group,
                "a": one.pair.a,
                "b": one.pair.b,
                "space": one.space,
                "shared": one.found.shared,
                "different": one.found.different,
                "score": one.found.score,
                "ci_low": low,
                "ci_high": high,
                "matched": one.found.matched,
                "fd_a": reached.get((one.pair.a, one.iteration), np.nan),
                "fd_b": reached.get((one.pair.b, one.iteration), np.nan),
            }
        )
    return pd.DataFrame(rows)


def group_table(comparison: Comparison, task: str) -> pd.DataFrame:
    """One row per iteration, group and space: the mean score of the group's pairs, its interval over latents and its standard
    error over seeds, the least and the greatest; and for a subject against the baseline of another seed how far it lies beyond
    both kinds among themselves, with the same two.
    """
    gathered: dict[tuple[int, str], list[Compared]] = {}
    for one in comparison.all:
        gathered.setdefault((one.iteration, one.space), []).append(one)
    rows = []
    for (iteration, space), compared in gathered.items():
        groups = dict.fromkeys(one.pair.group for one in compared)
        rows += [{"task": task, "iteration": iteration, **group_row(compared, group, space)} for group in groups]
    return pd.DataFrame(rows)


def group_row(compared: Sequence[Compared], group: str, space: str) -> Row:
    """Of one group, among all that was compared at an iteration in a space."""
    found = [one.found for one in compared if one.pair.group == group]
    low, high = interval(np.mean([one.resampled for one in found], axis=0))
    row: Row = {"group": group, "space": space, "pairs": len(found)}
    row |= {"score": mean_score(compared, group), "ci_low": low, "ci_high": high}
    row["seed_se"] = jackknife(compared, lambda kept: mean_score(kept, group))
    row |= {"least": min(one.score for one in found), "greatest": max(one.score for one in found)}
    row |= {"matched": np.mean([one.matched for one in found]), "different": np.mean([one.different for one in found])}
    low, high = interval(beyond(compared, group, lambda one: one.resampled))
    row |= {"beyond": float(beyond(compared, group, lambda one: one.score)), "beyond_low": low, "beyond_high": high}
    return row | {"beyond_seed_se": jackknife(compared, lambda kept: float(beyond(kept, group, lambda one: one.score)))}


def mean_score(compared: Sequence[Compared], group: str) -> float:
    """NaN where there is no pair of the group."""
    found = [one.found.score for one in compared if one.pair.group == group]
    return float(np.mean(found)) if found else float("nan")


def beyond(compared: Sequence[Compared], group: str, value: Callable[[Agreement], Any]) -> Any:
    """Score between a subject and the baseline, less the mean of the two among themselves, seeds different throughout: 0 where
    the subject differs from the baseline no more than one seed from another. NaN for other groups.
    """
    head, tail = OTHER_SEED.split("{}")
    subject = group.removeprefix(head).removesuffix(tail)
    values = [
        [value(one.found) for one in compared if one.pair.group == name] for name in (group, NEITHER, AMONG.format(subject))
    ]
    if not group.endswith(tail) or not all(values):
        return np.nan
    between, own, other = (np.mean(several, axis=0) for several in values)
    return between - (own + other) / 2


def jackknife(compared: Sequence[Compared], statistic: Callable[[Sequence[Compared]], float]) -> float:
    """The standard error of a statistic over seeds, each left out in turn with all pairs in which it has a part; NaN where the
    statistic needs more seeds than then are left."""
    seeds = sorted(frozenset[int]().union(*(one.pair.seeds for one in compared)))
    found = [statistic([one for one in compared if seed not in one.pair.seeds]) for seed in seeds]
    return float(np.sqrt((len(found) - 1) * np.var(found))) if found else float("nan")


def findings(groups: pd.DataFrame, comparison: Comparison, task: Task, latents: int, reached: Reached) -> list[str]:
    """What a person reads first."""
    last = groups["iteration"].max()
    end = groups[(groups["iteration"] == last) | (groups["group"] == UNTRAINED)]
    lines = [
        f"{task.name} at iteration {last}, {latents} latents, DDIM in {task.sampler.steps} steps. 0: the same function; 1: a "
        "shared latent tells nothing. Mean over pairs (least, greatest); matched: images nearest to that of their latent",
        f"  {'':44} pairs  {'pixels':22} {'features':22} matched",
    ]
    for group in end["group"].unique():
        rows = {space: end[(end["group"] == group) & (end["space"] == space)].iloc[0] for space in SPACES}
        cells = [f"{row['score']:.3f} ({row['least']:.3f}, {row['greatest']:.3f})" for row in rows.values()]
        lines.append(f"  {group:44} {rows[SPACES[0]]['pairs']:5}  {cells[0]:22} {cells[1]:22} {rows[SPACES[0]]['matched']:.0%}")
    return [*lines, *growth(groups), *excesses(end), *diversity(end, comparison), *quality(reached, last)]


def growth(groups: pd.DataFrame) -> list[str]:
    """How the score of unrelated networks moves over training."""
    lines = []
    for space in SPACES:
        rows = groups[(groups["group"] == NEITHER) & (groups["space"] == space)]
        told = ", ".join(f"{score:.3f} at {n}" for n, score in zip(rows["iteration"], rows["score"], strict=True))
        lines.append(f"over training, neither shared, {space}: {told}")
    first = groups[(groups["group"] == NEITHER) & (groups["iteration"] == 0)]
    if len(first) and (first["score"] == 0).all():
        lines.append("at iteration 0 all networks are one function, their outputs being zero: that 0 is by construction")
    return lines


def excesses(end: pd.DataFrame) -> list[str]:
    """How much further each subject is from the baseline than seeds are from each other."""
    lines = []
    for row in end[end["beyond"].notna()].to_dict("records"):
        seeds = "" if np.isnan(row["beyond_seed_se"]) else f", standard error over seeds {row['beyond_seed_se']:.3f}"
        lines.append(
            f"{row['group']}, {row['space']}: {row['beyond']:+.3f} ({row['beyond_low']:+.3f} to {row['beyond_high']:+.3f} over "
            f"latents{seeds}) beyond what two seeds of one kind differ by"
        )
    return lines


def diversity(end: pd.DataFrame, comparison: Comparison) -> list[str]:
    """Whether images are alike because all of them are."""
    lines = []
    for space in SPACES:
        found = end[(end["group"] == NEITHER) & (end["space"] == space)]["different"].iloc[0]
        lines.append(
            f"images of different latents lie {found:.3g} apart in {space}, different real images {comparison.real[space]:.3g}"
        )
    return lines


def quality(reached: Reached, last: int) -> list[str]:
    """The distances that the compared networks had reached."""
    by_kind: dict[str, list[float]] = {}
    for (name, iteration), fd in reached.items():
        if iteration == last:
            by_kind.setdefault(name.partition(" seed ")[0], []).append(fd)
    told: list[Any] = [f"{kind.removesuffix('/' + BASELINE)} {np.mean(found):.1f}" for kind, found in by_kind.items()]
    return [f"mean Fréchet distance reached: {', '.join(told)}"]
