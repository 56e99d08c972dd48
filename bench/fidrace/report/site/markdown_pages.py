"""Markdown as pages that link to each other. HTML in it stays text; pictures are put into the page; a link to what is no page
of the site becomes its text.
"""

import base64
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
NUMBER = re.compile(r"[≥≤~> ]*(-?[\d,]*\.?\d+(?:e-?\d+)?)")


@dataclass(frozen=True)
class Page:
    """A page of the site: its source's place (`docs/protocol.md`), its Markdown, and the folders on disk in which its pictures
    are looked for by their place, and beyond which none is read."""

    source: str
    text: str
    root: Path | None = None

    @property
    def place(self) -> str:
        """Where it lies in the site: a folder's README.md is its index.html."""
        folder, name = posixpath.split(self.source)
        return posixpath.join(folder, "index.html" if folder and name == "README.md" else f"{name.removesuffix('.md')}.html")

    @property
    def title(self) -> str:
        """Its first heading, without marks; else its place."""
        found = re.search(r"^# +(.+)$", self.text, re.MULTILINE)
        return re.sub(r"[`*]", "", found[1]) if found else self.source


def anchor_of(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def relative_link(start: str, goal: str) -> str:
    """The link from one place of the site to another."""
    return quote(posixpath.relpath(goal, posixpath.dirname(start) or "."))


def to_html(page: Page, places: Mapping[str, str]) -> str:
    """The body of the page; `places` are those of all pages by their sources."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table class="sortable">\n')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    markdown.add_render_rule("th_open", lambda *_: '<th scope="col"><button type="button">')
    markdown.add_render_rule("th_close", lambda *_: "</button></th>")
    tokens = markdown.parse(page.text)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following:
            token.attrSet("id", anchor_of(plain_text(following)))
        if token.type == "td_open" and following:
            token.attrs = {"data-value": value_of(plain_text(following))}
        if token.children:
            token.children = linked(token.children, page, places)
    return markdown.renderer.render(tokens, markdown.options, {})


def plain_text(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def value_of(cell: str) -> str:
    """What a cell of a table sorts by: its number if it begins with one."""
    found = NUMBER.match(cell)
    return found[1].replace(",", "") if found else cell


def linked(children: Sequence[Token], page: Page, places: Mapping[str, str]) -> list[Token]:
    """The tokens with links to places of the site, and without those that lead nowhere; with pictures as data."""
    kept: list[Token] = []
    dead = False
    for token in children:
        if token.type == "link_open":
            goal = resolve(str(token.attrGet("href")), page, places)
            dead = goal is None
            token.attrs = {} if goal is None else {"href": goal}
        if token.type == "image":
            picture = picture_of(str(token.attrGet("src")), page)
            token = token.copy(type="image" if picture else "text", tag="img" if picture else "")
            token.attrs = {"src": picture, "alt": ""} if picture else {}
        if not (dead and token.type in ("link_open", "link_close")):
            kept.append(token)
        dead = dead and token.type != "link_close"
    return kept


def resolve(link: str, page: Page, places: Mapping[str, str]) -> str | None:
    """Where a link of the page leads: another page, an anchor, or an address of the web; else None."""
    path, _, anchor = link.partition("#")
    if re.match(r"https?://", link):
        return link
    if not path:
        return link
    source = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), unquote(path)))
    goal = places.get(source) or places.get(f"{source}/README.md")
    return None if goal is None else relative_link(page.place, goal) + (f"#{anchor}" if anchor else "")


def picture_of(link: str, page: Page) -> str:
    """A picture as data; empty if it is none, or lies elsewhere than in the page's own folders."""
    if page.root is None or Path(link).suffix not in PICTURES:
        return ""
    path = (page.root / posixpath.dirname(page.source) / unquote(link)).resolve()
    if not path.is_relative_to(page.root.resolve()) or not path.is_file():
        return ""
    return f"data:{PICTURES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
