"""The target of a setting, from its own baseline runs, and the setting's runs raced to it.

A target for all settings would be out of reach in some, so each gets one by the rule that sets a task's. Its baseline runs are
also what the method is compared with; tests/test_robustness.py simulates what that costs.
"""

from dataclasses import dataclass
from pathlib import Path

from fidrace.analyses.robustness.settings import Setting
from fidrace.errors import InputError, NothingToConclude
from fidrace.score.comparison import RunTable
from fidrace.score.leaderboard import read_run_table
from fidrace.score.reading import read_tables
from fidrace.score.rules import Question, read_rules
from fidrace.score.target_rule import sets_target, target_of
from fidrace.spec.user_input import BASELINE


@dataclass(frozen=True)
class SettingResult:
    """A setting, its study's folder, and its runs with their target; or `why_not`, in words."""

    setting: Setting
    folder: Path
    runs: RunTable | None
    why_not: str = ""

    def has(self, method: str) -> bool:
        """True if there are runs of `method`, raced to a target."""
        return self.runs is not None and method in self.runs.methods


def read_setting(folder: Path, setting: Setting) -> SettingResult:
    """The runs of a setting, raced to its own target, or why they cannot be."""
    try:
        return SettingResult(setting, folder, read_run_table(folder, Question(own_target(folder))))
    except (NothingToConclude, InputError) as error:
        return SettingResult(setting, folder, None, str(error).removeprefix(f"{folder}: "))


def own_target(folder: Path) -> float:
    """The target that the protocol's rule gives for any number of baseline runs. Raises NothingToConclude if it gives none that
    could be raced to."""
    tables = read_tables(folder)
    curves, budget = tables.curves, read_rules(folder, tables).budget
    if not any(sets_target(curve, budget) for curve in curves):
        statuses = sorted(curve.status for curve in curves if curve.method == BASELINE)
        raise NothingToConclude(f"no baseline run finished ({', '.join(statuses) or 'there is none'})")
    return target_of(curves, budget, least=1)
