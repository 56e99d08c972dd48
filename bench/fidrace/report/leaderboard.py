"""The leaderboard, contrasts and guards as cells of text; terminal, Markdown and page show the same cells."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fidrace.score.claims import Claim, load_claims
from fidrace.score.leaderboard import Scores
from fidrace.score.rules import Rules
from fidrace.score.speedups import SLOWER
from fidrace.score.verdicts import format_p
from fidrace.spec.user_input import Target

HEADINGS = ["#", "method", "reached", "to target", "speedup", "95 % interval", "Holm p", "verdict", "final FD", "notes"]
CONTRAST_HEADINGS = ["method", "its control", "pairs", "speedup over it", "95 % interval", "Holm p", "verdict", "notes"]
GUARD_HEADINGS = ["method", "pairs", "precision", "recall", "memorised", "held-out loss", "loses"]
CONTRASTS = "each method against its control"
SHARED, SHARED_HEADINGS = "what these runs share, and who holds it", ["guarantee", "held by", "how", "runs"]
GUARDS = "guards: means where each run has reached the target, beside its baselines' there"
WORDS = {
    *"method verdict notes loses claim on asked outcome claimed FD source task lies".split(),
    "",
    "its control",
    "measured on",
}
BOUNDS = {"=": "", ">=": "≥ ", "<=": "≤ "}


def factor_cells(row: dict[str, Any]) -> list[str]:
    """The speedup, its interval, Holm's p (of `slower` if that is the verdict) and the verdict."""
    p = row["p_slower_holm" if str(row["verdict"]).startswith(SLOWER) else "p_holm"]
    return [
        format_factor(row),
        format_interval(row),
        "" if pd.isna(p) else format_p(p),
        "" if pd.isna(row["verdict"]) else row["verdict"],
    ]


def format_factor(row: Mapping[Any, Any]) -> str:
    return "–" if np.isnan(row["speedup"]) else f"{BOUNDS[row['bound']]}{row['speedup']:.2f}×"


def format_interval(row: Mapping[Any, Any]) -> str:
    """The limits; empty if there are none."""
    return "" if pd.isna(row["ci_low"]) else f"{row['ci_low']:.2f} – {row['ci_high']:.2f}".replace("inf", "∞")


def leaderboard_cells(row: dict[str, Any], rules: Rules, axis: str) -> list[str]:
    """One row of the leaderboard, in the order of HEADINGS."""
    budget, unit = rules.budget, rules.unit
    limit = f"> {budget:.0f}" if axis == unit and np.isfinite(budget) else "not reached"
    if "stopped before this target" in str(row["flags"]):
        limit = "not reached"
    if f"{row['runs']} without {axis}" in str(row["flags"]).split("; "):
        limit = "not measured"
    return [
        str(row["rank"]),
        row["method"],
        f"{row['reached']}/{row['runs']}",
        limit if np.isnan(row["median_to_target"]) else f"{row['median_to_target']:,.0f}",
        *factor_cells(row),
        "" if np.isnan(row["final_fd"]) else f"{row['final_fd']:.2f}",
        row["flags"],
    ]


def title(scores: Scores, axis: str) -> str:
    target = scores.rules.target
    paired = scores.rules.paired and (not len(scores.speedups) or bool((scores.speedups["pairs"] > 0).any()))
    return race_title(str(scores.leaderboard["task"].iloc[0]), axis, scores.metric, target, paired)


def race_title(task: str, axis: str, metric: str, target: Target, paired: bool) -> str:
    """What is raced to what, and whether pairs are compared."""
    goal = f"{metric} ≤ {target:g}" if not isinstance(target, str) else "each seed's baseline at the budget"
    if isinstance(target, str) and not paired:
        goal = "the baseline at its end"
    return f"{task}: {axis} to {goal}{', paired by seed' if paired else ''}"


def leaderboard_lines(scores: Scores) -> tuple[str, list[list[str]]]:
    """The axis, and the rows of the leaderboard."""
    axis = str(scores.leaderboard["axis"].iloc[0])
    records = scores.leaderboard.to_dict("records")
    return axis, [leaderboard_cells({str(k): v for k, v in row.items()}, scores.rules, axis) for row in records]


def contrast_lines(scores: Scores) -> list[list[str]]:
    """Each method against its control, in the order of CONTRAST_HEADINGS."""
    table = scores.contrasts[scores.contrasts["axis"] == scores.leaderboard["axis"].iloc[0]]
    return [
        [row["method"], row["control"], str(row["pairs"]), *factor_cells({str(k): v for k, v in row.items()}), row["flags"]]
        for row in table.to_dict("records")
    ]


def guard_lines(scores: Scores) -> list[list[str]]:
    """What each method pays for its lead, in the order of GUARD_HEADINGS; the first row is what real images score."""
    measured = scores.guards
    ceilings = measured.drop_duplicates("guard").set_index("guard")["ceiling"].to_dict()
    shown = ("precision", "recall", "memorised", "val_loss")
    real = ["" if pd.isna(ceilings.get(guard)) else f"{ceilings[guard]:.3f}" for guard in shown]
    lines = [["(real images)", "", *real, ""]] if any(real) else []
    for method in [method for method in scores.leaderboard["method"] if method in set(measured["method"])]:
        rows = {row["guard"]: row for row in measured[measured["method"] == method].to_dict("records")}
        pairs = max(row["pairs"] for row in rows.values())
        values = [f"{rows[guard]['value']:.3f} ({rows[guard]['baseline']:.3f})" if guard in rows else "" for guard in shown]
        lines.append([method, str(pairs), *values, ", ".join(guard for guard in rows if rows[guard]["lost"] is True)])
    return lines


def claims_of(method: str) -> list[Claim]:
    """The published claims for a method."""
    return [claim for claim in load_claims() if claim.method == method]


def claimed_factors(method: str, task: str) -> str:
    """The factors claimed for a method, in brackets if claimed on another task: `2×`, `(2×) (2.6×)`."""
    factors = [f"{claim.factor:g}×" if claim.task == task else f"({claim.factor:g}×)" for claim in claims_of(method)]
    return " ".join(factors)
