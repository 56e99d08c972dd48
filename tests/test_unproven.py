"""docs/unproven.md lists what the tests in test_gpu.py wait for, no more and no less."""

import re
from pathlib import Path

import pytest

from tests.test_gpu import UNPROVEN

DOCS = Path(__file__).parents[1] / "docs" / "unproven.md"


def test_what_is_unproven_is_what_waits_for_its_test() -> None:
    listed = re.findall(r"^\| ([a-z0-9]+-[a-z0-9-]+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(UNPROVEN)


def test_every_test_that_waits_says_for_what(request: pytest.FixtureRequest) -> None:
    """A skip without its line in the list would be a hole in it."""
    import tests.test_gpu as waiting

    names = {name for name in dir(waiting) if name.startswith("test_")}
    assert names == set(UNPROVEN.values())
    for name, test in UNPROVEN.items():
        (mark,) = getattr(waiting, test).pytestmark
        assert mark.kwargs["reason"] == f"unproven: {name}"
