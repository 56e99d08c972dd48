"""How early each band of timesteps is learnt, as tables and in words.

loss[E] is the held-out loss of one band at iterations n[E]. The last of them is the budget, and the loss there is called the
final one; what a longer training would reach is not known here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fidrace.method.base import Floats
from fidrace.storage.atomic import Row

FALL_SHARE = 0.9  # of the whole fall of the loss: then most of what is learnt is learnt
FINAL_RATIO = 1.1  # to the final loss: then nothing much is left to gain
KEYS = ["task", "t", "abar", "noise", "log_snr"]
MEASURES = {
    "reduced_at": f"{FALL_SHARE:.0%} of the fall is done",
    "converged_at": f"within {FINAL_RATIO - 1:.0%} of the final loss",
}


def settling_time(n: Floats, loss: Floats, threshold: float) -> float:
    """The iteration, interpolated, from which the loss stays at or below `threshold`; the first if it always does, NaN if it
    ends above."""
    above = np.flatnonzero(~(loss <= threshold))
    if not len(above):
        return float(n[0])
    last = above[-1]
    if last == len(loss) - 1:
        return float("nan")
    return float(np.interp(threshold, loss[[last + 1, last]], n[[last + 1, last]]))


def convergence_time(n: Floats, loss: Floats) -> float:
    """From which iteration the loss stays within 10 % of its final value: when nothing much is left to gain, in proportion."""
    return settling_time(n, loss, FINAL_RATIO * loss[-1])


def reduction_time(n: Floats, loss: Floats) -> float:
    """From which iteration 90 % of the whole fall of the loss is done: the pace of learning, whatever the loss falls to; NaN
    if it does not fall. For an exponential decay of time constant tau that has come to its end, tau ln 10."""
    if not loss[0] > loss[-1]:
        return float("nan")
    return settling_time(n, loss, loss[-1] + (1 - FALL_SHARE) * (loss[0] - loss[-1]))


def network_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per seed, iteration and band; `relative`: the loss over the final one of the same seed and band."""
    table = pd.DataFrame(rows).sort_values(["seed", "iteration", "t"], ignore_index=True)
    table["noise"] = np.sqrt(1 - table["abar"])
    table["log_snr"] = np.log(table["abar"] / (1 - table["abar"]))
    table["relative"] = table["loss"] / table.groupby(["seed", "t"])["loss"].transform("last")
    columns = [*"task seed iteration t abar noise log_snr loss loss_se relative grad_norm grad_noise".split()]
    return table[columns]


def seed_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row per seed and band: when it was learnt, its first and final loss, and by how much the loss still fell between the
    last two evaluations (`last_fall`, relative to the final loss)."""
    rows: list[Row] = []
    for (seed, t), curve in networks.groupby(["seed", "t"]):
        n, loss = curve["iteration"].to_numpy(float), curve["loss"].to_numpy(float)
        row: Row = {"seed": seed, "t": t, "initial": loss[0], "final": loss[-1]}
        row |= {"last_fall": loss[-2] / loss[-1] - 1, "grad_norm": curve["grad_norm"].iloc[-1]}
        row |= {"grad_noise": curve["grad_noise"].iloc[-1]}
        rows.append(row | {"reduced_at": reduction_time(n, loss), "converged_at": convergence_time(n, loss)})
    return pd.DataFrame(rows)


def band_table(networks: pd.DataFrame) -> pd.DataFrame:
    """One row per band: means over seeds, and the least and the greatest seed of the two measures."""
    table = networks[KEYS].drop_duplicates("t").set_index("t", drop=False)
    by_band = seed_table(networks).groupby("t")
    for name in ("initial", "final", "last_fall", "grad_noise"):
        table[name] = by_band[name].mean()
    table["grad_norm"] = by_band["grad_norm"].agg(signed_rms)
    for name in MEASURES:
        table[name], table[f"{name}_least"], table[f"{name}_greatest"] = (
            by_band[name].mean(), by_band[name].min(), by_band[name].max(),
        )  # fmt: skip
    return table.reset_index(drop=True)


def signed_rms(roots: "pd.Series[float]") -> float:
    """The root of the mean of squares, each with the sign of its root, since an estimate of a square may be below 0."""
    mean = float((roots * roots.abs()).mean())
    return float(np.copysign(abs(mean) ** 0.5, mean))


def rank_correlation(t: Floats, values: Floats) -> float:
    """Spearman's, of the finite values; NaN if they are constant or fewer than 3."""
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0:
        return float("nan")
    return float(stats.spearmanr(t[known], values[known]).statistic)


def rank_correlations(table: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """Spearman's correlation of `name` with t over all bands, the lower half of t, and the upper."""
    t, values = table["t"].to_numpy(), table[name].to_numpy()
    low = t < t.mean()
    return rank_correlation(t, values), rank_correlation(t[low], values[low]), rank_correlation(t[~low], values[~low])


def findings(networks: pd.DataFrame, bands: pd.DataFrame) -> list[str]:
    """What a person reads first."""
    task, budget, seeds = bands["task"].iloc[0], networks["iteration"].max(), networks["seed"].nunique()
    spacing = sorted(networks["iteration"].unique())[1]
    lines = [
        f"{task}: {seeds} seeds, {len(bands)} bands of timesteps, {budget} iterations measured every {spacing}; the final loss "
        "is that at the budget. Noise level, log-SNR and t order bands alike, so one rank correlation serves all three",
    ]
    for name, meaning in MEASURES.items():
        lines += measure_lines(networks, bands, name, meaning)
    early = networks[networks["iteration"] <= budget / 2]
    if early["iteration"].nunique() > 1:
        half = band_table(early)
        values = " and ".join(f"{rank_correlations(half, name)[0]:+.2f} ({meaning})" for name, meaning in MEASURES.items())
        lines.append(f"had training ended at {early['iteration'].max()}: rank correlation with t {values}")
    late = extreme_band(bands, "last_fall", np.nanargmax)
    lines.append(
        f"still falling: between the last two evaluations the loss falls by {late['last_fall']:.1%} of its final value at "
        f"t = {late['t']:.0f}, the most of any band, and by {bands['last_fall'].median():.1%} in the median band"
    )
    return [*lines, *gradient_lines(bands)]


def gradient_lines(bands: pd.DataFrame) -> list[str]:
    """The expected gradient at the budget: its extremes, and how it varies with t."""
    whole, lower, upper = rank_correlations(bands, "grad_norm")
    largest, smallest = extreme_band(bands, "grad_norm", np.nanargmax), extreme_band(bands, "grad_norm", np.nanargmin)
    return [
        f"gradient at the budget: its expectation is largest at t = {largest['t']:.0f} ({largest['grad_norm']:.3g}), smallest "
        f"at t = {smallest['t']:.0f} ({smallest['grad_norm']:.3g})",
        f"  rank correlation with t {whole:+.2f}; in the lower half of t {lower:+.2f}, in the upper {upper:+.2f}",
    ]


def extreme_band(bands: pd.DataFrame, name: str, place: Callable[[Floats], Any]) -> "pd.Series[Any]":
    """The band at which `place`, for instance numpy.nanargmax, finds `name`."""
    return bands.iloc[int(place(bands[name].to_numpy()))]


def measure_lines(networks: pd.DataFrame, bands: pd.DataFrame, name: str, meaning: str) -> list[str]:
    """At which band a measure is latest and earliest, how it varies with t, for each seed too, and whether by it the upper end
    is easy."""
    if bands[name].isna().all():
        return [f"{meaning}: in no band, since the loss does not fall"]
    late, early = extreme_band(bands, name, np.nanargmax), extreme_band(bands, name, np.nanargmin)
    whole, lower, upper = rank_correlations(bands, name)
    each = [rank_correlation(rows["t"].to_numpy(), rows[name].to_numpy()) for _, rows in seed_table(networks).groupby("seed")]
    top = (bands["t"] >= bands["t"].quantile(0.9)).to_numpy()
    end, rest = np.nanmean(bands[name].to_numpy()[top]), np.nanmean(bands[name].to_numpy()[~top])
    return [
        f"{meaning}: last at t = {late['t']:.0f}, noise {late['noise']:.3f} (iteration {late[name]:.0f}; seeds "
        f"{late[f'{name}_least']:.0f} to {late[f'{name}_greatest']:.0f}), first at t = {early['t']:.0f}, noise "
        f"{early['noise']:.3f} ({early[name]:.0f}; {early[f'{name}_least']:.0f} to {early[f'{name}_greatest']:.0f})",
        f"  rank correlation with t {whole:+.2f} (seeds {min(each):+.2f} to {max(each):+.2f}); in the lower half of t "
        f"{lower:+.2f}, in the upper {upper:+.2f}",
        f"  the upper tenth of t: iteration {end:.0f}, the rest {rest:.0f}; by this it is {'' if end < rest else 'not '}easier",
    ]
