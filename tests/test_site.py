"""`fidrace site`: every link leads somewhere, nothing is asked of any host, and what a reader does works in Chromium."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from playwright.sync_api import Page
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.method.registry import Registry
from fidrace.report.page.render import environment, read_source
from fidrace.report.style import COLOURS, ON_DARK
from tests.conftest import Refused
from tests.published import excerpt, without_study

HOSTILE = "<b>x & [y](z) 100% #1"
PHONE, SCREEN = {"width": 390, "height": 800}, {"width": 1280, "height": 900}


class Anchors(HTMLParser):
    """The ids of a page, and where it links to."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies, one of them a table of three columns in a folder with a hostile name, and this repository's docs."""
    place = tmp_path_factory.mktemp("site")
    (place / "results").mkdir()
    excerpt(place / "results/mine")
    without_study(place / "results/mine", place / "results" / HOSTILE)
    done = CliRunner().invoke(app, ["site", str(place / "results"), "--out", str(place / "out")])
    assert done.exit_code == 0, done.output
    return place / "out"


def look(chromium: Any, path: Path, **options: Any) -> tuple[Page, list[str]]:
    """A page of the site in a window of its own, and what it says and asks for."""
    page, heard = chromium.new_context(**options).new_page(), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: heard.append(request.url))
    page.goto(path.as_uri())
    return page, [one for one in heard if one != path.as_uri()]


def test_every_link_of_every_page_resolves(site: Path) -> None:
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 90
    links = [(path, link) for path, page in pages.items() for link in page.links if not re.match(r"https?:", link)]
    assert len(links) > 1000
    for path, link in links:
        place, _, anchor = link.partition("#")
        goal = (path.parent / unquote(place)).resolve() if place else path
        assert goal in pages, (path, link)
        assert not anchor or anchor in pages[goal].ids, (path, link)


def test_every_study_method_and_page_of_the_docs_is_there(site: Path) -> None:
    for name in Registry().methods:
        assert (site / f"docs/method-cards/{name}.html").is_file()
    for path in Path("docs").glob("*.md"):
        assert (site / f"docs/{path.stem}.html").is_file()
    board = pd.read_csv("results/digits/leaderboard.csv").set_index("method")
    assert f"{board.loc['min-snr', 'speedup']:.2f}×" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "results/mine/report.html").stat().st_size > 4e6  # with its charts


@pytest.mark.parametrize(
    "place", ["index.html", "studies.html", "claims.html", "docs/methods.html", "docs/method-cards/clts.html", "api.html"]
)
@pytest.mark.parametrize(("scheme", "size"), [("light", SCREEN), ("dark", PHONE)])
def test_pages_are_silent_ask_for_nothing_and_fit(
    place: str, scheme: str, size: dict[str, int], site: Path, chromium: Any
) -> None:
    page, heard = look(chromium, site / place, color_scheme=scheme, viewport=size)
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.locator("nav.site a").count() == 8
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "start"


def test_a_table_sorts_by_number_and_the_theme_changes(site: Path, chromium: Any) -> None:
    page, _ = look(chromium, site / "results/mine/index.html", color_scheme="light")
    factors = "[...document.querySelector('table').tBodies[0].rows].map(row => row.cells[4].textContent)"
    page.locator("table").first.locator("th", has_text="speedup").locator("button").click()
    rising = page.evaluate(factors)
    assert [float(one.strip("×")) for one in rising] == sorted(float(one.strip("×")) for one in rising)
    page.locator("table").first.locator("th", has_text="speedup").locator("button").click()
    assert page.evaluate(factors) == rising[::-1] != rising
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != before


def test_words_are_found_and_lead_to_their_page(site: Path, chromium: Any) -> None:
    page, heard = look(chromium, site / "search.html")
    page.fill("#words", "momentum lr-decay mdlrc")
    titles = page.locator("#found a").all_text_contents()
    assert "mdlrc" in titles
    page.locator("#found a", has_text=re.compile("^mdlrc$")).click()
    assert page.url.endswith("/docs/method-cards/mdlrc.html")
    assert heard == []
    page.go_back()
    page.fill("#words", "zebra quagga")
    assert page.inner_text("#count") == "0 pages"


def test_a_hostile_name_stays_text_and_can_be_followed(site: Path, chromium: Any) -> None:
    page, heard = look(chromium, site / "studies.html")
    page.locator("a", has_text=HOSTILE).click()
    assert page.inner_text("h1") == HOSTILE
    page.locator("a", has_text="Charts, samples").click()
    page.wait_for_selector("html[data-drawn='yes']", state="attached")
    assert heard == []


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * one for one in colour[1:])
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_have_the_contrast_that_wcag_asks_for() -> None:
    """4.5 for text, 3 for what a graphic needs."""
    sheet = read_source(environment(), "page.css")
    themes = [dict(re.findall(r"--(\w+): (#\w+)", line)) for line in sheet.splitlines() if "--ink:" in line]
    assert len(themes) == 3
    for theme in themes:
        for text in ("ink", "faint", "accent"):
            assert min(contrast(theme[text], theme[paper]) for paper in ("paper", "raised")) >= 4.5, (text, theme)
        dark = luminance(theme["paper"]) < 0.5
        for line in COLOURS:
            assert contrast(ON_DARK.get(line, line) if dark else line, theme["paper"]) >= 3, line


def test_what_is_no_study_or_no_site_is_one_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no study in it" in refused("site", tmp_path / "empty", "--out", tmp_path / "out")
    excerpt(tmp_path / "mine")
    (tmp_path / "other").mkdir()
    excerpt(tmp_path / "other/mine")
    assert "has this name too" in refused("site", tmp_path / "mine", tmp_path / "other", "--out", tmp_path / "out")
    assert "something else than a site" in refused("site", tmp_path / "mine", "--out", tmp_path / "other")
    (tmp_path / "file").touch()
    assert "is a file" in refused("site", tmp_path / "mine", "--out", tmp_path / "file")
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "mine", "other", "file"}
