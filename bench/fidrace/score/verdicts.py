"""Verdicts of a whole table: p-values adjusted over its rows, and what each row may then be called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fidrace.score.speedups import FASTER, LEVEL, NAN, SLOWER, holm

PER_ITERATION = "faster per iteration only"


def adjust_p_values(rows: list[dict[str, Any]], columns: list[str], family: int = 0) -> pd.DataFrame:
    """`rows` as a table, with p on both sides adjusted by Holm over all rows of one axis, and verdicts by the adjusted p. Holm
    counts at least `family` rows, those that have no p yet as 1: in a study that is raced until it is decided they get one
    later, and must not take back what was shown before."""
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    for axis in table["axis"].unique():
        on_axis = table["axis"] == axis
        for p in ("p_value", "p_slower"):
            values = table.loc[on_axis, p].to_numpy(float)
            counted = np.append(np.nan_to_num(values, nan=1.0), np.ones(max(family - len(values), 0))) if family else values
            adjusted = np.where(np.isnan(values), NAN, holm(counted)[: len(values)])
            table.loc[on_axis, {"p_value": "p_holm"}.get(p, f"{p}_holm")] = adjusted
    return table.assign(verdict=[adjusted_verdict(row) for row in table.to_dict("records")])


def adjusted_verdict(row: dict[Any, Any]) -> str:
    """The verdict of a row: its own interval's, which stands if the adjusted p is below 0.05, and else is `unadjusted`."""
    adjusted = {FASTER: row["p_holm"], SLOWER: row["p_slower_holm"]}.get(row["verdict"], 0.0)
    return str(row["verdict"]) + ("" if adjusted < LEVEL else ", unadjusted") if isinstance(row["verdict"], str) else ""


def judge_on_honest_axes(judged: pd.DataFrame, honest: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A table of verdicts in which a method that costs more than iterations is `faster` on another axis only if it is so on
    each of its `honest` axes too, those whose factors are not the unit's own; else it is so per iteration only."""

    def verdict(row: dict[Any, Any]) -> str:
        if row["axis"] in honest.get(row["method"], ()) or row["verdict"] != FASTER:
            return str(row["verdict"])
        rows = judged[judged["method"] == row["method"]]
        if "control" in judged:
            rows = rows[rows["control"] == row["control"]]
        shown = {*rows.loc[rows["verdict"] == FASTER, "axis"]}
        return FASTER if {*honest.get(row["method"], ())} <= shown else PER_ITERATION

    return judged.assign(verdict=[verdict(row) for row in judged.to_dict("records")])


def format_p(p: float) -> str:
    """p to two figures, or as many as show on which side of LEVEL it is."""
    texts = (f"{p:.{figures}g}" for figures in range(2, 17))
    return next(text for text in texts if (float(text) < LEVEL) == (p < LEVEL))
