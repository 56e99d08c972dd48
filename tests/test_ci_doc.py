"""docs/ci.md is run: its workflow in a scratch repository with two revisions of somebody's trainer, and its commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fidrace.spec.study import define_study
from tests.conftest import COMMAND, ENVIRONMENT, Fidrace
from tests.published import DIGITS, excerpt

TEXT = (Path(__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
TRAINER = """
import argparse, math, random

parser = argparse.ArgumentParser()
parser.add_argument("--method")
parser.add_argument("--seed", type=int)
given = parser.parse_args()
luck = random.Random(given.seed)
pace = {"baseline": 1.0, "ours": 1.4}[given.method] * math.exp(luck.gauss(0, 0.1))
noise = random.Random(f"{given.method} {given.seed} one")
for step in range(1000, 60001, 1000):
    fid = 5 + 295 * (1 + 14.15 * pace * step / 30000) ** -1.5
    print(f"{step},{fid * math.exp(noise.gauss(0, 0.01))}")
"""
OTHER_CHANCES, SLOWER = (" one", " two"), ("1.4", "1.26")


def block(language: str) -> str:
    """The first code block of this language."""
    found = re.search(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose main branch has gone on since the pull request's began."""
    folder = tmp_path / "theirs"
    (folder / "speed").mkdir(parents=True)
    (folder / "train.py").write_text(TRAINER)
    (folder / "speed" / "study.toml").write_text(block("toml"))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "a trainer")
    git(folder, "branch", "pull-request")
    git(folder, "rm", "-q", "train.py")
    git(folder, "commit", "-q", "-m", "later")
    git(folder, "checkout", "-q", "pull-request")
    return folder


def run_job(folder: Path, tmp_path: Path) -> dict[str, int]:
    """Execute the steps of the workflow that are commands, as GitHub does, but for the installation; exit codes by name."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, command in (("fidrace", COMMAND), ("python", [sys.executable, "-I", "-S"])):  # without site: it starts sooner
        (binaries / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (binaries / name).chmod(0o755)
    workflow: dict[str, Any] = yaml.safe_load(block("yaml"))
    job = workflow["jobs"]["speed"]
    assert (workflow["defaults"]["run"]["shell"], job["env"]) == (
        "bash",
        {"BASE": "${{ github.event.pull_request.base.sha }}"},
    )
    environment = {
        **ENVIRONMENT,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "BASE": git(folder, "rev-parse", "main"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    codes: dict[str, int] = {}
    for step in job["steps"]:
        if "run" not in step or step["name"] == "install" or (any(codes.values()) and step.get("if") != "always()"):
            continue
        script = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        codes[step["name"]] = subprocess.run(script, cwd=folder, env=environment, check=False).returncode
    return codes


@pytest.mark.parametrize(
    ("change", "code", "heading"),
    [(OTHER_CHANCES, 0, "1 holds"), (SLOWER, 1, "1 fails")],
    ids=["as fast", "10 % slower"],
)
def test_the_workflow_notices_a_pull_request_that_trains_slower(
    change: tuple[str, str], code: int, heading: str, repository: Path, tmp_path: Path
) -> None:
    (repository / "train.py").write_text(TRAINER.replace(*change))
    git(repository, "commit", "-q", "-a", "-m", "a pull request")
    codes = run_job(repository, tmp_path)
    assert codes == {"train": 0, "no slower than before": code, "still faster than the baseline": 0}
    assert (tmp_path / "summary.md").read_text().startswith(f"### fidrace: {heading}\n")
    assert (repository / "comment.md").read_text().splitlines()[1] == f"### fidrace: {heading}"
    rows = [line.split(",")[:2] for line in (repository / "speed" / "evals.csv").read_text().splitlines()[1:]]
    assert {method: sum(name == method for name, _ in rows) for method, _ in rows} == dict.fromkeys(
        ("baseline", "before", "now"), 5 * 60
    )


def test_every_other_check_of_the_document_is_a_command_that_works(tmp_path: Path, fidrace: Fidrace) -> None:
    (tmp_path / "speed").mkdir()
    shutil.copytree(excerpt(tmp_path / "ten", seeds=tuple(range(10))), tmp_path / "speed" / "before")
    shutil.copytree(excerpt(tmp_path / "three"), tmp_path / "speed" / "now")
    commands = re.findall(r"^    fidrace (check speed/now .*)$", TEXT, flags=re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        fidrace(*shlex.split(command))
    assert (tmp_path / "gate.xml").exists()


def test_the_summary_is_the_one_that_the_command_writes(tmp_path: Path, fidrace: Fidrace) -> None:
    study = define_study("ci")
    excerpt(
        tmp_path / "ci", seeds=study.seeds, window=study.window
    )  # what `fidrace run studies/ci.toml` measures, to the last digit
    shutil.copytree(DIGITS, tmp_path / "results" / "digits")
    found = re.search(r"&& fidrace (check ci .*?)`\):\n\n(###.*?)\n\n## ", TEXT, flags=re.DOTALL)
    assert found
    fidrace(*shlex.split(found[1]))
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").strip() == found[2].strip()
