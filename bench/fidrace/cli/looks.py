"""The part of `fidrace run` that `--until-decided` adds: its options, and the race from look to look."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.execute.study_runner import StudyRunner
    from fidrace.spec.study import RunSpec


@dataclass(frozen=True)
class LookOptions:
    """Whether the study is raced until it is decided, and what differs from the default looks."""

    until_decided: bool
    looks: str | None
    spending: str | None
    futility: float | None

    def given(self) -> dict[str, Any] | None:
        """The fields of `Looks` that were given; None without --until-decided. Raises InputError if it is missing."""
        from fidrace.spec.looks import parse_numbers

        given: dict[str, Any] = {name: getattr(self, name) for name in ("looks", "spending", "futility")}
        given = {name: value for name, value in given.items() if value is not None}
        if not self.until_decided:
            for name in given:
                raise InputError(f"--{name} goes with --until-decided: give that too")
            return None
        kinds = {"looks": int, "spending": float}
        return given | {name: parse_numbers(f"--{name}", given[name], kind) for name, kind in kinds.items() if name in given}


def race_until_decided(runner: "StudyRunner", race: "Callable[[list[RunSpec]], None]", as_json: bool) -> None:
    """Race look after look until every method is decided or no look is left, and say what each decides. Stops at a look whose
    runs did not all end. Without looks there is nothing more to race."""
    if runner.study.until_decided is None:
        return
    from fidrace.console import say
    from fidrace.execute.sequential_runner import SequentialRunner
    from fidrace.report.json_lines import emit
    from fidrace.storage.locks import lock_folder

    while isinstance(runner, SequentialRunner) and not runner.is_done and runner.is_look_over():
        runner.retry_failed = False  # once is enough: what has failed again counts as raced
        with lock_folder(runner.directory.path):
            look = runner.advance()
        if as_json:
            emit("look_ended", sys.stdout, **look.facts())
        else:
            say(str(look))
        if not runner.is_done:
            race(runner.plan())
