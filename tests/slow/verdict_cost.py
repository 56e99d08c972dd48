"""What it costs to decide the seven default methods of digits: a fixed number of seeds of whole runs, and less.

python -m tests.slow.verdict_cost [STUDIES] [--results DIR]     prints the tables of docs/statistics.md (200: three minutes)

Seeds are drawn from the ten of DIR/digits (DIR: results): each is a random mixture of what two of them leave over the means
of their methods, which keeps the scatter of every method and what the methods of one seed have in common. A cost is counted in
forward passes of one image: three for a training image, sampler.steps for a sample.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fidrace.method.base import Floats
from fidrace.report.markdown import markdown_table
from fidrace.score.crossings import TargetCost, cost_of_target
from fidrace.score.sequential import resolve
from fidrace.score.speedups import FASTER, MIN_PAIRS, ONE_SIDED, SLOWER, Speedup, holm
from fidrace.score.verdicts import adjusted_verdict
from fidrace.score.windows import Window
from fidrace.spec.looks import Design, Looks
from fidrace.spec.task import load_task
from fidrace.spec.user_input import window_edges
from tests.search_simulation import look
from tests.sequential_simulation import judge, look_of
from tests.simulation import curves

TASK = load_task("digits")
TARGET, WINDOW, BUDGET = float(TASK.target.fd), TASK.target.window, float(TASK.budget.iterations)
RESULTS = Path(__file__).parents[2] / "results"
POWER, MOST = 0.9, 40
FORWARDS_OF_TRAINING = 3  # a backward pass is about two
Factors = Callable[[int, int, float], Speedup]


@dataclass(frozen=True)
class World:
    """The means of ln FD, mean[M, E] of the baseline and the methods, and what is left[S, M, E] of S seeds, scaled up for the
    means that it has lost; n[E] iterations."""

    methods: list[str]
    n: Floats
    mean: Floats
    left: Floats

    def study(self, rng: np.random.Generator, seeds: int) -> Floats:
        """fd[M, seeds, E]."""
        one, apart = rng.integers([[0], [1]], len(self.left), (2, seeds))
        turn = rng.uniform(0, 2 * np.pi, (seeds, 1, 1))
        other = (one + apart) % len(self.left)
        return np.exp(self.mean + np.cos(turn) * self.left[one] + np.sin(turn) * self.left[other]).swapaxes(0, 1)


def published(results: Path) -> World:
    logs = np.log(
        pd.read_csv(results / "digits/evals.csv").pivot_table(index=["method", "seed"], columns="iteration", values="fd")
    )
    methods = sorted(logs.index.unique("method"), key=lambda method: method != "baseline")
    values = np.stack([logs.loc[method].to_numpy() for method in methods], axis=1)
    mean, seeds = values.mean(axis=0), len(values)
    return World(methods, logs.columns.to_numpy(float), mean, (values - mean) * (seeds / (seeds - 1)) ** 0.5)


@dataclass(frozen=True)
class Way:
    """How a study is raced: at the target alone or with its window; its runs whole, or stopped and searched."""

    windowed: bool
    partial: bool

    def __str__(self) -> str:
        return (
            f"{'stopped and searched' if self.partial else 'whole runs'}, {'window' if self.windowed else 'the target alone'}"
        )

    def factors(self, n: Floats, fd: Floats) -> Factors:
        """The speedup of method m from its first so many seeds, at a one-sided level."""
        runs = [curves(n, side) for side in fd]
        sides = [costs(n, side, BUDGET) for side in fd]
        pairs = [(sides[0], side) for side in sides]
        if self.windowed:
            window = Window(WINDOW, TARGET, "iterations", BUDGET)
            averaged = [window.average([runs[0], runs[m]], pairs[m], True)[0] for m in range(len(fd))]
            pairs = [(baseline, method) for baseline, method in averaged]
        return lambda m, seeds, level: judge(pairs[m][0][:seeds], pairs[m][1][:seeds], level)

    def forwards(self, n: Floats, fd: Floats) -> Floats:
        """The cost [M, S] of every run."""
        edges = window_edges(TARGET, WINDOW if self.windowed else 1.0)

        def cost(run: Floats) -> float:
            seen = look(run, edges, 2, stop=True) if self.partial else look(run, edges)
            trained = n[seen.reached] * TASK.optimizer.batch * FORWARDS_OF_TRAINING
            return float(trained + TASK.sampling_forwards(len(seen.places)))

        return np.array([[cost(run) for run in side] for side in fd])


def costs(n: Floats, fd: Floats, budget: float) -> list[TargetCost]:
    return [cost_of_target(run, TARGET, "iterations", budget) for run in curves(n, fd)]


def verdicts(found: Sequence[Speedup], p: Sequence[tuple[float, float]]) -> list[str]:
    """Verdicts under Holm over all methods, from p-values on both sides."""
    faster, slower = (holm(np.array(side)) for side in zip(*p, strict=True))
    return [
        adjusted_verdict({"verdict": one.verdict, "p_holm": faster[k], "p_slower_holm": slower[k]})
        for k, one in enumerate(found)
    ]


def race_fixed(factors: Factors, methods: int, seeds: int) -> list[bool]:
    """Which methods a fixed number of seeds decides."""
    found = [factors(m, seeds, ONE_SIDED) for m in range(1, methods)]
    told = verdicts(found, [(one.p_value, one.p_slower) for one in found])
    return [verdict in (FASTER, SLOWER) for verdict in told]


def race_by_looks(factors: Factors, methods: int, design: Design) -> tuple[list[int], list[bool]]:
    """How many seeds each method takes until it is decided, and whether it is at last."""
    at = dict.fromkeys(range(1, methods), 0)  # the look of each method
    decided = dict.fromkeys(at, False)
    for number in range(1, len(design.looks) + 1):
        at |= {m: number for m in at if not decided[m]}
        looks = [look_of(design, at[m]) for m in at]
        found = [factors(m, int(one.seeds), one.level) for m, one in zip(at, looks, strict=True)]
        p = [(one.p_value(told.p_value), one.p_value(told.p_slower)) for one, told in zip(looks, found, strict=True)]
        for m, told, verdict in zip(at, found, verdicts(found, p), strict=True):
            decided[m] |= verdict in (FASTER, SLOWER) or told.ci_high < design.futility
    return [design.looks[at[m] - 1] for m in at], [*decided.values()]


@dataclass(frozen=True)
class Cost:
    """What one way takes. `enough`: the fixed number of seeds with which every method is decided in POWER of the studies (None:
    more than MOST), and each[M - 1] for one method. seeds[studies, M - 1] that racing until decided takes, and the share
    decided[M - 1] of it; run[M]: the mean cost of a run."""

    enough: int | None
    each: list[int | None]
    seeds: Floats
    decided: Floats
    run: Floats

    @property
    def fixed(self) -> float:
        return float(self.run.sum() * (self.enough or np.nan))

    @property
    def sequential(self) -> float:
        return float((self.with_baseline @ self.run).mean())

    @property
    def with_baseline(self) -> Floats:
        """The seeds of the baseline, which is raced as long as any method, before those of the methods."""
        return np.c_[self.seeds.max(axis=1), self.seeds]


def cost_of(way: Way, n: Floats, studies: Sequence[Floats], design: Design) -> Cost:
    methods = len(studies[0])
    factors = [way.factors(n, fd) for fd in studies]
    shares = {
        seeds: np.mean([race_fixed(one, methods, seeds) for one in factors], axis=0) for seeds in range(MIN_PAIRS, MOST + 1)
    }
    raced = [race_by_looks(one, methods, design) for one in factors]
    return Cost(
        next((seeds for seeds, share in shares.items() if share.min() >= POWER), None),
        [next((seeds for seeds, share in shares.items() if share[m] >= POWER), None) for m in range(methods - 1)],
        np.array([seeds for seeds, _ in raced], float),
        np.mean([decided for _, decided in raced], axis=0),
        np.mean([way.forwards(n, fd).mean(axis=1) for fd in studies], axis=0),
    )


def number(seeds: int | None) -> str:
    return f"more than {MOST}" if seeds is None else str(seeds)


def main(studies: int, results: Path) -> None:
    world, design, rng = published(results), resolve(Looks()), np.random.default_rng(0)
    raced = [world.study(rng, MOST) for _ in range(studies)]
    found = {
        way: cost_of(way, world.n, raced, design)
        for way in (Way(windowed, partial) for windowed in (False, True) for partial in (False, True))
    }
    now, rows = next(iter(found.values())), []
    for way, cost in found.items():
        run = f"{cost.run.mean() / now.run.mean():.2f}"
        share = f"{100 * cost.decided.min():.0f}"
        rows.append([str(way), run, "fixed", number(cost.enough), f"{100 * POWER:.0f}", f"{cost.fixed / now.fixed:.2f}"])
        seeds = f"{cost.with_baseline.mean():.1f}"
        rows.append([str(way), run, "until decided", seeds, share, f"{cost.sequential / now.fixed:.2f}"])
    print(f"{studies} studies; {design.describe()}. The first row costs {now.fixed / 1e6:.1f} million forward passes.\n")
    print(markdown_table(["runs", "cost of one", "seeds", "of a method", "% decided, least", "cost"], rows))
    headings = ["method", "factor", f"fixed seeds at {100 * POWER:.0f} %", "until decided", "% decided"]
    headings += [f"{heading}, window" for heading in headings[2:]]
    whole, windowed = found[Way(False, False)], found[Way(True, False)]
    lines = []
    for m, method in enumerate(world.methods[1:]):
        factor = np.exp(
            np.mean([np.log(Way(False, False).factors(world.n, fd)(m + 1, MOST, ONE_SIDED).factor) for fd in raced])
        )
        told = [
            [number(cost.each[m]), f"{cost.seeds[:, m].mean():.1f}", f"{100 * cost.decided[m]:.0f}"]
            for cost in (whole, windowed)
        ]
        lines.append([method, f"{factor:.2f}×", *told[0], *told[1]])
    print(f"\n{markdown_table(headings, lines)}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", nargs="?", type=int, default=200)
    arguments.add_argument("--results", type=Path, default=RESULTS)
    main(**vars(arguments.parse_args()))
