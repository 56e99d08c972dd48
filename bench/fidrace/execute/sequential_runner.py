"""Race a study until it is decided: look by look, and at each only the methods that no earlier look has decided.

What a look decides follows from the runs up to it alone, so that the same command resumes after a kill and decides the same.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from fidrace.execute.study_runner import StudyRunner
from fidrace.score.decisions import Decision, decide_at, describe_look
from fidrace.score.sequential import resolve
from fidrace.spec.looks import Design
from fidrace.spec.study import RunSpec, Study
from fidrace.storage.study_folder import StudyFolder
from fidrace.storage.tables import ENDED


@dataclass(frozen=True)
class LookResult:
    """What look `number` of the study decides of the methods that were raced for it."""

    number: int
    looks: tuple[int, ...]
    decisions: list[Decision]

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        decided = [vars(one) for one in self.decisions if one.is_made]
        undecided = [one.method for one in self.decisions if not one.is_made]
        return {"look": self.number, "seeds": self.looks[self.number - 1], "decided": decided, "undecided": undecided}

    def __str__(self) -> str:
        return describe_look(self.number, self.looks, self.decisions)


@dataclass
class SequentialRunner(StudyRunner):
    """A study in its folder at look `number`. `seeds_of`: with how many seeds the methods that are decided were raced."""

    number: int = 1
    seeds_of: dict[str, int] = field(default_factory=dict)

    @property
    def design(self) -> Design:
        assert isinstance(self.study.until_decided, Design)
        return self.study.until_decided

    @property
    def is_done(self) -> bool:
        """True if no look is left, or no method to race for it."""
        return self.number > len(self.design.looks) or {*self.study.methods} <= {*self.seeds_of, self.study.baseline}

    def asked(self) -> list[RunSpec]:
        """The runs of this look and of those before it."""
        return self.runs_up_to(self.design.looks[min(self.number, len(self.design.looks)) - 1])

    def runs_up_to(self, seeds: int) -> list[RunSpec]:
        """The runs of methods that are not decided up to so many seeds, and all of the others."""
        return [spec for spec in self.study.specs() if spec.seed < self.seeds_of.get(spec.method, seeds)]

    def left_at_most(self) -> list[RunSpec]:
        """The runs to do if no further method is decided before the last look."""
        return self.to_do(self.asked() if self.is_done else self.runs_up_to(self.design.last))

    def is_look_over(self) -> bool:
        """True if every run of the look has ended or failed."""
        known = self.directory.run_statuses()
        return all(known.get(spec.directory) in (*ENDED, "failed") for spec in self.asked())

    def advance(self) -> LookResult:
        """What this look, which is over, decides; the next one takes its place."""
        seeds = self.design.looks[self.number - 1]
        raced = [method for method in self.study.methods if method not in self.seeds_of]
        decisions = [one for one in decide_at(self.directory.path, seeds) if one.method in raced]
        self.seeds_of |= {one.method: seeds for one in decisions if one.is_made}
        found = LookResult(self.number, self.design.looks, decisions)
        if not self.is_done:
            self.number += 1
        return found

    def catch_up(self) -> list[LookResult]:
        """Start at the first look, and pass those that are over."""
        self.number, self.seeds_of = 1, {}
        passed = []
        while not self.is_done and self.is_look_over():
            passed.append(self.advance())
        return passed

    def declare(self) -> None:
        """As for any study; and tables that lack the last runs of a killed command are rebuilt, because looks read them."""
        super().declare()
        self.directory.collect()

    def describe_size(self, left: int) -> tuple[str, str]:
        """How many runs this is at most, and how many of them are left, in words."""
        methods, seeds = len(self.study.methods), self.design.last
        return f"{methods} methods x at most {seeds} seeds, until they are decided", f"; at most {left} runs are left"


def make_runner(study: Study, directory: StudyFolder, retry_failed: bool) -> SequentialRunner:
    """The runner of a study with looks; these get their levels here unless the folder has declared them."""
    if study.until_decided is not None and not isinstance(study.until_decided, Design):
        study = replace(study, until_decided=resolve(study.until_decided))
    return SequentialRunner(study, directory, retry_failed)
