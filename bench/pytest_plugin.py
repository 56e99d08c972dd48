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

    config = request.config
    by_option, by_file = config.getoption("fidrace_dir"), config.getini("fidrace_dir")
    folder = Path(config.invocation_params.dir, by_option) if by_option else Path(config.rootpath, by_file) if by_file else None

    def call(method: str, axis: str = "iterations", target: float | None = None) -> "Speedup":
        wrong = "give --fidrace-dir DIR, or set fidrace_dir in pytest's configuration"
        if folder is not None:
            try:
                return speedup_of(folder, method, axis, target)
            except (InputError, NothingToConclude, OSError) as error:
                wrong = str(error)
        pytest.fail(f"fidrace_speedup: {wrong}", pytrace=False)

    return call
