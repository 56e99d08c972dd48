"""Markdown as pages that link to each other. HTML in it stays text; pictures are put into the page; a link to what is no page
of the site becomes its text.
"""

import base64
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
NUMBER = re.compile(r"[≥≤~> ]*(-?[\d,]*\.?\d+(?:e-?\d+)?)")


class Renderer(RendererHTML):
    """Tables that the pages' script can sort."""

    def table_open(self, *_: Any) -> str:
        return '<div class="scroll" tabindex="0"><table class="sortable">\n'

    def table_close(self, *_: Any) -> str:
        return "</table></div>\n"

    def th_open(self, *_: Any) -> str:
        return '<th scope="col"><button type="button">'

    def th_close(self, *_: Any) -> str:
        return "</button></th>"


PARSER = MarkdownIt("commonmark", {"html": False}, renderer_cls=Renderer).enable("table")


@dataclass(frozen=True)
class Page:
    """A page of the site: its source's place (`docs/protocol.md`), its Markdown without comments, the folder on disk that its
    pictures are looked for in, and the one beyond which none is read (both None: it has none)."""

    source: str
    markdown: str
    folder: Path | None = None
    root: Path | None = None

    @cached_property
    def text(self) -> str:
        return re.sub(r"<!--.*?-->\n*", "", self.markdown, flags=re.DOTALL)

    @property
    def place(self) -> str:
        """Where it lies in the site: the README.md of the site and of a folder is index.html."""
        folder, name = posixpath.split(self.source)
        return posixpath.join(folder, "index.html" if name == "README.md" else f"{name.removesuffix('.md')}.html")

    @property
    def title(self) -> str:
        """Its first heading, without marks; else its place."""
        return re.sub(r"[`*]", "", next(iter(self.headings.values()), self.source))

    @cached_property
    def headings(self) -> dict[str, str]:
        """The text of each heading by the anchor that GitHub gives it: equal ones are numbered."""
        found: dict[str, str] = {}
        tokens = PARSER.parse(self.text)
        for opening, inline in pairwise(tokens):
            if opening.type == "heading_open":
                text = plain_text(inline)
                anchor = base = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
                for number in count(1):
                    if anchor not in found:
                        break
                    anchor = f"{base}-{number}"
                found[anchor] = text
        return found


def relative_link(start: str, goal: str) -> str:
    """The link from one place of the site to another."""
    return quote(posixpath.relpath(goal, posixpath.dirname(start) or "."))


def to_html(page: Page, pages: Mapping[str, Page]) -> str:
    """The body of the page; `pages` are all of the site by their sources."""
    tokens, anchors = PARSER.parse(page.text), iter(page.headings)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open":
            token.attrSet("id", next(anchors))
        if token.type == "td_open" and following:
            token.attrs = {"data-value": value_of(plain_text(following))}
        if token.children:
            token.children = linked(token.children, page, pages)
    return PARSER.renderer.render(tokens, PARSER.options, {})


def plain_text(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def value_of(cell: str) -> str:
    """What a cell of a table sorts by: its number if it begins with one."""
    found = NUMBER.match(cell)
    return found[1].replace(",", "") if found else cell


def linked(children: Sequence[Token], page: Page, pages: Mapping[str, Page]) -> list[Token]:
    """The tokens with links to places of the site, and without those that lead nowhere; with pictures as data."""
    kept: list[Token] = []
    dead = False
    for token in children:
        if token.type == "link_open":
            goal = resolve(str(token.attrGet("href")), page, pages)
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


def resolve(link: str, page: Page, pages: Mapping[str, Page]) -> str | None:
    """Where a link of the page leads: another page, a heading, or an address of the web; else None."""
    path, _, anchor = link.partition("#")
    if re.match(r"https?://", link):
        return link
    source = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), unquote(path))) if path else page.source
    goal = pages.get(source) or pages.get(f"{source}/README.md")
    if goal is None or (anchor and anchor not in goal.headings):
        return None
    return (relative_link(page.place, goal.place) if path else "") + (f"#{quote(anchor)}" if anchor else "")


def picture_of(link: str, page: Page) -> str:
    """A picture as data; empty if it is none, or lies beyond the page's root."""
    if page.folder is None or page.root is None or Path(link).suffix not in PICTURES:
        return ""
    path = (page.folder / unquote(link)).resolve()
    if not path.is_relative_to(page.root) or not path.is_file():
        return ""
    return f"data:{PICTURES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
