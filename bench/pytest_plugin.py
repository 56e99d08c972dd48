"""A pytest plugin with one fixture: what a folder of runs says of a method, for the tests of a training code base.

    def test_min_snr_still_pays(fidrace_speedup):
        assert fidrace_speedup("min-snr").ci_low > 1.1

The folder is --fidrace-dir, or `fidrace_dir` in pytest's configuration file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bench.score.speedups import Speedup

HELP = "folder with runs.csv and evals.csv, for the fixture fidrace_speedup"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("fidrace").addoption("--fidrace-dir", metavar="DIR", help=HELP)
    parser.addini("fidrace_dir", HELP)


@pytest.fixture(scope="session")
def fidrace_speedup(request: pytest.FixtureRequest) -> "Callable[..., Speedup]":
    """`fidrace_speedup(method, axis="iterations", target=None)`: the method's Speedup over the baseline in the configured
    folder, with pairs, factor, ci_low, ci_high, bound, p_value and verdict. The test fails, in one line, where there is none;
    `target` is for tables without a study.json."""
    from bench.score.errors import NothingToConclude
    from bench.score.gate import speedup_of
    from methods.base import InputError

    folder = request.config.getoption("fidrace_dir") or request.config.getini("fidrace_dir")

    def call(method: str, axis: str = "iterations", target: float | None = None) -> "Speedup":
        if not folder:
            pytest.fail("fidrace_speedup: give --fidrace-dir DIR, or set fidrace_dir in pytest's configuration", pytrace=False)
        try:
            return speedup_of(Path(request.config.rootpath, folder), method, axis, target)
        except (InputError, NothingToConclude) as error:
            pytest.fail(f"fidrace_speedup: {error}", pytrace=False)

    return call
