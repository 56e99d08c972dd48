"""A pytest plugin with one fixture: what a folder of runs says of a method, for the tests of a training code base.

    def test_min_snr_still_pays(fidrace_speedup):
        assert fidrace_speedup("min-snr").ci_low > 1.1

The folder is `--fidrace-dir=DIR`, else the environment variable FIDRACE_DIR, else `fidrace_dir` in pytest's configuration file.

pytest loads this file in every project of the environment. It is a module of its own, and imports fidrace in the fixture only,
so that no project's tests can be stopped by it: not even those of one with a `fidrace.py` of its own.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fidrace.score.speedups import Speedup

HELP = "folder with runs.csv and evals.csv, for the fixture fidrace_speedup"


def pytest_addoption(parser: pytest.Parser) -> None:
    with suppress(ValueError):  # somebody else's option of this name
        parser.getgroup("fidrace").addoption("--fidrace-dir", metavar="DIR", help=f"{HELP}; write --fidrace-dir=DIR")
        parser.addini("fidrace_dir", HELP)


def configured_folder(config: pytest.Config) -> Path | None:
    """By the option, the environment or the configuration file, in this order; None if none of them names one."""
    for text, base in (
        (config.getoption("fidrace_dir", None), config.invocation_params.dir),
        (os.environ.get("FIDRACE_DIR"), config.invocation_params.dir),
        (config.getini("fidrace_dir"), config.rootpath),
    ):
        if text:
            return Path(base, text)
    return None


@pytest.fixture(scope="session")
def fidrace_speedup(request: pytest.FixtureRequest) -> "Callable[..., Speedup]":
    """`fidrace_speedup(method, axis=None, target=None)`: the method's Speedup over the baseline in the configured
    folder, with pairs, factor, ci_low, ci_high, bound, p_value and verdict. The test fails, in one line, if there is none;
    `target` is for tables without a study.json."""
    try:
        from fidrace import InputError, NothingToConclude, speedup_of
    except ImportError as error:
        pytest.fail(f"fidrace_speedup: {error}; does a file fidrace.py hide the package?", pytrace=False)

    folder = configured_folder(request.config)

    def speedup(method: str, axis: str | None = None, target: float | None = None) -> "Speedup":
        if folder is None:
            pytest.fail("fidrace_speedup: give --fidrace-dir=DIR, or set FIDRACE_DIR or the ini key fidrace_dir", pytrace=False)
        try:
            return speedup_of(folder, method, axis, target)
        except (InputError, NothingToConclude, OSError) as error:
            message = f"fidrace_speedup: {error}"
        pytest.fail(message, pytrace=False)  # outside the except block, or pytest shows both errors

    return speedup
