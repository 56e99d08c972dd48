"""`fidrace site`: every link leads somewhere, nothing is asked of any host, and what a reader does works in Chromium."""

import base64
import json
import os
import re
import shutil
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
from fidrace.report.site.write import write_site
from fidrace.report.style import COLOURS, ON_DARK
from fidrace.storage.atomic import WriteError
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


def run(*words: str | Path) -> None:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies, one of them a table of three columns in a folder with a hostile name, and this repository's docs."""
    place = tmp_path_factory.mktemp("site")
    (place / "results").mkdir()
    excerpt(place / "results/mine")
    without_study(place / "results/mine", place / "results" / HOSTILE)
    run("site", place / "results", "--out", place / "out")
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


README = """# Mine

![own](pic.png) ![outside](../private.png) [gone](#nope) [there](#twice-1) [far](javascript:alert(1)) <script>alert(1)</script>

## Twice

## Twice
"""


def test_a_study_shows_its_own_pictures_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    mine = excerpt(tmp_path / "mine")
    for path, text in ((mine / "pic.png", b"OWN"), (tmp_path / "private.png", b"PRIVATE")):
        path.write_bytes(text)
    (mine / "README.md").write_text(README)
    run("site", mine, "--docs", mine, "--out", tmp_path / "out")
    text = (tmp_path / "out/results/mine/index.html").read_text()
    assert base64.b64encode(b"OWN").decode() in text
    assert base64.b64encode(b"PRIVATE").decode() not in text
    page = Anchors(text)
    assert {"twice", "twice-1"} <= page.ids
    assert "#twice-1" in page.links
    assert not [link for link in page.links if "nope" in link or "javascript" in link]
    assert "<script>alert" not in text


@pytest.mark.parametrize("name", ["README.md", "claims.csv", "across-tasks.md", "runs/digits/real.png"])
def test_a_link_that_leads_out_of_a_study_is_refused(name: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = excerpt(tmp_path / "mine") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / "secret")
    assert f"{name} leads out of the folder" in refused("site", "mine", "--out", "out")
    assert not (tmp_path / "out").exists()


def test_docs_that_are_not_there_are_named(refused: Refused, tmp_path: Path) -> None:
    excerpt(tmp_path / "mine")
    assert "--docs nowhere: no such folder" in refused("site", "mine", "--docs", "nowhere", "--out", "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stranger", ["CNAME", ".git/config", "results/mine/notes.html"])
def test_a_site_with_somebody_s_files_in_it_is_not_replaced(stranger: str, refused: Refused, tmp_path: Path) -> None:
    mine, out = excerpt(tmp_path / "mine"), tmp_path / "out"
    run("site", mine, "--docs", mine, "--out", out)
    (out / "results/mine/index.html").write_text((out / "results/mine/index.html").read_text() + "old")
    run("site", mine, "--docs", mine, "--out", out)  # its own pages alone: replaced
    assert not (out / "results/mine/index.html").read_text().endswith("old")
    (out / stranger).parent.mkdir(exist_ok=True)
    (out / stranger).write_text("theirs")
    assert f"holds {stranger}" in refused("site", "mine", "--out", "out")
    assert (out / stranger).read_text() == "theirs"


def test_a_site_stays_if_the_new_one_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path / "out", [("index.html", "old")])
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("no space left")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(WriteError):
        write_site(tmp_path / "out", [("index.html", "new")])
    assert (tmp_path / "out/index.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_leaderboard_over_tasks_is_a_page_by_itself(tmp_path: Path) -> None:
    across = tmp_path / "across"
    shutil.copytree("results/across", across)
    run("site", across, "--docs", across, "--out", tmp_path / "out")
    text = (tmp_path / "out/results/across/index.html").read_text()
    assert base64.b64encode((across / "across-tasks.png").read_bytes()).decode() in text


def test_search_holds_the_whole_of_the_longest_page(site: Path) -> None:
    last = max(Path("docs").glob("*.md"), key=lambda path: path.stat().st_size).read_text().split()[-3:]
    assert json.dumps(" ".join(last))[1:-1] in (site / "search.html").read_text()


def test_what_is_no_study_or_no_site_is_one_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no study in it" in refused("site", tmp_path / "empty", "--out", tmp_path / "out")
    excerpt(tmp_path / "mine")
    (tmp_path / "other").mkdir()
    excerpt(tmp_path / "other/mine")
    assert "has this name too" in refused("site", tmp_path / "mine", tmp_path / "other", "--out", tmp_path / "out")
    assert "no page of a site" in refused("site", tmp_path / "mine", "--out", tmp_path / "other")
    (tmp_path / "file").touch()
    (tmp_path / "mine/README.md").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refused("site", tmp_path / "mine", "--out", tmp_path / "out")
    broken = excerpt(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    assert "cannot be the name of a page" in refused("site", broken, "--out", tmp_path / "out")
    shutil.rmtree(broken)
    assert "is a file" in refused("site", tmp_path / "mine", "--out", tmp_path / "file")
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "mine", "other", "file"}
