"""`fidrace run --dry-run`: what the runs still need on this machine, and what they will cost."""

from fidrace.cli.place import Place
from fidrace.cli.run import FolderOptions, describe_study
from fidrace.cli.shared import USAGE, fail
from fidrace.console import say
from fidrace.execute.doctor import check_study
from fidrace.execute.estimate import estimate
from fidrace.execute.preflight import check_space
from fidrace.execute.study_runner import StudyRunner
from fidrace.execute.trainer.preflight import check_trainer, command_lines
from fidrace.report.cost import cost_lines
from fidrace.spec.study import Study
from fidrace.spec.trainer import TrainerTask


def rehearse(runner: StudyRunner, place: Place, folder: FolderOptions) -> None:
    """Say what would be run, what it costs and what is missing. Exits with code 2 if the runs could not start."""
    if (folder.fresh and runner.directory.holds_study()) or runner.study.task.has_open_content:
        specs = list(runner.study.specs())
    else:
        runner.directory.merged_manifest(runner.study)  # refuses another study's folder
        for look in runner.catch_up():
            say(str(look))
        specs = runner.left_at_most()
    device = place.devices()[0]
    if isinstance(runner.study.task, TrainerTask):
        describe_study(runner, specs)
        check_trainer(runner.study)
        for line in command_lines(runner.study):
            say(line)
        return
    check_space(runner.study, runner.directory.path, place.run_count(runner.study.task.budget.threads))
    describe_study(runner, specs)
    report_needs_and_cost(runner.study, len(specs), device)


def report_needs_and_cost(study: Study, runs: int, device: str) -> None:
    """Say what `runs` runs of `study` lack and what they cost on `device`. Exits with code 2 if they could not start."""
    findings = check_study(study) if runs else []
    for finding in findings:
        if finding.what == "data" or not finding.present:
            say(f"{'' if finding.present else 'missing '}{finding.what}: {finding.text}")
    missing = [finding.what for finding in findings if not finding.present]
    if not {"network", "diffusers"} & {*missing}:
        for line in cost_lines(study.own_task, estimate(study, device), runs):
            say(line)
    if missing:
        fail(f"{study.name} cannot start yet; missing: {', '.join(missing)}", USAGE)
