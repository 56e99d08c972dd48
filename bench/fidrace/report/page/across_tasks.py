"""The page of a leaderboard over tasks: one HTML file, like that of a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fidrace.report.across_tasks import ORDER_HEADINGS, READING, csv_tables, csv_text, headings, mean_lines, order_lines
from fidrace.report.page.charts import Figure, line, numbers, text
from fidrace.report.page.render import render
from fidrace.report.page.tables import csv_sheet, text_sheet
from fidrace.report.png import FACTORS
from fidrace.report.style import INK, Style, styles
from fidrace.score.across_tasks import TAU, AcrossTasks
from fidrace.storage.atomic import write_atomic

PAGE = "across-tasks.html"
SYMBOLS = {"=": "circle", ">=": "triangle-up-open", "<=": "triangle-down-open"}


def write_across_tasks_page(folder: Path, across: AcrossTasks) -> Path:
    """Write the page into `folder`; returns its path."""
    look = styles(across.shared)
    charts = {"factors": {"": factors_figure(across, look)}, "profiles": {"": profiles_figure(across, look)}}
    page = render(
        "across_tasks.html",
        charts,
        {name: csv_text(table) for name, table in csv_tables(across).items()},
        name="over tasks",
        tasks=across.tasks,
        means=text_sheet(headings(across), mean_lines(across)),
        orders=text_sheet(ORDER_HEADINGS, order_lines(across)),
        factors=csv_sheet(across.factors),
        profiles=csv_sheet(across.profiles),
        reading=READING,
        remarks=across.remarks,
        methods=[*look],
        look=look,
        sources=across.sources,
    )
    write_atomic(folder / PAGE, page)
    return folder / PAGE


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
        marks = {"symbol": [SYMBOLS[bound] for bound in rows["bound"]], "size": 8}
        places = [text(task) for task in rows["task"]]
        data.append(
            line(method, look[method], 2, x=places, y=numbers(factor), error_y=bars, marker=marks) | {"mode": "lines+markers"}
        )
    one = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "line": {"color": INK, "width": 1}}
    ticks = {"tickvals": [*FACTORS], "ticktext": [f"{factor:g}×" for factor in FACTORS]}
    layout: dict[str, Any] = {
        "xaxis": {"type": "category", "categoryorder": "array", "categoryarray": [text(task) for task in across.tasks]},
        "yaxis": {"type": "log", "title": {"text": "speedup over the baseline"}, **ticks},
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
