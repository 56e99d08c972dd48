"""The glossary: definitions from page/glossary.toml for the page and, by `python -m fidrace.report.glossary`, for the docs."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "page" / "glossary.toml"
HEAD = """# Glossary

<!-- made by `python -m fidrace.report.glossary > docs/glossary.md` -->
"""


@dataclass(frozen=True)
class Term:
    """A word, what it means, a link from docs/ to where it is defined, and whether the page explains it."""

    name: str
    text: str
    where: str
    page: bool = False


def load_glossary() -> list[Term]:
    """The terms in alphabetical order."""
    terms = [Term(**entry) for entry in tomllib.loads(FILE.read_text(encoding="utf-8"))["term"]]
    return sorted(terms, key=lambda term: term.name.lower())


def glossary_markdown() -> str:
    """docs/glossary.md."""
    entries = [f"**{term.name}** — {term.text} [More]({term.where})" for term in load_glossary()]
    return "\n\n".join([HEAD.strip(), *entries]) + "\n"


if __name__ == "__main__":
    print(glossary_markdown(), end="")
