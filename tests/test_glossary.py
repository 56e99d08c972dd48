"""The glossary: one home for each definition, and links that lead somewhere."""

import re
from pathlib import Path

from fidrace.report.glossary import glossary_markdown, load_glossary

DOCS = Path(__file__).parents[1] / "docs"


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_document_is_made_from_the_pages_definitions() -> None:
    assert (DOCS / "glossary.md").read_text(encoding="utf-8") == glossary_markdown()


def test_every_word_links_to_a_heading_that_exists() -> None:
    for term in load_glossary():
        file, _, anchor = term.where.partition("#")
        assert (DOCS / file).is_file(), term.name
        assert not anchor or anchor in anchors(DOCS / file), term.where


def test_every_word_is_in_the_text_that_it_links_to() -> None:
    for term in load_glossary():
        text = (DOCS / term.where.partition("#")[0]).read_text(encoding="utf-8").lower()
        assert any(word.strip().lower() in text for word in term.name.split(",")), term
