"""The leaderboard in a terminal: what is claimed beside what was measured, and FD over training as blocks."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fidrace.report.leaderboard import ELSEWHERE, claimed_factors, print_scores, sparkline
from fidrace.score.leaderboard import score_folder

DIGITS = Path(__file__).parents[1] / "results" / "digits"


def printed(width: int) -> str:
    console = Console(width=width, markup=False, emoji=False, record=True)
    print_scores(score_folder(DIGITS), console)
    return console.export_text()


def test_a_wide_terminal_has_claims_and_sparklines_and_a_narrow_one_keeps_what_was_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wide, narrow = printed(160), printed(100)
    line = next(line for line in wide.splitlines() if " min-snr " in line)
    assert "(3.4×)" in line  # claimed on another task
    blocks = line.split("│")[-3].strip()
    assert len(blocks) == 12
    assert (blocks[0], blocks[-1]) == ("█", "▁")
    assert list(blocks) == sorted(blocks, reverse=True)
    assert ELSEWHERE in wide
    assert "1.22×" in narrow
    assert "█" not in narrow


def test_blocks_rise_evenly_with_the_logarithm() -> None:
    assert sparkline(np.geomspace(1, 256, 9)[:8] * 1.001, 1, 256) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([1.0, np.nan, 256.0]), 1, 256) == "▁ █"
    assert len(sparkline(np.geomspace(1, 256, 42), 1, 256)) == 12
    assert sparkline(np.array([]), 1, 256) == ""


def test_a_claim_is_in_brackets_unless_it_was_made_on_this_task() -> None:
    assert claimed_factors("clts+mdlrc", "digits") == "(2×) (2.6×)"
    assert claimed_factors("clts+mdlrc", "cifar10") == "2× (2.6×)"
    assert claimed_factors("baseline", "digits") == ""
