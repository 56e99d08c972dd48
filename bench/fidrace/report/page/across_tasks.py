"""The page of a leaderboard over tasks: one HTML file, like that of a folder."""

from typing import Any

import numpy as np
import pandas as pd

from fidrace.report.across_tasks import ORDER_HEADINGS, READING, csv_files, headings, mean_lines, order_lines
from fidrace.report.across_tasks_png import factor_limits
from fidrace.report.page.charts import FACTOR_TICKS, SIGNS, Figure, line, numbers, rule, text
from fidrace.report.page.render import render
from fidrace.report.page.tables import csv_sheet, text_sheet
from fidrace.report.style import Style, styles
from fidrace.score.across_tasks import TAU, AcrossTasks

PAGE = "across-tasks.html"


def across_tasks_page(across: AcrossTasks) -> str:
    """The page as text."""
    look = styles(across.shared, across.baseline)
    charts = {"factors": {"": factors_figure(across, look)}, "profiles": {"": profiles_figure(across, look)}}
    return render(
        "across_tasks.html",
        charts,
        csv_files(across),
        name="over tasks",
        tasks=across.tasks,
        means=text_sheet(headings(across), mean_lines(across)),
        orders=text_sheet(ORDER_HEADINGS, order_lines(across)),
        factors=csv_sheet(across.factors),
        profiles=csv_sheet(across.profiles),
        reading=READING,
        remarks=across.remarks,
        methods=[*look],
        baseline=across.baseline,
        look=look,
        sources=across.sources,
    )


def factors_figure(across: AcrossTasks, look: dict[str, Style]) -> Figure:
    """Each method's factors over the tasks, with intervals as error bars."""
    data = []
    for method in across.shared:
        rows = across.factors[(across.factors["method"] == method) & across.factors["speedup"].notna()]
        factor = rows["speedup"].to_numpy(float)
        ends = {
            "array": numbers(np.minimum(rows["ci_high"].to_numpy(float), 100) - factor),
            "arrayminus": numbers(factor - np.maximum(rows["ci_low"].to_numpy(float), 0.1)),
        }
        bars = {"type": "data", "symmetric": False, "color": look[method].colour, "thickness": 1, "width": 3, **ends}
        marks = {"symbol": [SIGNS[bound] for bound in rows["bound"]], "size": 8}
        places = [text(task) for task in rows["task"]]
        drawn = {"mode": "lines+markers", "marker": marks, "error_y": bars}
        data.append(line(method, look[method], 2, x=places, y=numbers(factor), **drawn))
    one, _ = rule("y", 1, "", "solid")
    layout: dict[str, Any] = {
        "xaxis": {"type": "category", "categoryorder": "array", "categoryarray": [text(task) for task in across.tasks]},
        "yaxis": {
            "type": "log",
            "title": {"text": "speedup over the baseline"},
            "range": numbers(np.log10(factor_limits(across))),
            **FACTOR_TICKS,
        },
        "shapes": [one],
    }
    return {"data": data, "layout": layout}


def profiles_figure(across: AcrossTasks, look: dict[str, Style]) -> Figure:
    """The share of tasks against the ratio, as steps."""
    data = [
        profile_line(str(method), look[str(method)], steps) for method, steps in across.profiles.groupby("method", sort=False)
    ]
    layout = {
        "xaxis": {"title": {"text": "times what the fastest needs"}, "range": [1, TAU], "type": "linear"},
        "yaxis": {"title": {"text": "share of tasks"}, "range": [-0.02, 1.02], "type": "linear"},
    }
    return {"data": data, "layout": layout}


def profile_line(method: str, style: Style, steps: pd.DataFrame) -> dict[str, Any]:
    drawn = line(method, style, 2, x=numbers([*steps["ratio"], TAU]), y=numbers([*steps["share"], *steps["share"].tail(1)]))
    return {**drawn, "line": {**drawn["line"], "shape": "hv"}}
