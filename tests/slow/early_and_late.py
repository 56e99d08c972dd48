"""Speedups of digits and of digits-late in one picture, against the iterations that the baseline needs to the same target.

python -m tests.slow.early_and_late     writes docs/early-and-late.png from results/digits-field and results/digits-late
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fidrace.score.crossings import cost_of_target
from fidrace.score.leaderboard import score_folder

ROOT = Path(__file__).parents[2]
METHODS = {"laplace": "C0", "min-snr": "C1", "clts": "C2", "mdlrc": "C3", "lr-decay": "C4"}
RACES = {
    "digits-field": ("digits, 500 iterations", ":"),
    "digits": ("", ":"),
    "digits-late": ("digits-late, 4,000 iterations", "-"),
}
STEPS = 2  # of the grid, from which on a crossing is bracketed from below


def draw(axes: Axes, folder: str, drawn: set[tuple[str, str]]) -> None:
    """Add the curves of a folder that no other has drawn."""
    scores, (race, style) = score_folder(folder), RACES[folder]
    curve = scores.curve.query("axis == 'iterations' and bound == '='")
    baselines = [run for run in scores.curves if run.method == scores.rules.baseline]
    for method, colour in METHODS.items():
        rows = curve[curve["method"] == method]
        if rows.empty or (style, method) in drawn:
            continue
        drawn.add((style, method))
        needed = [
            np.median([cost_of_target(run, target, "iterations", scores.rules.budget).cost for run in baselines])
            for target in rows["target"]
        ]
        shown = np.array(needed) >= STEPS * baselines[0].iteration[1]
        x, low, high = np.array(needed)[shown], rows["ci_low"][shown], rows["ci_high"][shown]
        axes.plot(x, rows["speedup"][shown], style, color=colour, label=method if style == "-" else None)
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    if race:
        axes.plot([], [], style, color="black", label=race)


def main() -> None:
    axes = Figure(figsize=(9, 5), layout="constrained").subplots()
    drawn: set[tuple[str, str]] = set()
    for folder in RACES:
        draw(axes, folder, drawn)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        ylim=(0.6, 2.2),
        xlabel="iterations that the baseline needs to the same target",
        ylabel="speedup, 95 % interval",
    )
    axes.set_yticks([0.7, 0.8, 0.9, 1, 1.2, 1.5, 2], ["0.7", "0.8", "0.9", "1", "1.2", "1.5", "2"])
    axes.set_yticks([], minor=True)
    axes.set_xticks([100, 200, 500, 1000, 2000, 4000], ["100", "200", "500", "1,000", "2,000", "4,000"])
    axes.legend(fontsize="small", ncols=2)
    axes.figure.savefig(ROOT / "docs/early-and-late.png", dpi=100)


if __name__ == "__main__":
    main()
