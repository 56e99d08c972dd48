"""The page's charts as plotly figures: plain JSON of `data` and `layout`, in one colour scheme; the page adds the theme.

plotly reads names as HTML, so they are escaped here. The traces of a method share a `legendgroup`, by which the page hides it.
"""

import html
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from fidrace.method.base import Floats
from fidrace.method.profile import ProfilePoint
from fidrace.report.png import FACTORS
from fidrace.report.style import INK, Style
from fidrace.score.comparison import RunTable
from fidrace.score.curves import Curve, longest_runs
from fidrace.score.leaderboard import Scores
from fidrace.score.rules import FINAL
from fidrace.storage.tables import BINS

Figure = dict[str, Any]
POINTS = 101  # of p and w over t
HIDDEN, CONSTANT = 0.01, 1.01  # medians apart by less lie on each other; weights within this ratio need no logarithm
SIGNS = {"=": "circle", ">=": "triangle-up-open", "<=": "triangle-down-open"}  # of factors and their bounds
FACTOR_TICKS = {"tickvals": [*FACTORS], "ticktext": [f"{one:g}×" for one in FACTORS]}


def text(name: str) -> str:
    """A name escaped so that plotly shows it literally."""
    return html.escape(name, quote=False)


def numbers(values: Sequence[Any] | Floats) -> list[float | int | None]:
    """Values for JSON: whole numbers as int; None for NaN, infinity and what was not measured."""
    found = [float(value) for value in values]
    return [None if not np.isfinite(value) else int(value) if value.is_integer() else value for value in found]


def line(method: str, style: Style, width: float, **more: Any) -> dict[str, Any]:
    """A line trace of a method."""
    drawn = {"color": style.colour, "dash": style.dash, "width": width}
    return {"type": "scatter", "mode": "lines", "name": text(method), "legendgroup": method, "line": drawn, **more}


def band(method: str, style: Style, x: Floats, low: Floats, high: Floats) -> dict[str, Any]:
    """The area between two lines."""
    ends = np.concatenate([low, high[::-1]])
    return {
        "type": "scatter",
        "x": numbers(np.concatenate([x, x[::-1]])),
        "y": numbers(ends),
        "fill": "toself",
        "fillcolor": f"{style.colour}1c",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "mode": "lines",
        "name": text(method),
        "legendgroup": method,
        "meta": "band",
    }


def rule(axis: str, at: float, label: str, dash: str, log: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line across the chart at x or y, and its label; on `log` axes plotly places labels by the exponent."""
    other = "y" if axis == "x" else "x"
    shape = {"type": "line", f"{axis}0": at, f"{axis}1": at, f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    place = {axis: float(np.log10(at)) if log else at, other: 1, f"{other}ref": "paper"}
    anchor = {"xanchor": "right", "yanchor": "bottom"} if axis == "y" else {"xanchor": "left", "yanchor": "top"}
    note = {**place, **anchor, "text": text(label), "showarrow": False}
    return {**shape, "line": {"color": INK, "width": 1, "dash": dash}}, note


def median_line(curves: Sequence[Curve], axis: str) -> tuple[Floats, Floats]:
    """Medians of an axis and of FD, over the runs that got furthest."""
    far = longest_runs(curves)
    return np.median([one.axis(axis) for one in far], axis=0), np.median([one.fd for one in far], axis=0)


def covered_lines(races: RunTable) -> list[str]:
    """Sentences on methods whose medians lie so near another's, all the way, that one line hides the other."""
    medians = {
        method: median_line(runs, races.rules.unit)
        for method in races.methods
        if (runs := [curve for curve in races.curves if curve.method == method and len(curve.fd)])
    }
    return [
        f"{one} and {other} lie on each other"
        for (one, (x, y)), (other, (u, v)) in combinations(medians.items(), 2)
        if np.array_equal(x, u) and bool(np.all(np.abs(y - v) < HIDDEN * np.maximum(y, v)))
    ]


def fd_figure(races: RunTable, look: dict[str, Style], axis: str, metric: str) -> Figure:
    """FD against an axis: each run as a thin line (one trace per method, gaps between runs, seeds as customdata), the range
    over seeds as a band, the median as a thick line, crossings of the target as crosses."""
    data = []
    for method in races.methods:
        runs = [curve for curve in races.curves if curve.method == method and len(curve.fd)]
        if not runs:
            continue
        x, y, seeds = runs_trace(runs, axis)
        middle_x, middle = median_line(runs, axis)
        spread = [one.fd for one in longest_runs(runs)]
        data.append(band(method, look[method], middle_x, np.min(spread, axis=0), np.max(spread, axis=0)))
        hover = f"seed %{{customdata}}: %{{y:.2f}} at %{{x:.4~g}} {axis}"
        data.append(line(method, look[method], 0.8, x=x, y=y, customdata=seeds, hovertemplate=hover, opacity=0.45, meta="runs"))
        hover = f"median of {len(spread)}: %{{y:.2f}} at %{{x:.4~g}} {axis}"
        data.append(line(method, look[method], 2.5, x=numbers(middle_x), y=numbers(middle), hovertemplate=hover, meta="median"))
        data += crossings(races, method, look[method], axis)
    layout: Figure = {
        "xaxis": {"title": {"text": axis}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": text(metric)}, "type": "log", "tickformat": "~g"},
    }
    rules = []
    if races.rules.aims and races.rules.target != FINAL:
        rules.append(rule("y", float(races.rules.target), f"target {races.rules.target:g}", "dash", log=True))
    if axis == races.rules.unit and np.isfinite(races.rules.budget):
        rules.append(rule("x", races.rules.budget, f"budget {races.rules.budget:g}", "dot"))
    for shape, note in rules:
        layout.setdefault("shapes", []).append(shape)
        layout.setdefault("annotations", []).append(note)
    return {"data": data, "layout": layout}


def runs_trace(runs: Sequence[Curve], axis: str) -> tuple[list[Any], list[Any], list[Any]]:
    """x, y and seeds of several runs in one trace, with a gap after each run."""
    x, y, seeds = [], [], []
    for curve in runs:
        x += [*numbers(curve.axis(axis)), None]
        y += [*numbers(curve.fd), None]
        seeds += [curve.seed] * (len(curve.fd) + 1)
    return x, y, seeds


def crossings(races: RunTable, method: str, style: Style, axis: str) -> list[dict[str, Any]]:
    """The points at which runs crossed the target; no trace if none did."""
    if not races.rules.aims or (races.rules.target == FINAL and not races.usable.get(races.rules.baseline)):
        return []
    arrived = {seed: one for seed, one in races.costs(method, axis).items() if not one.censored}
    if not arrived:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": numbers([one.cost for one in arrived.values()]),
            "y": numbers([races.target(seed) for seed in arrived]),
            "customdata": [*arrived],
            "hovertemplate": f"seed %{{customdata}} reaches the target after %{{x:.4~g}} {axis}",
            "marker": {"symbol": "x-thin-open", "size": 9, "color": style.colour, "line": {"width": 1.5}},
            "name": text(method),
            "legendgroup": method,
            "meta": "crossings",
        }
    ]


def speedup_figure(scores: Scores, look: dict[str, Style], axis: str) -> Figure:
    """Speedup on an axis against target, the hardest at the right, with 95 % bands. Bounds are triangles without a band."""
    table, data = scores.curve[scores.curve["axis"] == scores.axis_with_rows(axis)], []
    for method in scores.leaderboard["method"]:
        rows = table[(table["method"] == method) & table["speedup"].notna()]
        if not len(rows):
            continue
        points = rows[(rows["bound"] == "=") & rows["ci_low"].notna()]
        if len(points):
            data.append(band(method, look[method], *(points[name].to_numpy(float) for name in ("target", "ci_low", "ci_high"))))
        interval = [
            f"[{one.ci_low:.2f}, {one.ci_high:.2f}]" if one.ci_low == one.ci_low else "no interval" for one in rows.itertuples()
        ]
        told = [
            f"{one.bound} {one.speedup:.2f}× {span}, {one.pairs} pairs"
            for one, span in zip(rows.itertuples(), interval, strict=True)
        ]
        marker = {"symbol": [SIGNS[bound] for bound in rows["bound"]], "size": [5 if b == "=" else 9 for b in rows["bound"]]}
        data.append(
            line(
                method,
                look[method],
                2,
                mode="lines+markers",
                x=numbers(rows["target"].tolist()),
                y=numbers(rows["speedup"].tolist()),
                customdata=told,
                marker={**marker, "color": look[method].colour, "line": {"width": 1, "color": look[method].colour}},
                hovertemplate="%{customdata} to %{x}",
                meta="speedup",
            )
        )
    layout: Figure = {
        "xaxis": {
            "title": {"text": f"target {text(scores.metric)}, harder to the right"},
            "type": "log",
            "autorange": "reversed",
            "tickformat": "~g",
        },
        "yaxis": {
            "title": {"text": f"speedup in {axis}"},
            "type": "log",
            **FACTOR_TICKS,
        },
    }
    one, _ = rule("y", 1, "", "solid")
    layout["shapes"] = [one]
    if scores.rules.target != FINAL:
        shape, note = rule("x", float(scores.rules.target), f"target {scores.rules.target:g}", "dash", log=True)
        layout["shapes"].append(shape)
        layout["annotations"] = [note]
    return {"data": data, "layout": layout}


def loss_columns(curves: Sequence[Curve]) -> list[str]:
    """The columns of held-out loss that were measured: over all timesteps, and by tenth of them."""
    wanted = ["val_loss", *(f"val_loss_bin{k}" for k in range(BINS))]
    return [name for name in wanted if any(np.isfinite(curve.columns.get(name, np.array([]))).any() for curve in curves)]


def loss_figure(races: RunTable, look: dict[str, Style], column: str) -> Figure:
    """Held-out loss over training: each method's median over seeds."""
    data = []
    for method in races.methods:
        runs = [curve for curve in races.curves if curve.method == method and len(curve.fd) and column in curve.columns]
        if runs:
            far = longest_runs(runs)
            middle = np.median([one.columns[column] for one in far], axis=0)
            hover = f"median of {len(far)}: %{{y:.4f}} at %{{x}}"
            x = numbers(far[0].iteration)
            data.append(line(method, look[method], 2, x=x, y=numbers(middle), hovertemplate=hover, meta="median"))
    axes = {
        "xaxis": {"title": {"text": races.rules.unit}},
        "yaxis": {"title": {"text": "held-out eps-MSE"}, "type": "log"},
    }
    return {"data": data, "layout": axes}


def density_figure(moments: dict[str, list[ProfilePoint]], look: dict[str, Style], k: int, weight: bool) -> Figure:
    """p x T (1: uniform), or the weight on the eps-MSE, over t at the k-th progress; one line per method."""
    data = []
    for method, said in moments.items():
        values = said[k].w if weight else said[k].p * len(said[k].p)
        t = np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(int))
        rounded = [float(f"{value:.5g}") for value in values[t]]
        hover = "%{y:.3~g} at t = %{x}"
        data.append(line(method, look[method], 2, x=numbers(t), y=numbers(rounded), hovertemplate=hover))
    every = [one.w for said in moments.values() for one in said]
    positive = (
        weight and all((w > 0).all() for w in every) and max(w.max() for w in every) > CONSTANT * min(w.min() for w in every)
    )
    y: Figure = {"title": {"text": "weight on the eps-MSE" if weight else "p(t) × T (1: uniform)"}}
    y |= {"type": "log", "tickformat": "~g"} if positive else {"rangemode": "tozero"}
    return {"data": data, "layout": {"xaxis": {"title": {"text": "timestep t (0: clean)"}}, "yaxis": y}}


def optimizer_figure(moments: dict[str, list[ProfilePoint]], look: dict[str, Style], beta1: float | None) -> Figure:
    """Learning-rate multiplier and, below it, Adam's beta1 (the task's if the method leaves it) over progress."""
    data = []
    for method, said in moments.items():
        x = numbers([one.progress for one in said])
        betas = [beta1 if one.beta1 is None else one.beta1 for one in said]
        known = numbers([np.nan if beta is None else beta for beta in betas])
        hover = "%{y:.3~g} at progress %{x}"
        data.append(line(method, look[method], 2, x=x, y=numbers([one.lr_scale for one in said]), hovertemplate=hover))
        data.append(line(method, look[method], 2, x=x, y=known, hovertemplate=hover, yaxis="y2"))
    layout: Figure = {
        "xaxis": {"title": {"text": "progress"}, "anchor": "y2"},
        "yaxis": {"title": {"text": "× learning rate"}, "domain": [0.55, 1], "rangemode": "tozero"},
        "yaxis2": {"title": {"text": "Adam's β1"}, "domain": [0, 0.45]},
    }
    return {"data": data, "layout": layout}
