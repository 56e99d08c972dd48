"""FD over training as a line of blocks, for the leaderboard in a terminal."""

import numpy as np

from fidrace.method.base import Floats
from fidrace.score.curves import longest_runs
from fidrace.score.leaderboard import Scores

BLOCKS = "▁▂▃▄▅▆▇█"
MOST_BLOCKS = 12  # in one sparkline


def sparkline(values: Floats, low: float, high: float) -> str:
    """At most MOST_BLOCKS blocks whose heights are the logarithms of `values` on the scale from `low` to `high`; a space
    stands for a value that is not finite."""
    values = values[np.unique(np.linspace(0, len(values) - 1, MOST_BLOCKS).round().astype(int))] if len(values) else values
    with np.errstate(all="ignore"):
        heights = np.log(values / low) / np.log(high / low)
    return "".join(BLOCKS[int(np.clip(height, 0, 1) * 7.999)] if np.isfinite(height) else " " for height in heights)


def sparklines(scores: Scores) -> dict[str, str]:
    """The median FD of each method over training, all methods on one scale."""
    medians = {method: median_fd(scores, method) for method in scores.leaderboard["method"]}
    known = np.concatenate([np.array([]), *([line[np.isfinite(line) & (line > 0)] for line in medians.values()])])
    if not len(known):
        return dict.fromkeys(medians, "")
    return {method: sparkline(line, float(known.min()), float(known.max())) for method, line in medians.items()}


def median_fd(scores: Scores, method: str) -> Floats:
    """Medians over the runs that got furthest; empty if the method has no runs."""
    runs = longest_runs([curve for curve in scores.curves if curve.method == method])
    return np.median([curve.fd for curve in runs], axis=0) if runs else np.array([])
