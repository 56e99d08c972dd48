"""Scores of pairs of generators as tables, and the findings in words.

Tables carry `Group` objects in their column `group` until `format_groups` puts labels in their place, for files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from torch import Tensor

from fidrace.analyses.consistency.agreement import Agreement, measure_agreement, pairwise_distances, percentile_interval
from fidrace.analyses.consistency.pairs import NEITHER, GeneratorPair, Group, Relation, group_label
from fidrace.method.base import Floats
from fidrace.spec.task import Task
from fidrace.spec.user_input import BASELINE
from fidrace.storage.atomic import Row

SPACES = ("pixels", "features")
Distances = Mapping[tuple[str, int], float]  # Fréchet distances by run and iteration


class Images(Protocol):
    """What a generator makes of the latents."""

    @property
    def pixels(self) -> Tensor: ...

    @property
    def features(self) -> Tensor: ...


@dataclass(frozen=True)
class PairScore:
    """The agreement of a pair at an iteration, in one space."""

    iteration: int
    pair: GeneratorPair
    space: str
    agreement: Agreement


@dataclass
class PairScores:
    """The scores of all pairs, from the same `resamples` [R, N] of the latents; `real`: by space, the mean distance between
    different real images."""

    resamples: Floats
    all: list[PairScore] = field(default_factory=list)
    real: dict[str, float] = field(default_factory=dict)

    def add(self, iteration: int, pairs: Sequence[GeneratorPair], images: Mapping[str, Images]) -> None:
        for pair in pairs:
            for space in SPACES:
                distance = pairwise_distances(*(getattr(images[name], space) for name in (pair.a, pair.b)))
                self.all.append(PairScore(iteration, pair, space, measure_agreement(distance, self.resamples)))

    def add_real(self, images: Images) -> None:
        for space in SPACES:
            distance = pairwise_distances(*[getattr(images, space)] * 2)
            self.real[space] = float(distance.sum() / (len(distance) * (len(distance) - 1)))


def format_groups(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the label of each group in place of the group."""
    return table.assign(group=table["group"].map(group_label))


def pair_table(scores: PairScores, task: str, distances: Distances) -> pd.DataFrame:
    """One row per iteration, pair and space; ci_low, ci_high: 95 %, over latents, of these two generators."""
    rows = []
    for score in scores.all:
        pair, agreement = score.pair, score.agreement
        low, high = percentile_interval(agreement.resampled)
        rows.append(
            {
                "task": task,
                "iteration": score.iteration,
                "group": pair.group,
                "a": pair.a,
                "b": pair.b,
                "space": score.space,
                "shared": agreement.shared,
                "different": agreement.different,
                "score": agreement.score,
                "ci_low": low,
                "ci_high": high,
                "matched": agreement.matched,
                "fd_a": distances.get((pair.a, score.iteration), np.nan),
                "fd_b": distances.get((pair.b, score.iteration), np.nan),
            }
        )
    return pd.DataFrame(rows)


def group_table(scores: PairScores, task: str) -> pd.DataFrame:
    """One row per iteration, group and space: the mean score of the group's pairs with its interval over latents, its standard
    error over seeds, and its least and greatest; the same two uncertainties for `beyond` (see `excess_over_seeds`)."""
    by_place: dict[tuple[int, str], list[PairScore]] = {}
    for score in scores.all:
        by_place.setdefault((score.iteration, score.space), []).append(score)
    rows = []
    for (iteration, space), several in by_place.items():
        groups = dict.fromkeys(score.pair.group for score in several)
        rows += [{"task": task, "iteration": iteration, **group_row(several, group, space)} for group in groups]
    return pd.DataFrame(rows)


def group_row(scores: Sequence[PairScore], group: Group, space: str) -> Row:
    """The row of one group; `scores` are those of all groups at an iteration in a space."""
    own = [score.agreement for score in scores if score.pair.group == group]
    low, high = percentile_interval(np.mean([one.resampled for one in own], axis=0))
    row: Row = {"group": group, "space": space, "pairs": len(own)}
    row |= {"score": mean_score(scores, group), "ci_low": low, "ci_high": high}
    row["seed_se"] = jackknife_error(scores, lambda kept: mean_score(kept, group))
    row |= {"least": min(one.score for one in own), "greatest": max(one.score for one in own)}
    row |= {"matched": np.mean([one.matched for one in own]), "different": np.mean([one.different for one in own])}
    low, high = percentile_interval(excess_over_seeds(scores, group, lambda one: one.resampled))
    row |= {"beyond": float(excess_over_seeds(scores, group, lambda one: one.score)), "beyond_low": low, "beyond_high": high}
    error = jackknife_error(scores, lambda kept: float(excess_over_seeds(kept, group, lambda one: one.score)))
    return row | {"beyond_seed_se": error}


def mean_score(scores: Sequence[PairScore], group: Group) -> float:
    """NaN if the group has no pair."""
    values = [score.agreement.score for score in scores if score.pair.group == group]
    return float(np.mean(values)) if values else float("nan")


def excess_over_seeds(scores: Sequence[PairScore], group: Group, value: Callable[[Agreement], Any]) -> Any:
    """Score between a subject and the baseline of other seeds, less the mean of the scores within either kind: 0 if the subject
    differs from the baseline no more than one seed from another. NaN for groups of other relations."""
    if group.relation is not Relation.OTHER_SEED:
        return np.nan
    among = Group(Relation.AMONG_ITSELF, group.subject)
    values = [[value(one.agreement) for one in scores if one.pair.group == wanted] for wanted in (group, NEITHER, among)]
    if not all(values):
        return np.nan
    between, within_baseline, within_subject = (np.mean(several, axis=0) for several in values)
    return between - (within_baseline + within_subject) / 2


def jackknife_error(scores: Sequence[PairScore], statistic: Callable[[Sequence[PairScore]], float]) -> float:
    """The standard error of a statistic over seeds, leaving out each seed in turn with every pair that depends on it; NaN if
    the statistic needs more seeds than that leaves."""
    seeds = sorted(frozenset[int]().union(*(score.pair.seeds for score in scores)))
    values = [statistic([score for score in scores if seed not in score.pair.seeds]) for seed in seeds]
    return float(np.sqrt((len(values) - 1) * np.var(values))) if values else float("nan")


def findings(groups: pd.DataFrame, scores: PairScores, task: Task, latents: int, distances: Distances) -> list[str]:
    """What a person reads first; `groups` is the group table."""
    last = groups["iteration"].max()
    untrained = groups["group"].map(lambda group: group.relation is Relation.UNTRAINED)
    end = groups[(groups["iteration"] == last) | untrained]
    lines = [
        f"{task.name} at iteration {last}, {latents} latents, DDIM in {task.sampler.steps} steps. 0: the same function; 1: a "
        "shared latent tells nothing. Mean over pairs (least, greatest); matched: images nearest to that of their latent",
        f"  {'':44} pairs  {'pixels':22} {'features':22} matched",
    ]
    for group in end["group"].unique():
        rows = {space: end[(end["group"] == group) & (end["space"] == space)].iloc[0] for space in SPACES}
        texts = [f"{row['score']:.3f} ({row['least']:.3f}, {row['greatest']:.3f})" for row in rows.values()]
        first = rows[SPACES[0]]
        lines.append(f"  {group_label(group):44} {first['pairs']:5}  {texts[0]:22} {texts[1]:22} {first['matched']:.0%}")
    return [*lines, *growth_lines(groups), *excess_lines(end), *diversity_lines(end, scores), *distance_lines(distances, last)]


def growth_lines(groups: pd.DataFrame) -> list[str]:
    """How the score of unrelated networks changes over training."""
    lines = []
    unrelated = groups[groups["group"] == NEITHER]
    for space in SPACES:
        rows = unrelated[unrelated["space"] == space]
        values = ", ".join(f"{score:.3f} at {n}" for n, score in zip(rows["iteration"], rows["score"], strict=True))
        lines.append(f"over training, neither shared, {space}: {values}")
    first = unrelated[unrelated["iteration"] == 0]
    if len(first) and (first["score"] == 0).all():
        lines.append("at iteration 0 all networks are one function, since their outputs are zero: that 0 is by construction")
    return lines


def excess_lines(end: pd.DataFrame) -> list[str]:
    """How much further each subject is from the baseline than seeds are from each other."""
    lines = []
    for row in end[end["beyond"].notna()].to_dict("records"):
        seeds = "" if np.isnan(row["beyond_seed_se"]) else f", standard error over seeds {row['beyond_seed_se']:.3f}"
        lines.append(
            f"{group_label(row['group'])}, {row['space']}: {row['beyond']:+.3f} ({row['beyond_low']:+.3f} to "
            f"{row['beyond_high']:+.3f} over latents{seeds}) beyond what two seeds of one kind differ by"
        )
    return lines


def diversity_lines(end: pd.DataFrame, scores: PairScores) -> list[str]:
    """Whether images agree only because all of them are alike."""
    lines = []
    for space in SPACES:
        different = end[(end["group"] == NEITHER) & (end["space"] == space)]["different"].iloc[0]
        lines.append(
            f"images of different latents lie {different:.3g} apart in {space}, different real images {scores.real[space]:.3g}"
        )
    return lines


def distance_lines(distances: Distances, last: int) -> list[str]:
    """The Fréchet distances that the compared networks had reached."""
    by_kind: dict[str, list[float]] = {}
    for (name, iteration), fd in distances.items():
        if iteration == last:
            by_kind.setdefault(name.partition(" seed ")[0], []).append(fd)
    means = [f"{kind.removesuffix('/' + BASELINE)} {np.mean(several):.1f}" for kind, several in by_kind.items()]
    return [f"mean Fréchet distance reached: {', '.join(means)}"]
