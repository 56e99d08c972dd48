"""How `fidrace run` ends: the folder is scored, its tables and page are written and shown, and failures are named."""

import sys

import typer

from fidrace.cli.shared import SOME_FAILED
from fidrace.console import say
from fidrace.errors import GroupFailed
from fidrace.execute.study_runner import StudyRunner
from fidrace.execute.trainer.guarantees import write_provenance
from fidrace.report.json_lines import emit
from fidrace.report.page.build import PAGE, FolderContent, open_in_browser, write_page
from fidrace.report.publish import publish
from fidrace.report.terminal import make_console, print_scores
from fidrace.spec.trainer import TrainerTask
from fidrace.storage.locks import lock_folder


def conclude(runner: StudyRunner, as_json: bool) -> None:
    """Score the folder, write its tables and its page, and show them."""
    folder = runner.directory.path
    with lock_folder(folder):
        runner.directory.collect()
        if isinstance(runner.study.task, TrainerTask):
            write_provenance(runner.study, runner.directory)
        content = FolderContent.of(folder)
        if content.scores:
            publish(folder, content.scores)
        page = write_page(folder, content, runner.study.methods_path)
    scores = content.scores
    if as_json:
        table = scores.leaderboard if scores else None
        leaderboard = [] if table is None else table.astype(object).where(table.notna(), None).to_dict("records")
        headline = scores.headline() if scores else content.reason
        emit("study_ended", sys.stdout, failed=len(runner.failures()), headline=headline, leaderboard=leaderboard)
    elif scores:
        for remark in scores.remarks:
            say(remark)
        print_scores(scores, make_console())
        say(f"tables and pictures: {folder}; report: {page}")
        if runner.study.task.remark:
            say(runner.study.task.remark)
    if scores is None:
        say(f"{folder}: {content.reason}")


def report_end(runner: StudyRunner, open_report: bool, in_group: bool) -> None:
    """Open the report if asked. If runs failed, say which and why, and exit with code 4; `in_group` at once, because another
    process of the group may be gone."""
    if open_report:
        open_in_browser(runner.directory.path / PAGE)
    if failures := runner.failures():
        total = len(runner.asked())
        say(f"{len(failures)} of {total} runs failed; --retry-failed resumes them:")
        for failure in failures:
            say(f"  {failure}")
        if unstarted := len(runner.plan()) - (len(failures) if runner.retry_failed else 0):
            say(f"{unstarted} runs were not started; repeat the same command to run them")
        raise GroupFailed if in_group else typer.Exit(SOME_FAILED)
