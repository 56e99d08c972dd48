"""Methods for a person: the list, one method explained, its arrays as CSV and as a plot, and its checks."""

import inspect
import io
import typing
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from fidrace.method import conformance
from fidrace.method.base import TENSORS, Floats, Method
from fidrace.method.composition import Composition
from fidrace.method.profile import HORIZON, ProfilePoint, profile
from fidrace.method.registry import Registry
from fidrace.report.terminal import make_console
from fidrace.storage.atomic import write_atomic
from fidrace.storage.tables import csv_text


def print_methods(registry: Registry) -> None:
    table = Table("name", "changes", "evidence", "horizon", "claim", "source")
    for name, method in sorted(registry.methods.items(), key=lambda item: (item[0] != "baseline", item[0])):
        changes = ", ".join(method().aspects()) or "nothing"
        horizon = "yes" if method.depends_on_horizon() else "no"
        table.add_row(name, changes, method.evidence, horizon, method.claim, method.source)
    make_console().print(table)


def explain(composition: Composition, grid: str, points: list[ProfilePoint]) -> None:
    """Print what each part of a composition is, and what the whole does at the given points of training."""
    for part in composition.parts:
        print(f"{part}: {inspect.cleandoc(part.__doc__ or '')}\n")
        horizon = "yes, its curve before the budget depends on the budget" if part.depends_on_horizon() else "no"
        print(f"source: {part.source}" + (f" (claim: {part.claim})" if part.claim else ""))
        print(f"evidence: {part.evidence}; changes: {', '.join(part.aspects()) or 'nothing'}; horizon: {horizon}")
        print(f"judged in: iterations{'' if part.axis == 'iterations' else f' and {part.axis}'}" + noise_note(part))
        for key in part.parameters():
            print(f"  {parameter_line(part, key)}")
        print()
    table = Table(
        "progress", "lr_scale", "beta1", "EMA decay", "share of timesteps, by tenths of T", "weight on the eps-MSE",
        title=f"on {grid}, {HORIZON} iterations{adaptive_note(composition)}", title_justify="left",
    )  # fmt: skip
    for point in points:
        table.add_row(*point.row())
    make_console().print(table)


def noise_note(part: Method) -> str:
    return "" if part.keeps_noise else "; trains on noise that is not N(0, I)"


def adaptive_note(composition: Composition) -> str:
    """How the arrays of an adaptive method, which depend on losses, were made; empty for others."""
    return "; it adapts: shown with an ideal denoiser's losses" if composition.adaptive() else ""


def parameter_line(part: Method, key: str) -> str:
    """`sigma = 0.5 (default 0.5; (0, inf)): what it is`."""
    field = part.parameters()[key]
    limits = field.metadata["limits"]
    choices = typing.get_args(typing.get_type_hints(type(part))[key])
    takes = " or ".join(choices) or str(limits)
    return f"{key} = {getattr(part, key)} (default {field.default}; {takes}): {limits.help}"


def write_csv(composition: Composition, points: list[ProfilePoint], path: Path) -> None:
    """Columns t, abar, snr, p, w (w on the eps-MSE), progress; T rows for each progress."""
    schedule = composition.parts[0].schedule
    ground = {"t": np.arange(schedule.T), "abar": schedule.abar, "snr": schedule.snr}
    table = pd.concat([pd.DataFrame({**ground, "p": one.p, "w": one.w, "progress": one.progress}) for one in points])
    write_atomic(path, csv_text(table))


def write_plot(composition: Composition, grid: str, points: list[ProfilePoint], path: Path) -> None:
    """Plot p and w over t, one line per progress, and below them over training what a method makes of the learning rate, beta1
    and the average."""
    course = course_of(composition, grid) if {"optimizer", "average"} & composition.claims.keys() else {}
    figure = Figure(figsize=(9, 9 if course else 6))
    above, below, *last = figure.subplots(3 if course else 2, 1)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(points)))
    T = composition.parts[0].schedule.T
    widths = np.linspace(4, 1.2, len(points))  # thinner and thinner, so that equal lines all show
    for point, colour, width in zip(points, colours, widths, strict=True):
        above.plot(point.p * T, color=colour, linewidth=width, label=f"progress {point.progress:g}")
        below.plot(point.w, color=colour, linewidth=width)
    above.set(title=f"{composition} on {grid}{adaptive_note(composition)}", ylabel="p(t) × T (1: uniform)")
    above.set_ylim(bottom=0)
    above.legend()
    positive = all((point.w > 0).all() for point in points)
    below.set(xlabel="timestep t (0: clean)", ylabel="weight on the eps-MSE", yscale="log" if positive else "linear")
    for axes in last:
        for label, values in course.items():
            axes.plot(np.linspace(0, 1, len(values)), values, label=label)
        axes.set(xlabel="progress", ylim=(0, None))
        axes.legend()
    for axes in (above, below, *last):
        axes.grid(True, alpha=0.2)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    write_atomic(path, buffer.getvalue())


def course_of(composition: Composition, grid: str) -> dict[str, Floats]:
    """The learning rate's multiplier, beta1 and the average's decay at even steps of training, those that a method sets."""
    points = profile(composition, grid, [k / 200 for k in range(201)])
    lines: dict[str, list[float | None]] = {
        "learning rate / the task's": [point.lr_scale for point in points],
        "beta1": [point.beta1 for point in points],
        "EMA decay": [point.decay for point in points],
    }
    return {label: np.array(values, float) for label, values in lines.items() if {*values} - {None, 1.0}}


def examine(registry: Registry, name: str, methods_path: Sequence[str]) -> tuple[int, int]:
    """Run and print the checks of a method; returns how many failed, and how many there were."""
    from fidrace.execute import batch_checks  # torch
    from fidrace.execute import method_trial as trial

    def report(title: str, wrong: str, found: str = "") -> bool:
        print(f"{'FAILED' if wrong else 'ok':7} {title}{': ' if wrong or found else ''}{wrong or found}", flush=True)
        return not wrong

    passed = [report(title, wrong) for title, wrong in conformance.examine(registry, name)]
    claims = registry.compose(name).claims.keys()
    if TENSORS & claims:
        passed += [report(title, wrong) for title, wrong in conformance.examine(registry, name, batch_checks.CHECKS)]
    wrong = found = ""
    try:
        found = trial.race_briefly(name, methods_path)
    except (Exception, SystemExit) as error:
        wrong = f"{type(error).__name__}: {error}"
    passed.append(report(f"a race of {trial.STEPS} steps, whole and interrupted", wrong, found))
    if all(passed):
        if {"noise", "target"} & claims:
            print(f"{'':7} {batch_checks.measure_noise(registry, name)}")
        ratio = trial.step_ratio(name, registry, blocks=5)
        print(f"{'':7} a step takes {ratio:.2f} times the baseline's (medians of 50 steps in turn)")
    return passed.count(False), len(passed)
