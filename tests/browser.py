"""A page as a reader opens it: in the system's Chromium, without a screen."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.report.page.build import PAGE
from fidrace.report.page.render import environment, read_source

DRAWN = "html[data-drawn='yes']"


def chromium() -> str:
    """The browser that FIDRACE_CHROMIUM names, which must then be there, else the system's; skips where there is none."""
    named = os.environ.get("FIDRACE_CHROMIUM")
    found = named or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium), or FIDRACE_CHROMIUM names one")
    assert Path(found).exists(), f"FIDRACE_CHROMIUM={named}"
    return found


@dataclass
class Opened:
    """A page, and what it said and asked for while it was open."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def charts(self, name: str) -> list[dict[str, Any]]:
        """The traces of a chart as plotly has them now: what they are, name, x, y, whether shown."""
        return self.page.evaluate(
            "name => document.getElementById(name).data.map(t => ({kind: t.meta ?? '', name: t.name, method: t.legendgroup,"
            " x: [...t.x], y: [...t.y], seeds: [...(t.customdata ?? [])], visible: t.visible}))",
            name,
        )

    def table(self, name: str) -> list[dict[str, tuple[str, str]]]:
        """A table's rows: by heading, what is shown and the value behind it."""
        headings, rows = self.page.evaluate(
            """name => {
                const t = document.getElementById(name), cells = (row) => [...row.cells];
                const rows = [...t.tBodies[0].rows].map(r => cells(r).map(c => [c.textContent, c.dataset.value]));
                return [cells(t.tHead.rows[0]).map(c => c.textContent.trim()), rows];
            }""",
            name,
        )
        return [dict(zip(headings, map(tuple, row), strict=True)) for row in rows]


def template_sha256() -> str:
    """Of what a study's page is made from, without its scripts: a picture of a page is out of date when it changes."""
    own = environment()
    return hashlib.sha256(
        "".join(read_source(own, name) for name in ("base.html", "page.html", "page.css")).encode()
    ).hexdigest()


def until(page: Page, condition: str, seconds: float = 10.0) -> None:
    """Wait for a condition in JavaScript; Playwright's own way evaluates a string in the page, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def reported(folder: Path) -> Path:
    """The page that `fidrace report` writes into `folder`, and names on stdout."""
    result = CliRunner().invoke(app, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder / PAGE}\n"
    return folder / PAGE


@contextmanager
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium())
        yield found
        found.close()


def opened(browser: Any, path: Path, **options: Any) -> Opened:
    """`path` in a new window, once its charts are drawn."""
    page = browser.new_context(**options).new_page()
    found = Opened(page)
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.absolute().as_uri())
    page.wait_for_selector(DRAWN, state="attached")
    return found
