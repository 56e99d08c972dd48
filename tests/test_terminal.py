"""Tables in a terminal: whole numbers at any width, notes below where they have no room, FD over training as blocks."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fidrace.report.claims import print_claims
from fidrace.report.gate import print_checks
from fidrace.report.leaderboard import claimed_factors
from fidrace.report.progress import lines_may_move
from fidrace.report.sparklines import sparkline
from fidrace.report.terminal import CLAIMED, print_scores
from fidrace.score.claims import CLAIMS, ClaimVerdict, load_claims, verdicts_on
from fidrace.score.gate import Check, check
from fidrace.score.leaderboard import Scores, score_folder
from tests.conftest import COMMAND, ENVIRONMENT, Fidrace

RESULTS = Path(__file__).parents[1] / "results"
NAMES = ("digits", "digits-controls", "digits-field")
WIDTHS = (60, 80, 119, 160)


def printed(name: str, width: int) -> str:
    """What `score`, `check --against` and `claims` print of published tables, in this process."""
    scores, checks, verdicts = judged(name)
    console = Console(width=width, markup=False, emoji=False)
    with console.capture() as capture:
        print_scores(scores, console)
        print_checks(checks, console)
        print_claims(verdicts, console)
    return capture.get()


@cache
def judged(name: str) -> tuple[Scores, list[Check], list[ClaimVerdict]]:
    folder = RESULTS / name
    return (
        score_folder(folder),
        check(folder, [("clts", 1.1)], RESULTS / "digits"),
        verdicts_on(load_claims(CLAIMS), folder),
    )


def published(method: str) -> tuple[str, str]:
    """The factor and the interval of a method in results/digits, as they are printed."""
    row = pd.read_csv(RESULTS / "digits/leaderboard.csv").set_index("method").loc[method]
    return f"{row['speedup']:.2f}", f"{row['ci_low']:.2f} – {row['ci_high']:.2f}"


def on_screen(columns: int, *words: str | Path) -> str:
    """What the command shows in a terminal of so many columns, without colours; raises CalledProcessError if it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux says so at the end of a pseudo-terminal
            pass
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def headings_of(text: str) -> list[str]:
    """The headings of the first table."""
    line = next(line for line in text.splitlines() if line.startswith("┃"))
    return [cell.strip() for cell in line.split("┃")[1:-1]]


def test_eighty_columns_show_factor_interval_verdict_and_notes_whole() -> None:
    shown = on_screen(80, "score", RESULTS / "digits")
    factor, interval = published("min-snr")
    (row,) = [row for row in rows_of(shown) if "min-snr" in row and f"{factor}×" in row]
    assert row[-4:-2] == [f"{factor}×", interval]
    assert row[-1] == "faster"
    assert "\nclts: horizon; as reconstructed\n" in shown
    assert "\np2: loses recall\n" in shown
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines() if line[:1] in ("┃", "│")) <= 80


def test_eighty_columns_show_what_a_check_asks_and_how_it_ended() -> None:
    shown = on_screen(80, "check", RESULTS / "digits", "--require", "min-snr>=1.1", "--require", "clts>=1.0")
    factor, interval = published("min-snr")
    assert ["✓", "min-snr >= 1.1x", "holds", f"{factor}x [{interval.replace(' – ', ', ')}] (10 pairs)"] in rows_of(shown)
    assert "\nclts >= 1x: horizon; as reconstructed\n" in shown


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_at_any_width_factors_intervals_and_verdicts_are_those_of_a_wide_terminal(name: str, width: int) -> None:
    shown, board = printed(name, width), judged(name)[0].leaderboard
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    words = " ".join(word for row in rows_of(shown) for word in row)
    for row in board.dropna(subset="ci_low").itertuples():
        line = next(line for line in shown.splitlines() if f"{row.ci_low:.2f} – {row.ci_high:.2f}" in line)
        assert f"{row.speedup:.2f}×" in line
        assert row.verdict.split()[0] in line
    for note in {note for flags in board["flags"].dropna() for note in flags.split("; ")}:
        assert note in " ".join([*shown.split(), *words.split()])


def test_columns_leave_in_their_order_and_those_of_the_result_never() -> None:
    def headings(width: int) -> list[str]:
        console = Console(width=width, markup=False, emoji=False)
        with console.capture() as capture:
            print_scores(judged("digits")[0], console)
        return headings_of(capture.get())

    whole = headings(200)
    leaving = ["FD", "claimed", "notes", "final FD", "reached", "to target", "Holm p"]
    for count, width in enumerate((138, 120, 110, 92, 80, 71, 60), start=1):
        assert headings(width) == [name for name in whole if name not in leaving[:count]], width


def test_a_long_name_folds_and_loses_no_letter(tmp_path: Path) -> None:
    name = f"clts[{','.join(f'x{k}={k / 7:.5f}' for k in range(8))}]"
    for file in ("runs.csv", "evals.csv"):
        (tmp_path / file).write_text((RESULTS / "digits" / file).read_text().replace(",min-snr,", f',"{name}",'))
    console = Console(width=80, markup=False, emoji=False)
    scores = score_folder(tmp_path, 34.0)
    with console.capture() as capture:
        print_scores(scores, console)
    place = headings_of(capture.get()).index("method")
    rows = rows_of(capture.get())
    assert "".join(row[place] for row in rows).startswith(name)
    best = scores.leaderboard.iloc[0]
    assert {f"{best['speedup']:.2f}×", f"{best['ci_low']:.2f} – {best['ci_high']:.2f}", "faster"} <= {*rows[0]}


def test_a_console_without_utf_8_gets_ascii(fidrace: Fidrace) -> None:
    shown = fidrace("score", RESULTS / "digits", environment={"PYTHONIOENCODING": "ascii"}).stdout
    assert shown.isascii()
    factor, interval = published("min-snr")
    assert f"{factor}x" in shown
    assert interval.replace("–", "-") in shown
    assert "fd_digits <= 34" in shown
    assert "?" not in shown


def test_a_wide_terminal_has_claims_and_sparklines_and_a_narrow_one_keeps_what_was_measured() -> None:
    wide, narrow = printed("digits", 160), printed("digits", 100)
    line = next(line for line in wide.splitlines() if " min-snr " in line)
    assert "(3.4×)" in line  # claimed on another task
    blocks = line.split("│")[-3].strip()
    assert len(blocks) == 12
    assert (blocks[0], blocks[-1]) == ("█", "▁")
    assert list(blocks) == sorted(blocks, reverse=True)
    assert CLAIMED in wide
    assert f"{published('min-snr')[0]}×" in narrow
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


@pytest.mark.parametrize(
    ("terminal", "variables", "moves"),
    [
        (True, {}, True),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, False),  # as CI sets it: a log has no use for moving lines
        (True, {"JPY_PARENT_PID": "7"}, False),  # a notebook's `!` gives a terminal, and keeps every frame
    ],
)
def test_progress_moves_only_before_a_person(
    terminal: bool, variables: dict[str, str], moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert lines_may_move() == moves
