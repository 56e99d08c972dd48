"""The page of published tables, without runs: changed in ways that a reader may meet."""

import json
import shutil
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.report.glossary import load_glossary
from fidrace.report.page.build import SHOWN_AXES, FolderContent, page, profiles_of
from fidrace.report.page.charts import density_figure, speedup_figure
from fidrace.report.style import ON_DARK, styles
from fidrace.score.leaderboard import score_folder
from fidrace.storage.manifest import read_manifest
from tests.browser import opened, reported, template_sha256
from tests.large_study import large_study
from tests.published import excerpt, silently_the_baseline, without_study

DIGITS = Path(__file__).parents[1] / "results" / "digits"
HOSTILE = ("<script>alert(1)</script>", "<b>bold</b>")  # plotly takes the second, and not the first, for markup


def shown_colour(method: str, scheme: str) -> str:
    style = styles(pd.read_csv(DIGITS / "leaderboard.csv")["method"])[method]
    return style.on_dark if scheme == "dark" else style.colour


def page_of(folder: Path) -> str:
    return page(folder, FolderContent.of(folder), ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tables that a score is made from."""
    for name in ("runs.csv", "evals.csv", "study.json"):
        shutil.copy(DIGITS / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_method_named_as_markup_stays_text(name: str, folder: Path, chromium: Any) -> None:
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("min-snr", name))
    path = reported(folder)
    assert name not in path.read_text()
    hostile = opened(chromium, path)
    assert hostile.said == []
    assert name in {row["method"][0] for row in hostile.table("leaderboard")}
    button = hostile.page.locator("#methods button", has_text=name)
    button.click()
    assert {trace["visible"] for trace in hostile.charts("fd") if trace["method"] == name} == {False}
    button.click()
    hostile.page.evaluate("Plotly.relayout('fd', {showlegend: true})")
    assert name in hostile.page.locator("#fd .legendtext").all_text_contents()
    assert f"unknown method '{name}'" in hostile.page.inner_text("#h-methods ~ .note >> nth=-1")


def test_a_study_at_work_is_told_as_far_as_it_is(folder: Path, chromium: Any) -> None:
    runs, evals = (pd.read_csv(folder / name, keep_default_na=False) for name in ("runs.csv", "evals.csv"))
    runs.loc[runs["method"] == "baseline", "status"] = "running"
    evals = evals[(evals["method"] != "baseline") | (evals["iteration"] < 200)]
    for table, name in ((runs, "runs.csv"), (evals, "evals.csv")):
        table.to_csv(folder / name, index=False)
    early = opened(chromium, reported(folder))
    assert early.said == []
    assert "nothing can be compared yet: no finished run of 'baseline'" in early.page.inner_text(".headline")
    points = [y for trace in early.charts("fd") if trace["kind"] == "runs" for y in trace["y"] if y is not None]
    assert sorted(points) == sorted(evals["fd"])
    assert early.page.locator("#leaderboard").count() == 0
    assert "baseline is not shown: no run of it has finished" in early.page.inner_text("main")


def test_each_baselines_final_distance_can_be_the_target(folder: Path, chromium: Any) -> None:
    study = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps({**study, "target": "baseline-final"}))
    final = opened(chromium, reported(folder))
    assert final.said == []
    evals = pd.read_csv(folder / "evals.csv").query("method == 'baseline' and iteration == 500")
    crossed = next(t for t in final.charts("fd") if t["kind"] == "crossings" and t["method"] == "baseline")
    assert dict(zip(crossed["seeds"], crossed["y"], strict=True)) == pytest.approx(evals.set_index("seed")["fd"].to_dict())
    assert set(crossed["x"]) == {500}


def test_a_run_that_diverged_is_drawn_as_far_as_there_are_numbers(folder: Path, chromium: Any) -> None:
    runs, evals = (pd.read_csv(folder / name, keep_default_na=False) for name in ("runs.csv", "evals.csv"))
    runs.loc[(runs["method"] == "p2") & (runs["seed"] == 3), "status"] = "diverged"
    evals.loc[(evals["method"] == "p2") & (evals["seed"] == 3) & (evals["iteration"] > 100), ["fd", "val_loss"]] = np.nan
    for table, name in ((runs, "runs.csv"), (evals, "evals.csv")):
        table.to_csv(folder / name, index=False)
    shown = opened(chromium, reported(folder))
    assert shown.said == []
    runs_of = next(t for t in shown.charts("fd") if t["kind"] == "runs" and t["method"] == "p2")
    points = [(x, y) for seed, x, y in zip(runs_of["seeds"], runs_of["x"], runs_of["y"], strict=True) if seed == 3 and y]
    assert [x for x, _ in points] == [0, 50, 100]
    (row,) = (row for row in shown.table("leaderboard") if row["method"][0] == "p2")
    assert "diverged" in row["notes"][0]
    assert row["speedup"][0].startswith("≤ ")


def test_a_large_study_makes_a_page_under_ten_megabytes(tmp_path: Path) -> None:
    study = large_study(tmp_path)
    text = page(tmp_path, FolderContent.of(tmp_path), [])
    assert len(study.methods) == 20
    assert len(text.encode()) < 10e6


def test_no_two_methods_look_the_same() -> None:
    look = styles(["baseline", *(f"m{k}" for k in range(24))])
    assert len({(one.colour, one.dash) for one in look.values()}) == 25


@pytest.mark.parametrize("found", [True, False])
def test_open_calls_the_browser(folder: Path, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: shown.append(url) or found)
    result = CliRunner().invoke(app, ["report", str(folder), "--open"])
    assert (result.exit_code, shown) == (0, [(folder / "report.html").as_uri()])
    assert ("no browser was found" in result.stderr) is not found


def test_published_tables_are_reported_by_name_into_the_current_folder_and_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in DIGITS.iterdir()}
    result = CliRunner().invoke(app, ["report", "digits"])
    assert (result.exit_code, result.stdout) == (0, "digits.html\n")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in DIGITS.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["digits.html"]
    assert "1.22×" in (tmp_path / "digits.html").read_text()


def test_a_folder_of_the_name_of_published_tables_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    excerpt(tmp_path / "digits", ("baseline", "clts"), (0, 1, 2))
    result = CliRunner().invoke(app, ["report", "digits"])
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert (tmp_path / "digits" / "report.html").exists()


def test_the_page_explains_its_words_and_is_silent_about_the_others(folder: Path) -> None:
    text = reported(folder).read_text()
    for term in load_glossary():
        assert (f"<dt>{term.name}</dt>" in text) == term.page


def test_the_page_says_what_the_task_is_and_that_no_control_was_raced(tmp_path: Path) -> None:
    text = page_of(excerpt(tmp_path / "mine"))
    assert "45,041 parameters" in text
    assert "A factor on it is evidence about it" in text
    assert "declares no control" in text
    assert "declares no control" not in page_of(DIGITS)
    assert "lie on each other" not in text
    assert "baseline and min-snr lie on each other" in page_of(excerpt(tmp_path / "same", evals=silently_the_baseline))


def test_what_the_grid_allows_is_shown_where_runs_are_not_our_own(tmp_path: Path, chromium: Any) -> None:
    ours = excerpt(tmp_path / "mine")
    (without_study(ours, tmp_path / "theirs") / "runs.csv").unlink()  # which would say that fidrace made them
    (tmp_path / "theirs/study.toml").write_text("target = 34")
    theirs = opened(chromium, reported(tmp_path / "theirs")).table("leaderboard")
    row = next(row for row in theirs if row["method"][0] == "min-snr")
    table = score_folder(tmp_path / "theirs").leaderboard.set_index("method").loc["min-snr"]
    assert row["by the grid alone"][0] == f"{table['factor_low']:.2f} – {table['factor_high']:.2f}"
    assert "by the grid alone" not in opened(chromium, reported(ours)).table("leaderboard")[0]


def test_a_phone_shows_factor_and_interval_without_scrolling(chromium: Any, folder: Path) -> None:
    page = opened(chromium, reported(folder), viewport={"width": 390, "height": 800}).page
    row = page.locator("#leaderboard tbody tr", has_text="min-snr")
    for text in ("1.22×", "1.15 – 1.29"):
        place = row.locator("td", has_text=text).bounding_box()
        assert place["x"] + place["width"] <= 390, text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_line_is_too_pale_for_its_paper(scheme: str, chromium: Any, folder: Path) -> None:
    page = opened(chromium, reported(folder), color_scheme=scheme).page
    drawn = {*page.evaluate("document.getElementById('fd').data.map(trace => trace.line?.color ?? '')")}
    pale, strong = {*ON_DARK.values()}, {*ON_DARK}
    assert drawn >= (pale if scheme == "dark" else strong)
    assert not drawn & (strong if scheme == "dark" else pale)
    stroke = page.evaluate("getComputedStyle(document.querySelector('[data-method=mdlrc] line')).stroke")
    assert stroke == "rgb({}, {}, {})".format(*bytes.fromhex(shown_colour("mdlrc", scheme)[1:]))


@pytest.mark.parametrize(("methods", "kind"), [(("baseline", "mdlrc"), None), (("baseline", "min-snr"), "log")])
def test_weights_that_never_change_get_no_logarithm(methods: tuple[str, ...], kind: str | None, tmp_path: Path) -> None:
    content = FolderContent.of(excerpt(tmp_path / "mine", methods))
    said, _ = profiles_of(content.races, read_manifest(tmp_path / "mine/study.json"), ())
    figure = density_figure(said, styles(methods), 0, weight=True)
    assert figure["layout"]["yaxis"].get("type") == kind


def test_the_picture_in_the_docs_is_of_todays_template() -> None:
    """docs/report.md has the command that makes it again."""
    with Image.open(DIGITS.parents[1] / "docs/report.png") as picture:
        assert picture.info.get("template") == template_sha256()


def test_the_speedup_chart_on_an_axis_without_rows_is_that_of_iterations() -> None:
    scores = score_folder(DIGITS)
    look = styles(scores.leaderboard["method"])
    charts = {axis: speedup_figure(scores, look, axis) for axis in SHOWN_AXES}
    assert len(charts["images"]["data"]) > 6
    assert charts["images"]["data"] == charts["iterations"]["data"] != charts["seconds"]["data"]
    assert charts["images"]["layout"]["yaxis"]["title"] == {"text": "speedup in images"}
