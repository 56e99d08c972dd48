"""The page of a folder: one HTML file with everything that its tables say."""

import sys
import webbrowser
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fidrace.console import say
from fidrace.errors import InputError, NothingToConclude
from fidrace.method.noise_schedule import noise_schedule
from fidrace.method.profile import ProfilePoint, profile
from fidrace.method.registry import Registry, content_hash
from fidrace.report.claims import CLAIM_HEADINGS, EVIDENCE_HEADINGS, EVIDENCE_TITLE, claim_lines, evidence_lines
from fidrace.report.glossary import load_glossary
from fidrace.report.leaderboard import (
    CONTRAST_HEADINGS,
    CONTRASTS,
    GUARD_HEADINGS,
    GUARDS,
    SHARED,
    SHARED_HEADINGS,
    contrast_lines,
    guard_lines,
    title,
)
from fidrace.report.page import charts as figures
from fidrace.report.page import tables as sheets
from fidrace.report.page.render import render
from fidrace.report.page.samples import load_samples
from fidrace.report.style import Style, styles
from fidrace.score.claims import load_claims, verdicts_on_claim
from fidrace.score.comparison import RunTable
from fidrace.score.curves import axes_of
from fidrace.score.leaderboard import Scores, score_tables
from fidrace.score.provenance import merged_lines
from fidrace.score.reading import read_tables
from fidrace.score.rules import Question, read_rules
from fidrace.score.run_tables import make_run_table
from fidrace.spec.task import load_task, task_names
from fidrace.storage.atomic import write_atomic
from fidrace.storage.manifest import Manifest, MethodRecord, read_manifest

PAGE = "report.html"
TABLES = ("runs", "evals", "speedups", "contrasts", "guards", "curve", "leaderboard", "claims", "provenance")  # to download
SHOWN_AXES = ("iterations", "seconds", "images")
PROGRESSES = tuple(k / 10 for k in range(11))


@dataclass(frozen=True)
class FolderContent:
    """A folder's runs, and their scores or the reason why there are none."""

    races: RunTable
    scores: Scores | None
    reason: str
    metric: str

    @classmethod
    def of(cls, folder: Path, asked: Question = Question()) -> "FolderContent":
        """Raises InputError if the tables cannot be read, NothingToConclude if they hold no run."""
        try:
            scores = score_tables(folder, asked)
        except (InputError, NothingToConclude) as error:  # tables that are at fault raise again below
            reason = str(error).removeprefix(f"{folder}: ")
        else:
            return cls(make_run_table(scores.curves, scores.rules), scores, "", scores.metric)
        tables = read_tables(folder, asked.unit)
        races = make_run_table(tables.curves, read_rules(folder, tables, asked, aimless=True))
        return cls(races, None, reason if races.rules.aims else "no target is known, so there are no factors", tables.metric)


def write_page(folder: Path, found: FolderContent, methods_path: Sequence[str] = (), path: Path | None = None) -> Path:
    """Write the page of the tables in `folder` to `path`, by default `folder`/report.html; returns the path."""
    path = path or folder / PAGE
    write_atomic(path, page(folder, found, methods_path))
    return path


def open_in_browser(path: Path) -> None:
    """Open the page in the user's browser."""
    if not webbrowser.open(path.absolute().as_uri()):
        say(f"no browser was found to open {path}")


def page(folder: Path, found: FolderContent, methods_path: Sequence[str]) -> str:
    """The page as text."""
    races, scores = found.races, found.scores
    look = styles(races.methods, races.rules.baseline)
    study = read_manifest(folder / "study.json") if (folder / "study.json").exists() else None
    said, unsaid = profiles_of(races, study, methods_path)
    listed = (folder / "runs.csv").exists()
    runs = pd.read_csv(folder / "runs.csv", keep_default_na=False) if listed else pd.DataFrame([c.about for c in races.curves])
    shot = load_samples(folder, races.curves, races.methods)
    charts = make_charts(found, look, said, study)
    files = {path.name: path.read_text(encoding="utf-8") for path in downloads(folder)}
    frames = None if shot is None else {"iterations": shot.iterations, "frames": shot.frames}
    return render(
        "page.html",
        charts,
        files,
        frames,
        name=(study and study.name) or races.curves[0].task,
        task=races.curves[0].task,
        metric=found.metric,
        reason=found.reason,
        about=about_task(races.curves[0].task),
        no_contrasts=scores is not None and len(races.methods) > 1 and not len(scores.contrasts),
        covered=figures.covered_lines(races),
        glossary=[term for term in load_glossary() if term.page],
        title="" if scores is None else title(scores, scores.rules.unit),
        headline="" if scores is None else scores.headline(),
        leaderboard=None if scores is None else sheets.leaderboard_sheet(scores),
        speedups=None if scores is None else sheets.csv_sheet(scores.speedups),
        redundancy="" if scores is None else scores.redundancy_note(),
        sentences=() if scores is None else tuple(filter(None, (scores.window_note(), *scores.without_interval))),
        tables=[] if scores is None else side_tables(scores, races),
        look=look,
        methods=races.methods,
        unsaid=unsaid,
        fd_sheet=sheets.fd_sheet(races),
        curve_sheet=None if scores is None else sheets.csv_sheet(scores.curve[scores.curve["axis"] == scores.rules.unit]),
        loss_sheet=sheets.loss_sheet(races),
        moments_sheet=sheets.moments_sheet(said),
        shot=shot,
        progresses=PROGRESSES,
        provenance=sheets.provenance(folder, races, runs, study),
        runs=sheets.runs_sheet(runs),
    )


def about_task(name: str) -> str:
    """What a packaged task is, and what its verdicts are about; empty for another."""
    if name not in task_names():
        return ""
    task = load_task(name)
    return ". ".join(f"{text[0].upper()}{text[1:]}" for text in (task.summary, task.remark) if text) + "."


def downloads(folder: Path) -> list[Path]:
    """The files in the folder that the page offers for download."""
    return [path for path in (*(folder / f"{name}.csv" for name in TABLES), folder / "study.json") if path.exists()]


def make_charts(
    found: FolderContent, look: dict[str, Style], said: dict[str, list[ProfilePoint]], study: Manifest | None
) -> dict[str, dict[str, figures.Figure]]:
    """The charts by name, each with its variants by name."""
    races, scores = found.races, found.scores
    shown_axes = [axis for axis in SHOWN_AXES if axis in axes_of(races.curves)] or [races.rules.unit]
    charts: dict[str, dict[str, figures.Figure]] = {
        "fd": {axis: figures.fd_figure(races, look, axis, found.metric) for axis in shown_axes}
    }
    if scores is not None and len(scores.curve):
        charts["speedup"] = {axis: figures.speedup_figure(scores, look, axis) for axis in shown_axes}
    if columns := figures.loss_columns(races.curves):
        charts["loss"] = {name: figures.loss_figure(races, look, name) for name in columns}
    if said:
        for name, weight in (("density", False), ("weight", True)):
            kinds = {f"{at:.1f}": figures.density_figure(said, look, k, weight) for k, at in enumerate(PROGRESSES)}
            charts[name] = kinds
        beta1 = study.fixed.get("optimizer", {}).get("beta1") if study else None
        charts["optimizer"] = {"": figures.optimizer_figure(said, look, beta1)}
    return charts


def side_tables(scores: Scores, races: RunTable) -> list[tuple[str, sheets.Sheet, bool]]:
    """The tables below the leaderboard with their headings: contrasts and guards; claims and evidence, which are folded."""
    judged = [one for claim in load_claims() for one in verdicts_on_claim(claim, races) if claim.method in races.methods]
    found = [
        (CONTRASTS, CONTRAST_HEADINGS, contrast_lines(scores), False),
        (GUARDS, GUARD_HEADINGS, guard_lines(scores), False),
        ("published claims for these methods, and what would decide them", CLAIM_HEADINGS, claim_lines(judged), True),
        (EVIDENCE_TITLE, EVIDENCE_HEADINGS, evidence_lines(judged), True),
    ]
    found.append((SHARED, SHARED_HEADINGS, merged_lines(scores.rules.guarantees), False))
    return [(heading, sheets.text_sheet(headings, lines), folded) for heading, headings, lines, folded in found if lines]


def profiles_of(
    races: RunTable, study: Manifest | None, methods_path: Sequence[str]
) -> tuple[dict[str, list[ProfilePoint]], dict[str, str]]:
    """Each method's arrays over progress on the task's timesteps; and for methods that cannot be shown, why not."""
    task = races.curves[0].task
    fixed = (study and study.fixed) or (load_task(task).fixed_part() if task in task_names() else {})
    registry, hint = find_registry(methods_path, study.methods_path if study else ())
    said: dict[str, list[ProfilePoint]] = {}
    unsaid: dict[str, str] = {}
    try:
        diffusion, sigma_data = fixed["diffusion"], fixed["data"]["sigma_data"]
        grid = f"{diffusion['schedule']}-{diffusion['timesteps']}"
        noise_schedule(diffusion["schedule"], diffusion["timesteps"])
    except (KeyError, TypeError, InputError):
        return {}, dict.fromkeys(races.methods, "the task's timesteps are not known here")
    finished = {curve.method for curve in races.curves if curve.status == "finished"}
    for method in races.methods:
        if method not in finished:  # only code that has run to its end is safe to call in this process
            unsaid[method] = "no run of it has finished"
            continue
        try:
            composition = registry.compose(method)
        except InputError as error:
            unsaid[method] = f"{error}; {hint}"
            continue
        try:
            recorded = races.rules.methods.get(method, MethodRecord())
            if recorded.hash not in (None, content_hash(composition)):
                unsaid[method] = "its code has changed since it was run"
                continue
            with redirect_stdout(sys.stderr):  # a method's prints must not mix with the command's stdout
                said[method] = profile(composition, grid, PROGRESSES, diffusion.get("prediction", "eps"), sigma_data)
        except InputError as error:
            unsaid[method] = str(error)
    return said, unsaid


def find_registry(given: Sequence[str], recorded: Sequence[str]) -> tuple[Registry, str]:
    """The methods in the folders `given` and in those that the study recorded, and a hint for a method that is in none of
    them. A recorded folder that is gone, or whose files clash with the others', is left out."""
    folders, unusable = [str(Path(folder).resolve()) for folder in given], []
    registry = Registry(given)
    for folder in reversed(recorded):  # the last one named wins
        if folder not in folders:
            try:
                registry = Registry([*folders, folder])
                folders.append(folder)
            except InputError as error:
                unusable.append(str(error).removeprefix("--methods-path "))
    lost = f"its runs recorded a folder of methods ({'; '.join(unusable)}), " if unusable else ""
    return registry, f"{lost}--methods-path names the folder of such a method"
