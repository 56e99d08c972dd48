"""Method cards: those in docs/ are what the command makes of the published tables, and their numbers are the tables'."""

from pathlib import Path

import pandas as pd
import pytest

from fidrace.method.registry import Registry
from fidrace.report.cards import TRAPS, raced_line, write_cards
from fidrace.report.publish import publish
from fidrace.score.leaderboard import score_folder
from fidrace.spec.user_input import read_toml
from tests.conftest import Fidrace, Refused
from tests.published import DIGITS, excerpt

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "docs" / "method-cards"


def test_the_cards_in_docs_are_made_anew(fidrace: Fidrace, tmp_path: Path) -> None:
    fidrace("methods", "--cards", "made")
    made, published = ({path.name: path.read_text() for path in folder.iterdir()} for folder in (tmp_path / "made", CARDS))
    assert made == published
    assert made.keys() == {"README.md", *(f"{name}.md" for name in Registry().methods)}


def test_a_card_has_every_row_of_its_method_with_its_numbers() -> None:
    text = (CARDS / "clts.md").read_text()
    for table in ROOT.glob("results/*/speedups.csv"):
        rows = pd.read_csv(table)
        for row in rows[rows["axis"] == "iterations"].itertuples():
            is_own = "clts" in [part.partition("[")[0] for part in str(row.method).split("+")]
            start = f"| {table.parent.name} | {row.method} | {row.pairs} | "
            assert (start in text) == is_own, start
            if is_own:
                assert f"{start}{row.speedup:.2f}× | {row.ci_low:.2f} – {row.ci_high:.2f} |" in text
                assert f"| {row.verdict} |" in text.split(start)[1].splitlines()[0]


def test_traps_are_of_methods_that_there_are() -> None:
    assert read_toml(TRAPS).keys() <= Registry().methods.keys()


def test_a_method_says_how_it_was_raced(fidrace: Fidrace) -> None:
    assert "raced: digits 1.22× (1.15 – 1.29) faster; " in fidrace("methods", "min-snr").stdout
    assert "raced: in no published race" in fidrace("methods", "min-snr[gamma=7]").stdout


def test_a_race_with_another_baseline_stands_apart(tmp_path: Path) -> None:
    folder = excerpt(tmp_path / "decayed", ("baseline", "clts", "mdlrc", "clts+mdlrc"), baseline="mdlrc")
    publish(folder, score_folder(folder))
    write_cards(tmp_path / "made", Registry(), {"digits": DIGITS, "decayed": folder})
    rows = pd.read_csv(folder / "speedups.csv").query("axis == 'iterations'").set_index("method")
    factor = f"{rows.speedup['clts+mdlrc']:.2f}×"
    clts = (tmp_path / "made" / "clts.md").read_text()
    _, plain, other = clts.split("\nOver ")
    assert "| digits | clts |" in plain
    assert "decayed" not in plain
    assert other.startswith("`mdlrc`, in iterations:")
    assert f"| decayed | clts+mdlrc | 3 | {factor} |" in other
    (line,) = (line for line in (tmp_path / "made" / "README.md").read_text().splitlines() if line.startswith("| [clts]"))
    assert line.split(" | ")[-1].startswith(factor)
    assert f"; decayed {factor} (" in raced_line("clts", {"digits": DIGITS, "decayed": folder})
    assert raced_line("clts", {"decayed": folder}).endswith("over mdlrc")


@pytest.mark.parametrize("words", [("min-snr",), ("--check",), ("--csv", "a.csv")])
def test_cards_are_of_all_methods(words: tuple[str, ...], refused: Refused, tmp_path: Path) -> None:
    assert "--cards is of all methods" in refused("methods", *words, "--cards", "made")
    assert not (tmp_path / "made").exists()
