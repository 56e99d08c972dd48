"""The site: what is known of each study, method and claim, and the docs, as files that need no server."""

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from fidrace.errors import InputError, NothingToConclude
from fidrace.method.registry import Registry
from fidrace.packaged import holds_runs
from fidrace.report.cards import TRAPS, Races, card, overview
from fidrace.report.claims import CLAIM_HEADINGS, EVIDENCE_HEADINGS, EVIDENCE_TITLE, claim_lines, evidence_lines
from fidrace.report.markdown import escape_markdown, markdown, markdown_table
from fidrace.report.page.build import PAGE, FolderContent
from fidrace.report.page.build import page as page_of_folder
from fidrace.report.page.render import content_security, environment, read_source
from fidrace.report.published_curves import published_markdown
from fidrace.report.site.api import SOURCE, api_markdown
from fidrace.report.site.markdown_pages import Page, relative_link, to_html
from fidrace.score.claims import load_claims, verdicts_on
from fidrace.score.published_curves import load_published
from fidrace.score.published_support import support_of
from fidrace.spec.user_input import read_toml

ACROSS = "across-tasks.md"  # of a folder that `fidrace leaderboard --out` has written
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")  # beside docs
NOT_RUN = "not run"
SEARCH = "search.html"
NAVIGATION = {
    "index.html": "start",
    "studies.html": "studies",
    "docs/method-cards/index.html": "methods",
    "claims.html": "claims",
    "docs/published.html": "the papers' own tables",
    "docs/index.html": "docs",
    "api.html": "Python",
    SEARCH: "search",
}


@dataclass(frozen=True)
class Found:
    """A folder of the site: a study with what its tables say, or a leaderboard over tasks (`content` is None)."""

    name: str
    folder: Path
    content: FolderContent | None


def find_studies(folders: Sequence[Path]) -> list[Found]:
    """The studies in `folders`: each of these is one, or holds some. Raises InputError for one that is neither, for two studies
    of one name, for tables that cannot be read, and for what leads out of a study's folder."""
    found: dict[str, Found] = {}
    for folder in folders:
        inside = [folder] if is_shown(folder) else sorted(path for path in folder.glob("*") if path.is_dir() and is_shown(path))
        if not inside:
            raise InputError(f"{folder}: no study in it: neither runs.csv nor evals.csv, nor a folder with one")
        for path in inside:
            one = look_into(path)
            if one.name in found:
                raise InputError(f"{path}: {found[one.name].folder} has this name too; rename one of them")
            found[one.name] = one
    return list(found.values())


def is_shown(folder: Path) -> bool:
    return holds_runs(folder) or (folder / ACROSS).is_file()


def look_into(folder: Path) -> Found:
    """What the folder says. A link that leads out of it would publish what lies elsewhere on this machine."""
    own = folder.resolve()
    if not own.name.isprintable():
        raise InputError(f"{own.parent}: {own.name!r} cannot be the name of a page; rename the folder")
    for path in own.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(own):
            raise InputError(f"{folder}: {path.relative_to(own)} leads out of the folder; put the file itself there")
    try:
        return Found(own.name, own, FolderContent.of(own) if holds_runs(own) else None)
    except NothingToConclude as error:
        raise InputError(f"{folder}: {error}") from error


def site_files(found: Sequence[Found], docs: Path | None, methods_path: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """The files of the site by their places, one after another."""
    registry = Registry(methods_path)
    pages = {page.source: page for page in [*docs_pages(docs), *own_pages(found, registry, docs)]}
    pages["docs/README.md"] = docs_index(pages)
    pages["README.md"] = pages.get("README.md") or start_page(found)
    reports = [Page(f"results/{one.name}/{PAGE.replace('.html', '.md')}", "") for one in found if one.content]
    known = pages | {page.place: page for page in reports}  # as a link names them
    places = {page.place for page in pages.values()}
    for page in pages.values():
        yield page.place, framed(page.place, page.title, Markup(to_html(page, known)), places)
    yield SEARCH, search_page([*pages.values()], places)
    for one in found:
        if one.content:
            yield f"results/{one.name}/{PAGE}", page_of_folder(one.folder, one.content, methods_path)


def docs_pages(docs: Path | None) -> Iterator[Page]:
    """The Markdown files of a folder of docs, and those beside it that belong to them."""
    if docs is None:
        return
    docs = docs.resolve()
    beside = {name: docs.parent / name for name in TOP}
    inside = {f"docs/{path.relative_to(docs).as_posix()}": path for path in sorted(docs.rglob("*.md"))}
    for source, path in (beside | inside).items():
        if path.is_file():
            yield Page(source, read_text(path), path.parent, docs.parent)


def read_text(path: Path) -> str:
    """Raises InputError if it is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8") from None


def own_pages(found: Sequence[Found], registry: Registry, docs: Path | None) -> Iterator[Page]:
    """The pages that are made from tables and code, by the sources that links of the docs name."""
    yield Page("studies.md", studies_markdown(found))
    for one in found:
        yield Page(f"results/{one.name}/README.md", study_markdown(one), one.folder, one.folder)
    races = Races.read({one.name: one.folder for one in found if one.content and one.content.scores})
    traps = read_toml(TRAPS)
    yield Page("docs/method-cards/README.md", overview(registry, races))
    for name, method in registry.methods.items():
        yield Page(f"docs/method-cards/{name}.md", card(method(), races, traps.get(name, [])))
    yield Page("claims.md", claims_markdown(found))
    published = load_published()
    text = published_markdown(published, [support_of(pair) for pair in published.pairs])
    yield Page("docs/published.md", text, docs and docs.resolve(), docs and docs.resolve())
    yield Page(SOURCE, api_markdown())


def studies_markdown(found: Sequence[Found]) -> str:
    lines = []
    for one in found:
        link = f"[{heading_of(one)}](results/{quote(one.name)}/README.md)"
        if one.content is None:
            lines.append([link, "one leaderboard over tasks", "", "", ""])
            continue
        races, scores = one.content.races, one.content.scores
        said = scores.headline() if scores else one.content.reason
        lines.append([link, said, races.curves[0].task, str(len(races.methods)), str(len(races.curves))])
    table = markdown_table(["study", "what it says", "task", "methods", "runs"], lines)
    return f"# Studies\n\n{table}\n\n{CONTRIBUTE}"


def heading_of(one: Found) -> str:
    """The name of a folder as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", escape_markdown(one.name))


CONTRIBUTE = """## Add your own

Race it, and send the folder's `study.json`, `runs.csv`, `evals.csv` and a README that says by which command and on what
machine, as a pull request that adds `results/NAME/`; `fidrace score results/NAME` makes the other tables. It is taken if

    fidrace verify results/NAME --tables-only

passes, and its seeds were declared before they ran. Two runs of it will be trained again. A result that disappoints is as
welcome as one that does not."""


def study_markdown(one: Found) -> str:
    """A study's README, a link to its page, and its tables as they are scored today."""
    readme = one.folder / "README.md"
    parts = [read_text(readme) if readme.is_file() else f"# {heading_of(one)}"]
    if one.content is None:
        return "\n\n".join([*parts, read_text(one.folder / ACROSS)])
    parts.append("**[Charts, samples and where the numbers come from](report.html)**")
    parts.append(markdown(one.content.scores) if one.content.scores else escape_markdown(one.content.reason))
    return "\n\n".join(parts)


def claims_markdown(found: Sequence[Found]) -> str:
    """Every claim with its verdict where its task was raced, else what would decide it; and the evidence of other tasks."""
    claims = load_claims()
    judged = {one.name: verdicts_on(claims, one.folder) for one in found if one.content and one.content.scores}
    here = [line for verdicts in judged.values() for line in claim_lines([v for v in verdicts if v.verdict != NOT_RUN])]
    open_claims = [line for line in claim_lines(verdicts_on(claims, None)) if line[0] not in {row[0] for row in here}]
    evidence = [[name, *line] for name, verdicts in judged.items() for line in evidence_lines(verdicts)]
    parts = ["# Published claims, and what was measured", markdown_table(CLAIM_HEADINGS, [*here, *open_claims])]
    if evidence:
        parts += [f"## {EVIDENCE_TITLE}", markdown_table(["study", *EVIDENCE_HEADINGS], evidence)]
    return "\n\n".join(parts)


def docs_index(pages: Mapping[str, Page]) -> Page:
    listed = [page for page in pages.values() if posixpath.dirname(page.source) in ("docs", "")]
    lines = [f"- [{escape_markdown(one.title)}]({posixpath.relpath(one.source, 'docs')})" for one in listed]
    return Page("docs/README.md", "\n".join(["# Docs", "", *lines]))


def start_page(found: Sequence[Found]) -> Page:
    """The first page of a site without a README."""
    return Page("README.md", studies_markdown(found).replace("# Studies", "# fidrace: does it train k× faster?", 1))


def framed(place: str, title: str, body: Markup, places: set[str], scripts: Sequence[str] = (), data: str = "") -> str:
    """A whole page: the body below the site's navigation."""
    there = {goal: name for goal, name in NAVIGATION.items() if goal in places | {SEARCH}}
    own = environment()
    scripts = [read_source(own, "common.js"), *scripts]
    return own.get_template("site.html").render(
        name=title,
        navigation=[(relative_link(place, goal), name, goal == place) for goal, name in there.items()],
        body=body,
        version=version("fidrace"),
        data=Markup(data),
        **content_security(own, scripts),
    )


def search_page(pages: Sequence[Page], places: set[str]) -> str:
    listed = [
        {"title": page.title, "place": relative_link(SEARCH, page.place), "text": " ".join(page.text.split())} for page in pages
    ]
    body = Markup(
        '<h1>Search</h1><p><label>words <input type="search" id="words" autofocus></label></p>'
        '<p id="count" class="note" role="status"></p><ol id="found"></ol>'
    )
    data = json.dumps(listed).replace("<", "\\u003c")
    return framed(SEARCH, "Search", body, places, [read_source(environment(), "search.js")], data)
