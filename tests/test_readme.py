"""The README: its table is the published tables', its commands run, its links and those of the docs lead somewhere."""

import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import COMMAND, ENVIRONMENT
from tests.test_glossary import anchors

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "results").rglob("*.md")),
]
INDENTED = [line[4:].split("   ")[0].strip() for line in README.splitlines() if line.startswith("    fidrace ")]
INLINE = re.findall(r"`(fidrace [a-z][^`]*)`", README)
BRIEF = {"run": "--dry-run", "verify": "--tables-only"}  # what trains is shown by tests of its own


def factor(row: "pd.Series[float]") -> str:
    return f"{row['speedup']:.2f}× ({row['ci_low']:.2f} – {row['ci_high']:.2f})"


def published(name: str, table: str, key: str = "method") -> pd.DataFrame:
    rows = pd.read_csv(ROOT / "results" / name / f"{table}.csv")
    return rows[rows["axis"] == "iterations"].set_index(key)


def test_every_figure_of_the_table_is_published() -> None:
    early = pd.concat([published("digits", "leaderboard"), published("digits-field", "leaderboard").loc[["laplace"]]])
    late, contrasts = published("digits-late", "leaderboard"), published("digits-late", "contrasts", ["method", "control"])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in README.splitlines()
        if re.match(r"\| [\w+-]+ \| \d+\.\d+×", line)
    ]
    assert [row[0] for row in rows] == ["laplace", "min-snr", "clts", "mdlrc", "clts+mdlrc"]
    for method, first, second, control, note in rows:
        assert (first, second) == (factor(early.loc[method]), factor(late.loc[method]))
        if control:
            figures, _, name = control.rpartition(" of ")
            assert figures == factor(contrasts.loc[(method, name)])
            assert contrasts.loc[(method, name), "verdict"] == "slower"
        if note.startswith("loses recall"):
            assert "loses recall" in late.loc[method, "flags"].split("; ")


@pytest.mark.parametrize("line", sorted({*INDENTED, *(line for line in INLINE if " " in line and "DIR" not in line)}))
def test_its_commands_run(line: str, tmp_path: Path) -> None:
    words = [word.replace("examples/", f"{ROOT}/examples/") for word in shlex.split(line)[1:]]
    words += [BRIEF[words[0]]] if words[0] in BRIEF else []
    log = ["model,iternum,FID", *(f"{name},{step},{9 / step}" for name in ("edm", "mine") for step in (1, 2, 3, 4, 5))]
    (tmp_path / "log.csv").write_text("\n".join([*log, ""]))
    if words[0] == "score" and words[1] == "my-logs":
        words[1] = str(tmp_path)
        (tmp_path / "evals.csv").write_text((tmp_path / "log.csv").read_text().replace("model,iternum,FID", "method,step,fid"))
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        path = (document.parent / name) if name else document
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link
