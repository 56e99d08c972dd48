"""A console that is not UTF-8 shows ASCII instead of a traceback, whose exit code 1 would mean a failed gate."""

import io
import shutil
import sys
from pathlib import Path

import pytest

from fidrace.console import make_printable
from tests.conftest import Fidrace

DIGITS = Path(__file__).parents[1] / "results" / "digits"


@pytest.mark.parametrize("words", [("score", "digits"), ("plan",), ("methods",), ("doctor",)], ids=" ".join)
def test_verbs_speak_ascii_to_a_console_that_knows_no_more(words: tuple[str, ...], fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    for name in ("runs.csv", "evals.csv", "study.json"):
        shutil.copy(DIGITS / name, tmp_path / "digits")
    done = fidrace(*words, environment={"PYTHONIOENCODING": "ascii"})
    assert len(done.stdout.splitlines()) > 5
    assert (done.stdout + done.stderr).isascii()
    assert "\\" not in done.stdout  # nothing is shown by its number


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "1.22x <= 2 +- 1, 1 - inf _# + ? e ?"),
        ("latin-1", "1.22× <= 2 ± 1, 1 - inf _# + ? é ?"),
        ("utf-8", "1.22× ≤ 2 ± 1, 1 – ∞ ▁█ ✓ ☃ é ?"),
    ],
)
def test_what_an_encoding_lacks_is_substituted_and_the_rest_stays(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last character is half of a surrogate pair, which stands for a byte of a file's name that is not UTF-8."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    make_printable()
    for stream in (sys.stdout, sys.stderr):
        print("1.22× ≤ 2 ± 1, 1 – ∞ ▁█ ✓ ☃ é \udcff", end="", file=stream, flush=True)
        assert isinstance(stream, io.TextIOWrapper)
        assert stream.buffer.getvalue().decode(encoding) == shown  # type: ignore[attr-defined]
