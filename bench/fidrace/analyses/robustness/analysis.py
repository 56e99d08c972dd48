"""Robustness: at which learning rates, batches, noise schedules and clipping norms does a method's speedup hold?

Each setting is a study of its own, in which the method is compared with that setting's own baseline, at a target from that
baseline (own_target.py).
"""

from dataclasses import replace

from fidrace.analyses.outcome import Outcome
from fidrace.analyses.robustness.own_target import read_setting
from fidrace.analyses.robustness.plots import robustness_png
from fidrace.analyses.robustness.settings import Settings
from fidrace.analyses.robustness.tables import effect_table, findings, idle_clip_lines, setting_table
from fidrace.errors import InputError
from fidrace.execute.study_series import StudySeries
from fidrace.score.speedups import MIN_PAIRS
from fidrace.spec.study import Study
from fidrace.spec.task import Task
from fidrace.spec.user_input import BASELINE

BUDGET_SHARE, EVALUATIONS = 0.4, 5  # of the task's budget, and in it: many settings make this a screening


def shorten_runs(task: Task, budget: bool) -> list[str]:
    """`--set` options that make a setting's runs short: fewer evaluations and, if `budget`, a part of the task's iterations."""
    iterations = round(BUDGET_SHARE * task.budget.iterations) if budget else task.budget.iterations
    evaluations = min(EVALUATIONS, task.budget.evaluations, iterations)
    return [f"budget.iterations={iterations}", f"budget.evaluations={evaluations}"]


def plan_studies(base: Study, settings: Settings) -> dict[str, Study]:
    """One study per setting, by home. Raises InputError if there is no method besides the baseline."""
    if set(base.methods) == {BASELINE}:
        raise InputError("-m: name a method to compare with the baseline (fidrace methods lists all)")
    how = "post hoc: the task's; fidrace analyze robustness sets one for each cell"
    return {setting.home: replace(base, task=setting.apply(base.own_task), target_how=how) for setting in settings.combinations}


def analyze_robustness(series: StudySeries, settings: Settings) -> Outcome:
    """Score every setting of a series that ran. A setting at which nothing can be measured is named, and leaves the others'
    numbers alone."""
    for runner in series.runners.values():
        runner.tabulate()  # a command that was killed may not have
    study = next(iter(series.runners.values())).study
    task, methods = study.own_task.name, [method for method in study.methods if method != BASELINE]
    results = [read_setting(series.root / setting.home, setting) for setting in settings.combinations]
    table = setting_table(results, task, methods)
    effects = effect_table(results, settings, task, methods, study.seeds)
    few = [f"{len(study.seeds)} seeds: an interval takes {MIN_PAIRS}"] if len(study.seeds) < MIN_PAIRS else []
    lines = [*findings(table, effects), *idle_clip_lines(results), *few]
    return Outcome({"robustness": table, "effects": effects}, robustness_png(table, settings), lines)
