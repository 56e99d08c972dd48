"""The page: what a reader sees in a browser is what the tables say, and nothing leaves it."""

import base64
import io
import json
import shutil
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from plotly.graph_objects import Figure

from fidrace.data.loading import digits
from fidrace.report.page.build import FolderContent, make_charts, profiles_of
from fidrace.report.style import styles
from fidrace.storage.manifest import read_manifest
from tests.browser import Opened, opened, reported, until
from tests.conftest import TINY, command_here

AXES = {"iterations": "iteration", "seconds": "train_seconds", "images": "images"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real study on digits, made by the command, whose report it wrote."""
    out = tmp_path_factory.mktemp("study") / "digits"
    words = ["run", *TINY, "--budget", "60", "--target", "119", "-m", "min-snr", "-m", "clts", "--seeds", "3", "--out", out]
    shown: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webbrowser, "open", lambda url: not shown.append(url))
        result = command_here([*words, "--open"], out.parent)
    assert result.returncode == 0, result.stderr
    assert shown == [(out / "report.html").as_uri()]
    assert f"report: {out / 'report.html'}" in result.stderr
    return out


@pytest.fixture(scope="module")
def seen(folder: Path, chromium: Any) -> Opened:
    return opened(chromium, folder / "report.html", viewport={"width": 1200, "height": 900}, color_scheme="light")


def test_the_page_is_silent_and_asks_nothing_of_any_host(seen: Opened, folder: Path) -> None:
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith(("data:", "blob:"))] == [(folder / "report.html").as_uri()]


def test_the_policy_forbids_what_the_page_never_does(seen: Opened) -> None:
    seen.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    seen.page.evaluate("fetch('https://example.org/').catch(() => 0)")
    assert seen.page.evaluate("window.ran") is None
    assert any("inline script violates" in text for text in seen.said)
    assert not any("example.org" in url for url in seen.asked)
    seen.said.clear()


@pytest.mark.parametrize("axis", AXES)
def test_the_points_of_the_chart_are_those_of_evals_csv(seen: Opened, folder: Path, axis: str) -> None:
    seen.page.click(f"button[data-chart='fd'][data-variant='{axis}']")
    points = {
        (trace["name"], seed, x, y)
        for trace in seen.charts("fd")
        if trace["kind"] == "runs"
        for seed, x, y in zip(trace["seeds"], trace["x"], trace["y"], strict=True)
        if y is not None
    }
    table = pd.read_csv(folder / "evals.csv")
    assert points == set(table[["method", "seed", AXES[axis], "fd"]].itertuples(index=False, name=None))
    assert len(points) == len(table) == 3 * 3 * 5


def test_the_medians_and_the_range_are_those_of_evals_csv(seen: Opened, folder: Path) -> None:
    seen.page.click("button[data-chart='fd'][data-variant='iterations']")
    by = pd.read_csv(folder / "evals.csv").groupby(["method", "iteration"])["fd"]
    middle, low, high = by.median(), by.min(), by.max()
    for trace in seen.charts("fd"):
        if trace["kind"] == "median":
            assert trace["y"] == pytest.approx(middle[trace["name"]].tolist(), rel=1e-15)
        if trace["kind"] == "band":
            assert trace["y"] == [*low[trace["name"]], *high[trace["name"]][::-1]]


def test_the_leaderboard_is_that_of_speedups_csv(seen: Opened, folder: Path) -> None:
    table = pd.read_csv(folder / "speedups.csv")
    rows = {row["method"][0]: row for row in seen.table("leaderboard")}
    assert {*rows} == {"baseline", *table["method"]}
    known = table[(table["axis"] == "iterations") & table["speedup"].notna()]  # the last digits decide how many arrive
    assert len(known)
    for one in known.itertuples():
        row = rows[one.method]
        assert float(row["speedup"][1]) == one.speedup
        assert row["speedup"][0].removeprefix("≥ ").removeprefix("≤ ") == f"{one.speedup:.2f}×"
        assert float(row["to target"][1]) == one.median_to_target
        assert row["95 % interval"][0] == f"{one.ci_low:.2f} – {one.ci_high:.2f}".replace("inf", "∞")
        assert row["verdict"][0] == one.verdict
        assert row["notes"][0] == one.flags
        assert row["reached"][0] == f"{one.reached}/3"
    assert rows["min-snr"]["claimed"][0] == "(3.4×)"


@pytest.mark.parametrize(
    ("name", "file"), [("speedups", "speedups.csv"), ("curve-table", "curve.csv"), ("runs-table", "runs.csv")]
)
def test_tables_are_those_of_the_files(seen: Opened, folder: Path, name: str, file: str) -> None:
    table = pd.read_csv(folder / file, keep_default_na=False, dtype=str)
    rows = seen.table(name)
    if file == "curve.csv":
        table = table[table["axis"] == "iterations"]
    shown = pd.DataFrame([{heading: value for heading, (_, value) in row.items()} for row in rows])
    assert len(shown) == len(table) > 0
    for column in shown:
        for ours, theirs in zip(shown[column], table[column], strict=True):
            assert ours == theirs or float(ours) == float(theirs), column


def test_headings_sort_both_ways_and_keep_what_is_missing_last(seen: Opened) -> None:
    def column(heading: str) -> list[str]:
        return [row[heading][1] for row in seen.table("leaderboard")]

    for heading in ("final FD", "Holm p"):
        head = seen.page.locator("#leaderboard th", has_text=heading)
        for direction, reverse in (("ascending", False), ("descending", True)):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == direction
            known = [float(value) for value in column(heading) if value]
            assert known == sorted(known, reverse=reverse)
            assert heading != "final FD" or len(set(known)) == 3
            assert heading != "Holm p" or column(heading)[-1] == ""  # the baseline's
    names = seen.page.locator("#leaderboard th button", has_text="method")
    for order in (["baseline", "clts", "min-snr"], ["min-snr", "clts", "baseline"]):
        names.click()
        assert column("method") == order


def test_a_method_is_hidden_in_every_chart_and_shown_again(seen: Opened) -> None:
    def visible() -> set[str]:
        names = ("fd", "speedup", "loss", "density", "weight", "optimizer")
        return {trace["method"] for name in names for trace in seen.charts(name) if trace["visible"]}

    button = seen.page.locator("#methods button", has_text="min-snr")
    for shown in (False, True):
        button.click()
        assert button.get_attribute("aria-pressed") == str(shown).lower()
        assert visible() == {"baseline", "clts"} | ({"min-snr"} if shown else set())
        assert seen.page.locator("figure[data-method='min-snr']").is_visible() == shown


def test_axes_become_logarithmic_and_back(seen: Opened) -> None:
    kind = "document.getElementById('fd').layout.yaxis.type"
    box = seen.page.locator("input[data-chart='fd'][data-log='yaxis']")
    assert seen.page.evaluate(kind) == "log"
    box.uncheck()
    assert seen.page.evaluate(kind) == "linear"
    assert seen.page.evaluate("document.getElementById('fd').layout.annotations[0].y") == pytest.approx(119)
    box.check()
    assert seen.page.evaluate(kind) == "log"


def test_the_slider_shows_what_each_method_drew_then(seen: Opened, folder: Path) -> None:
    moments = sorted(pd.read_csv(folder / "evals.csv")["iteration"].unique())
    for place in (0, len(moments) - 1):
        seen.page.locator("#film").fill(str(place))
        assert seen.page.inner_text("#frame") == str(moments[place])
        for method in ("baseline", "min-snr", "clts"):
            shown = seen.page.locator(f"figure[data-method='{method}'] img").get_attribute("src") or ""
            (file,) = folder.glob(f"runs/digits/{method}/seed-0-*/samples-{moments[place]}.png")
            assert base64.b64decode(shown.removeprefix("data:image/png;base64,")) == file.read_bytes()


def test_real_images_stand_beside_the_samples(seen: Opened, folder: Path) -> None:
    """The first 36 held-out digits, each pixel four wide between rules of one."""
    shown = seen.page.locator("figure", has_text="real, held out").locator("img").get_attribute("src") or ""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))))
    heldout = (digits().heldout[:36, 0] + 1) * 127.5
    cells = pixels.reshape(6, 34, 6, 34).swapaxes(1, 2).reshape(36, 34, 34)[:, 1:-1:4, 1:-1:4]
    assert np.abs(cells - heldout).max() <= 0.5


def test_the_progress_slider_moves_the_density_of_clts_only(seen: Opened) -> None:
    def density(method: str) -> list[float]:
        return next(trace["y"] for trace in seen.charts("density") if trace["method"] == method)

    seen.page.locator("#progress").fill("0")
    before = {method: density(method) for method in ("baseline", "clts")}
    seen.page.locator("#progress").fill("10")
    assert seen.page.inner_text("#moment") == "1.0"
    assert density("baseline") == before["baseline"] == pytest.approx([1.0] * 101)
    assert density("clts") != before["clts"]


def test_dark_and_light_follow_the_system_and_the_button(seen: Opened) -> None:
    def paper() -> str:
        return seen.page.evaluate("getComputedStyle(document.body).backgroundColor")

    def ink() -> str:
        return seen.page.evaluate("document.getElementById('fd').layout.font.color")

    assert (paper(), ink()) == ("rgb(255, 255, 255)", "#1a1c1f")
    seen.page.emulate_media(color_scheme="dark")
    until(seen.page, "document.getElementById('fd').layout.font.color === '#e8eaed'")
    assert paper() == "rgb(20, 23, 26)"
    baseline = "document.getElementById('fd').data.find(t => t.legendgroup === 'baseline' && t.meta === 'median').line.color"
    assert seen.page.evaluate(baseline) == "#e8eaed"  # black on black would not be seen
    seen.page.click("#theme")
    assert (paper(), ink()) == ("rgb(255, 255, 255)", "#1a1c1f")
    seen.page.click("#theme")
    assert (paper(), ink()) == ("rgb(20, 23, 26)", "#e8eaed")


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium: Any, folder: Path) -> None:
    phone = opened(chromium, folder / "report.html", viewport={"width": 390, "height": 844})
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    phone.page.context.close()


def test_it_prints_on_white_paper_from_a_dark_screen(chromium: Any, folder: Path) -> None:
    dark = opened(chromium, folder / "report.html", color_scheme="dark")
    dark.page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = document.getElementById('fd').layout.font.color; })"
    )
    assert dark.page.pdf(format="A4").startswith(b"%PDF")
    assert dark.page.evaluate("window.printed") == "#1a1c1f"
    assert dark.page.evaluate("document.getElementById('fd').layout.font.color") == "#e8eaed"
    dark.page.context.close()


def test_files_are_handed_out_as_they_are(seen: Opened, folder: Path) -> None:
    offered = {button.get_attribute("data-file") for button in seen.page.locator("[data-file]").all()}
    assert offered == {"runs.csv", "evals.csv", "speedups.csv", "guards.csv", "curve.csv", "leaderboard.csv", "study.json"}
    with seen.page.expect_download() as download:
        seen.page.click("[data-file='evals.csv']")
    assert download.value.suggested_filename == "evals.csv"
    assert Path(download.value.path()).read_bytes() == (folder / "evals.csv").read_bytes()


def test_every_chart_has_a_label_and_a_table_beside_it(seen: Opened) -> None:
    for chart in seen.page.locator(".chart").all():
        assert "table below" in (chart.get_attribute("aria-label") or "")
    assert seen.page.locator("section:has(.chart):not(:has(details table))").count() == 0


def test_a_report_of_runs_at_work_is_ahead_of_the_tables(folder: Path, tmp_path: Path) -> None:
    at_work = tmp_path / "copy"
    shutil.copytree(folder, at_work)
    (run,) = at_work.glob("runs/digits/clts/seed-2-*")
    row = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**row, "status": "running"}))
    reported(at_work)
    assert pd.read_csv(at_work / "runs.csv").set_index(["method", "seed"]).loc[("clts", 2), "status"] == "running"


def test_the_same_folder_gives_the_same_page(folder: Path, tmp_path: Path) -> None:
    before = (folder / "report.html").read_bytes()
    reported(folder)
    assert (folder / "report.html").read_bytes() == before


def test_figures_are_valid_ones_of_plotly(folder: Path) -> None:
    found = FolderContent.of(folder)
    said, _ = profiles_of(found.races, read_manifest(folder / "study.json"), [])
    charts = make_charts(found, styles(found.races.methods), said, {})
    assert {*charts} == {"fd", "speedup", "loss", "density", "weight", "optimizer"}
    for variants in charts.values():
        for figure in variants.values():
            Figure(figure)  # raises ValueError for a property that plotly does not know
