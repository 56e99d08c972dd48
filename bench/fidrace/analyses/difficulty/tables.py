"""How early each timestep is learnt, as tables and in words.

loss[E] is the held-out loss of one cell of timesteps at iterations n[E], the last of them the budget, whose loss is called the
final one: what a longer training would reach is not known here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fidrace.method.base import Floats
from fidrace.storage.atomic import Row

NEAR = 1.1  # times the final loss: settled there
SHARE = 0.9  # of the reduction: most of what is learnt is learnt there
KEYS = ["task", "t", "abar", "noise", "log_snr"]
MEASURES = {
    "reduced_at": f"{SHARE:.0%} of the fall is done",
    "converged_at": f"within {NEAR - 1:.0%} of the final loss",
}


def settled_at(n: Floats, loss: Floats, threshold: float) -> float:
    """The iteration, interpolated, from which the loss stays at or below `threshold`; 0 where it always does, NaN where it
    does not in the end."""
    above = np.flatnonzero(~(loss <= threshold))
    if not len(above):
        return float(n[0])
    last = above[-1]
    if last == len(loss) - 1:
        return float("nan")
    return float(np.interp(threshold, loss[[last + 1, last]], n[[last + 1, last]]))


def converged_at(n: Floats, loss: Floats) -> float:
    """From which iteration the loss stays within 10 % of its final value: when nothing much is left to gain, in proportion."""
    return settled_at(n, loss, NEAR * loss[-1])


def reduced_at(n: Floats, loss: Floats) -> float:
    """From which iteration 90 % of the whole fall of the loss is done: the pace of learning, whatever the loss falls to; NaN
    where it does not fall. For an exponential decay of time constant tau that has come to its end, tau ln 10."""
    if not loss[0] > loss[-1]:
        return float("nan")
    return settled_at(n, loss, loss[-1] + (1 - SHARE) * (loss[0] - loss[-1]))


def network_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per seed, iteration and cell; `relative`: the loss over the final one of the same seed and cell."""
    table = pd.DataFrame(rows).sort_values(["seed", "iteration", "t"], ignore_index=True)
    table["noise"] = np.sqrt(1 - table["abar"])
    table["log_snr"] = np.log(table["abar"] / (1 - table["abar"]))
    table["relative"] = table["loss"] / table.groupby(["seed", "t"])["loss"].transform("last")
    columns = [*"task seed iteration t abar noise log_snr loss loss_se relative grad_norm grad_noise".split()]
    return table[columns]


def per_seed(networks: pd.DataFrame) -> pd.DataFrame:
    """One row per seed and cell: when it was learnt, its first and final loss, and what the last interval of evaluations still
    changed (`last_fall`, relative to the final loss)."""
    rows: list[Row] = []
    for (seed, t), curve in networks.groupby(["seed", "t"]):
        n, loss = curve["iteration"].to_numpy(float), curve["loss"].to_numpy(float)
        row: Row = {"seed": seed, "t": t, "initial": loss[0], "final": loss[-1]}
        row |= {"last_fall": loss[-2] / loss[-1] - 1, "grad_norm": curve["grad_norm"].iloc[-1]}
        row |= {"grad_noise": curve["grad_noise"].iloc[-1]}
        rows.append(row | {"reduced_at": reduced_at(n, loss), "converged_at": converged_at(n, loss)})
    return pd.DataFrame(rows)


def cell_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: means over seeds, and of the two measures the least and the greatest seed too."""
    seeds = per_seed(networks)
    table = networks[KEYS].drop_duplicates("t").set_index("t", drop=False)
    grouped = seeds.groupby("t")
    for name in ("initial", "final", "last_fall", "grad_noise"):
        table[name] = grouped[name].mean()
    table["grad_norm"] = grouped["grad_norm"].agg(rms)
    for name in MEASURES:
        table[name], table[f"{name}_least"], table[f"{name}_greatest"] = (
            grouped[name].mean(), grouped[name].min(), grouped[name].max(),
        )  # fmt: skip
    return table.reset_index(drop=True)


def rms(signed: "pd.Series[float]") -> float:
    """The root of the mean of squares that carry the sign of their root: estimates of a square may lie below 0."""
    mean = float((signed * signed.abs()).mean())
    return float(np.copysign(abs(mean) ** 0.5, mean))


def correlation(t: Floats, values: Floats) -> float:
    """Spearman's, of what was measured; NaN where that is constant or too little."""
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0:
        return float("nan")
    return float(stats.spearmanr(t[known], values[known]).statistic)


def halves(table: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """Spearman's correlation of `name` with t over all cells, the lower half of t, and the upper."""
    t, values = table["t"].to_numpy(), table[name].to_numpy()
    low = t < t.mean()
    return correlation(t, values), correlation(t[low], values[low]), correlation(t[~low], values[~low])


def findings(networks: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """What a person reads first."""
    task, budget, seeds = cells["task"].iloc[0], networks["iteration"].max(), networks["seed"].nunique()
    spacing = sorted(networks["iteration"].unique())[1]
    lines = [
        f"{task}: {seeds} seeds, {len(cells)} cells of timesteps, {budget} iterations looked at every {spacing}; the final "
        "loss is that at the budget. Noise level, log-SNR and t order cells alike, so one rank correlation serves all three",
    ]
    for name, meaning in MEASURES.items():
        lines += measure_lines(networks, cells, name, meaning)
    early = networks[networks["iteration"] <= budget / 2]
    if early["iteration"].nunique() > 1:
        half = cell_table(early)
        told = " and ".join(f"{halves(half, name)[0]:+.2f} ({meaning})" for name, meaning in MEASURES.items())
        lines.append(f"had training ended at {early['iteration'].max()}: rank correlation with t {told}")
    late = extreme(cells, "last_fall", np.nanargmax)
    lines.append(
        f"still falling: between the last two evaluations the loss falls by {late['last_fall']:.1%} of its final value at "
        f"t = {late['t']:.0f}, where that is most, and by {cells['last_fall'].median():.1%} in the median cell"
    )
    whole, lower, upper = halves(cells, "grad_norm")
    largest, smallest = extreme(cells, "grad_norm", np.nanargmax), extreme(cells, "grad_norm", np.nanargmin)
    lines += [
        f"gradient at the budget: its expectation is largest at t = {largest['t']:.0f} ({largest['grad_norm']:.3g}), smallest "
        f"at t = {smallest['t']:.0f} ({smallest['grad_norm']:.3g})",
        f"  rank correlation with t {whole:+.2f}; in the lower half of t {lower:+.2f}, in the upper {upper:+.2f}",
    ]
    return lines


def extreme(cells: pd.DataFrame, name: str, place: Callable[[Floats], Any]) -> "pd.Series[Any]":
    """The cell in which `name` is greatest or least, as `place` says."""
    return cells.iloc[int(place(cells[name].to_numpy()))]


def measure_lines(networks: pd.DataFrame, cells: pd.DataFrame, name: str, meaning: str) -> list[str]:
    """Where a measure is late and early, how it goes with t, for each seed too, and whether the upper end is easy by it."""
    if cells[name].isna().all():
        return [f"{meaning}: in no cell, the loss does not fall"]
    late, early = extreme(cells, name, np.nanargmax), extreme(cells, name, np.nanargmin)
    whole, lower, upper = halves(cells, name)
    each = [correlation(one["t"].to_numpy(), one[name].to_numpy()) for _, one in per_seed(networks).groupby("seed")]
    top = (cells["t"] >= cells["t"].quantile(0.9)).to_numpy()
    end, rest = np.nanmean(cells[name].to_numpy()[top]), np.nanmean(cells[name].to_numpy()[~top])
    return [
        f"{meaning}: last at t = {late['t']:.0f}, noise {late['noise']:.3f} (iteration {late[name]:.0f}; seeds "
        f"{late[f'{name}_least']:.0f} to {late[f'{name}_greatest']:.0f}), first at t = {early['t']:.0f}, noise "
        f"{early['noise']:.3f} ({early[name]:.0f}; {early[f'{name}_least']:.0f} to {early[f'{name}_greatest']:.0f})",
        f"  rank correlation with t {whole:+.2f} (seeds {min(each):+.2f} to {max(each):+.2f}); in the lower half of t "
        f"{lower:+.2f}, in the upper {upper:+.2f}",
        f"  the upper tenth of t: iteration {end:.0f}, the rest {rest:.0f}; by this it is {'' if end < rest else 'not '}easier",
    ]
