"""What the gate writes for programs: JSON, JUnit XML, a comment in Markdown."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from junitparser import Error, Failure, JUnitXml, Skipped

import fidrace as public
from tests.conftest import Fidrace, Refused
from tests.published import DIGITS, excerpt

SCHEMA = xmlschema.XMLSchema(Path(__file__).parent / "junit.xsd")
EVERY_OUTCOME = ("min-snr>=1.05", "min-snr>=2", "min-snr>=1.15", "clts>=1.1")
OUTCOMES = ("holds", "fails", "cannot tell", "not measured")
Check = Callable[..., str]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Five seeds of Min-SNR, and of a method whose last rows are lost."""
    methods, seeds = ("baseline", "min-snr", "clts"), (0, 1, 2, 3, 4)
    return excerpt(tmp_path / "now", methods, seeds, evals=lambda t: t.query("not (method == 'clts' and iteration > 300)"))


@pytest.fixture
def check(fidrace: Fidrace, tables: Path) -> Check:
    """`check(requirements, *words)`: the gate's stdout on `tables`."""

    def call(requirements: tuple[str, ...], *words: str | Path, code: int = 0) -> str:
        asked = [word for one in requirements for word in ("--require", one)]
        return fidrace("check", tables, *asked, *words, code=code).stdout

    return call


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_the_document_says_in_numbers_what_the_table_says_and_what_the_exit_code_means(check: Check, tables: Path) -> None:
    found = json.loads(check(EVERY_OUTCOME, "--json", code=1), parse_constant=refuse_constant)
    assert (found["exit_code"], found["meaning"]) == (1, "a check fails")
    assert [(one["asked"], one["outcome"], one["bound"]) for one in found["checks"]] == [
        (text.replace(">=", " >= ") + "x", outcome, float(text.partition(">=")[2]))
        for text, outcome in zip(EVERY_OUTCOME, OUTCOMES, strict=True)
    ]
    holds, _, undecided, nothing = found["checks"]
    speedup = public.speedup_of(tables, "min-snr")
    assert holds["now"] == {name: getattr(speedup, name) for name in ("factor", "ci_low", "ci_high", "bound", "pairs")} | {
        "runs": [5, 5]
    }
    assert (holds["kind"], holds["method"], holds["axis"], holds["seeds_needed"]) == ("speedup", "min-snr", "iterations", None)
    assert f"about {undecided['seeds_needed']} seeds would tell at 80 % power" in undecided["notes"]
    assert (nothing["now"], nothing["ratio"]) == (None, None)
    assert json.loads(check(("clts>=1.1",), "--json", code=3))["exit_code"] == 3
    assert json.loads(check(("min-snr>=1.15",), "--json", "--strict", code=1))["meaning"].startswith("a check cannot tell")


def test_a_comparison_is_in_the_document_with_its_ratio_and_open_limits_as_null(fidrace: Fidrace, tmp_path: Path) -> None:
    def late(table: Any) -> Any:
        slow = (table["seed"] == 1) & (table["method"] == "min-snr") & (table["fd"] < 40)
        return table.assign(fd=table["fd"].where(~slow, 40.0))

    now = excerpt(tmp_path / "now", evals=late)
    found = json.loads(fidrace("check", now, "--against", DIGITS, "--absolute", "--json").stdout)["checks"]
    assert [(one["kind"], one["method"]) for one in found] == [
        ("regression", "min-snr"),
        ("cost", "baseline"),
        ("cost", "min-snr"),
    ]
    assert found[1]["ratio"] == {"factor": 1.0, "ci_low": 1.0, "ci_high": 1.0, "how": "paired, 3 seeds"}
    assert found[0]["now"]["ci_low"] == found[0]["ratio"]["ci_low"] == 0  # the run that is late might be later still
    costs = [found[1][side]["cost"] for side in ("now", "before")]
    assert costs[0] == costs[1] > 250
    reversed_now = json.loads(fidrace("check", DIGITS, "--against", now, "--json").stdout)["checks"]
    assert next(one for one in reversed_now if one["method"] == "min-snr")["ratio"]["ci_high"] is None


@pytest.mark.parametrize(("words", "undecided", "code"), [((), Skipped, 1), (("--strict",), Failure, 1)])
def test_junit_is_valid_and_an_independent_reader_sees_the_outcomes(
    words: tuple[str, ...], undecided: type, code: int, check: Check, tmp_path: Path
) -> None:
    file = tmp_path / "gate.xml"
    check(EVERY_OUTCOME, "--junit", file, *words, code=code)
    SCHEMA.validate(file)
    (suite,) = JUnitXml.fromfile(str(file))
    cases = [*suite]
    assert [[type(result) for result in case.result] for case in cases] == [[], [Failure], [undecided], [Error]]
    assert [case.name for case in cases] == [text.replace(">=", " >= ") + "x" for text in EVERY_OUTCOME]
    skipped = 1 if undecided is Skipped else 0
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 2 - skipped, 1, skipped)
    assert "seeds would tell" in cases[2].result[0].message
    text = file.read_text(encoding="utf-8")
    for broken in (text.replace('classname="', 'class="', 1), text.replace('tests="4"', ""), text.replace("failure", "fail")):
        assert not SCHEMA.is_valid(broken)


def test_a_comment_is_replaced_and_the_summary_appended_to(check: Check, tmp_path: Path) -> None:
    comment, summary = tmp_path / "comment.md", tmp_path / "summary.md"
    check(("min-snr>=2",), "--comment", comment, "--summary", summary, code=1)
    check(("min-snr>=1.05",), "--comment", comment, "--summary", summary)
    marker, _, text = comment.read_text(encoding="utf-8").partition("\n")
    assert marker.startswith("<!-- fidrace check ")
    assert marker.count("--") == 2
    assert marker.endswith("now -->")
    assert text.startswith("### fidrace: 1 holds\n")
    assert summary.read_text(encoding="utf-8").endswith(text)
    assert summary.read_text(encoding="utf-8").startswith("### fidrace: 1 fails\n")


@pytest.mark.parametrize("option", ["--comment", "--junit"])
def test_links_and_pipes_are_written_to_and_stay(option: str, check: Check, tmp_path: Path) -> None:
    plain, real = tmp_path / "plain", tmp_path / "below" / "real"
    pipe, to_pipe, link, dangling = (tmp_path / name for name in ("pipe", "to-pipe", "link", "dangling"))
    real.parent.mkdir()
    real.write_text("old")
    os.mkfifo(pipe)
    to_pipe.symlink_to(pipe)  # as /dev/stdout is, which no test should put at risk
    link.symlink_to(real)
    dangling.symlink_to(real.parent / "new")
    check(("min-snr>=1.05",), option, plain)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for file in (pipe, to_pipe, link, dangling):
        check(("min-snr>=1.05",), option, file)
    content = without_time(plain.read_bytes())
    assert without_time(os.read(reader, 100_000)) == 2 * content
    os.close(reader)
    assert pipe.is_fifo()
    assert all(file.is_symlink() for file in (to_pipe, link, dangling))
    assert {path.name: without_time(path.read_bytes()) for path in real.parent.iterdir()} == {"real": content, "new": content}


def without_time(content: bytes) -> bytes:
    return re.sub(rb'timestamp="[^"]*"', b"", content)


def test_a_file_that_cannot_be_written_is_named_before_anything_is_checked(refused: Refused, tmp_path: Path) -> None:
    for option in ("--junit", "--comment"):
        assert f"{option} absent/file: no folder absent" in refused(
            "check", DIGITS, "--require", "p2>=1", option, "absent/file"
        )
    assert "a folder, not a file" in refused("check", DIGITS, "--require", "p2>=1", "--junit", tmp_path)
