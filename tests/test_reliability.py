"""docs/reliability.md and docs/attack.md name tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("document", "at_least"), [("reliability", 40), ("attack", 15)])
def test_every_test_that_a_document_names_exists(document: str, at_least: int) -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", (ROOT / "docs" / f"{document}.md").read_text())
    assert len(named) > at_least
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert not missing


def test_every_fault_test_is_in_the_document() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    for file in ("test_faults.py", "test_hostile_input.py", "test_cluster.py"):
        for test in re.findall(r"^def (test_\w+)", (ROOT / "tests" / file).read_text(), re.MULTILINE):
            assert f"tests/{file}::{test}`" in text, test
