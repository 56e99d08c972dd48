"""A study whose runs are somebody's command, and what goes wrong: commands, patterns, kills, and study files."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import COMMAND, ENVIRONMENT
from tests.trainer_study import OWN_FID, RUN, errors, study, table

FAULTS = {  # and `cuts`, whose checkpoint a sampler reads
    "fails": "trainer.command: exit code 1: was encountered at step 30",
    "silent": "the command has left no checkpoint",
    "other-lr": "its configuration has optimizer.lr = 0.0002, and slow seed 0 has 0.0001",
    "hangs": "trainer.command: no output and no checkpoint for 0.05 minutes; it was ended",
}


def test_a_run_that_fails_is_recorded_with_its_line(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, ["slow", *FAULTS], seeds=1, top={"evaluations": 2}, trainer={"patience": 0.05} | OWN_FID)
    said = fidrace("run", path, "--out", tmp_path / "s", code=4).stderr
    assert "4 of 5 runs failed" in said
    found = errors(tmp_path / "s")
    assert found.keys() == FAULTS.keys()
    for method, line in found.items():
        assert line.startswith(FAULTS[method]), line
        assert "\n" not in line


def test_a_damaged_checkpoint_is_made_again_once_it_is_removed(tmp_path: Path, fidrace) -> None:
    path, out = study(tmp_path, ["slow", "cuts"], seeds=1, top={"evaluations": 2}), tmp_path / "s"
    assert "1 of 2 runs failed" in fidrace("run", path, "--out", out, code=4).stderr
    (line,) = errors(out).values()
    assert line.startswith("trainer.evaluate: exit code 1: json.decoder.JSONDecodeError"), line
    assert "\n" not in line
    fidrace("run", path, "--out", out, "--retry-failed", code=4)  # it is measured again, not trained again
    (damaged,) = out.glob("runs/*/cuts/*/out/run/ckpt-00080.json")
    damaged.unlink()
    fidrace("run", path, "--out", out, "--retry-failed")
    assert damaged.exists()
    assert [*table(out, "runs")["status"]] == ["finished", "finished"]


def test_the_other_runs_go_on(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, ["fails", "slow"], seeds=1, top={"evaluations": 2}, trainer=OWN_FID)
    said = fidrace("run", path, "--out", tmp_path / "s", "--workers", "1", code=4, apart=True).stderr
    assert "1 of 2 runs failed" in said
    assert [*table(tmp_path / "s", "runs")["status"]] == ["failed", "finished"]


def test_a_distance_that_is_not_finite_means_that_the_run_diverged(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, ["slow", "explodes"], seeds=1, trainer=OWN_FID)
    fidrace("run", path, "--out", tmp_path / "s")
    rows = table(tmp_path / "s", "runs").set_index("method")
    assert rows.loc["explodes", "status"] == "diverged"
    fd = table(tmp_path / "s", "evals").query("method == 'slow'")["fd"]
    assert fd.iloc[-1] == pytest.approx(100 * np.exp(-1.0), rel=0.05)  # their own number
    assert "said" in table(tmp_path / "s", "provenance").query("guarantee == 'same evaluation'")["held_by"].to_list()


@pytest.mark.parametrize(
    ("read", "line"),
    [
        ("^fd = (.*)$", "finds nothing in what the command printed"),
        ("[kf]id = (.*)", "finds 2 in what the"),
        ("(comp)", "'comp', which is no"),
    ],
)
def test_a_pattern_must_find_one_number(tmp_path: Path, fidrace, read: str, line: str) -> None:
    path = study(tmp_path, ["slow"], seeds=1, trainer=OWN_FID | {"fid": OWN_FID["fid"] | {"read": read}})
    fidrace("run", path, "--out", tmp_path / "s", code=4)
    assert line in errors(tmp_path / "s")["slow"]


def test_a_pattern_that_matches_two_checkpoints_of_a_step_is_refused(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, ["slow", "twice"], seeds=1, trainer=OWN_FID | {"checkpoints": r"(run/)?ckpt-(?P<step>\d+)\.json"})
    fidrace("run", path, "--out", tmp_path / "s", code=4)
    assert re.search(
        r"matches (run/)?ckpt-00010.json and (run/)?ckpt-00010.json, both of step 10", errors(tmp_path / "s")["twice"]
    )


def test_evaluations_without_a_checkpoint_are_named(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, ["slow"], seeds=1, top={"evaluations": 3}, trainer=OWN_FID)
    fidrace("run", path, "--out", tmp_path / "s", code=4)
    assert errors(tmp_path / "s")["slow"].startswith("no checkpoint at step 27: there are 10, 20, 30, 40, 50, 60, 70, 80")


def run_until(study_file: Path, folder: Path, place: Path, name: str) -> None:
    """Run a study until a file of that name lies below `place`, then kill the command and its workers, as if power failed."""
    words = [*COMMAND, "run", str(study_file), "--workers", "1", "--out", str(folder)]
    process = subprocess.Popen(words, cwd=study_file.parent, env=ENVIRONMENT, stderr=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 120
    while not [*place.rglob(name)] and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_killed_study_is_taken_up_and_ends_in_the_undisturbed_tables(tmp_path: Path, fidrace) -> None:
    command = f"{RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}} --begin {{step}}"
    path = study(tmp_path, ["slow", "slowly"], seeds=1, trainer=OWN_FID | {"resume": command})
    reached = tmp_path / "killed/runs/mine/slowly"
    run_until(path, tmp_path / "killed", reached, "ckpt-00040.json")
    time.sleep(2)
    left = len([*reached.rglob("ckpt-*.json")])
    assert left < 8, "it was over before it was killed"
    time.sleep(1)
    assert len([*reached.rglob("ckpt-*.json")]) == left, "the trainer has outlived the study"
    fidrace("run", path, "--out", tmp_path / "killed")
    log = next(reached.rglob("log.txt")).read_text()
    assert "step 10\n" not in log  # of the attempt that was killed nothing is left but its checkpoints
    fidrace("run", path, "--out", tmp_path / "whole")
    for name in ("evals", "speedups"):
        assert (tmp_path / "killed" / f"{name}.csv").read_bytes() == (tmp_path / "whole" / f"{name}.csv").read_bytes()


def test_what_a_killed_worker_s_wrapper_has_started_is_ended_when_the_run_is_taken_up(tmp_path: Path, fidrace) -> None:
    """A shell that starts the trainer dies with its worker, and the trainer does not hear of it."""
    command = f"true && {RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}}; true"
    path = study(tmp_path, ["lingers"], seeds=1, trainer=OWN_FID | {"command": command, "shell": True})
    out = tmp_path / "s/runs"
    run_until(path, tmp_path / "s", out, "ckpt-00010.json")
    fidrace("run", path, "--out", tmp_path / "s")
    assert next(out.rglob("log.txt")).read_text().count("step 10\n") == 1
    marked = [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in safe_bytes(one)]
    assert not marked


def safe_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


WRONG = {
    "neither {method} nor {arguments}": ({}, {"command": f"{RUN} train {{out}}"}),
    "no {out}": ({}, {"command": f"{RUN} train --method {{method}}"}),
    "unknown field {sed}; did you mean 'seed'?": ({}, {"command": f"{RUN} train {{out}} {{sed}} {{method}}"}),
    "trainer.evaluate: unknown field {checkpont}": ({}, {"evaluate": "x {checkpont}"}),
    "no closing quotation": ({}, {"command": "x '{out} {method}"}),
    "needs one named group": ({}, {"checkpoints": r"ckpt-(\d+)"}),
    "no regular expression": ({}, {"checkpoints": r"ckpt-(?P<step>\d+"}),
    "kimg become optimizer steps by `batch`": ({}, {"checkpoints": r"n-(?P<kimg>\d+)"}),
    "`steps_each` says how many optimizer steps one epoch is": ({}, {"checkpoints": r"n-(?P<epoch>\d+)"}),
    "takes `evaluate`, `samples` and `ref`": ({}, {"evaluate": ""}),
    "method 'slow' is not in [trainer.methods]; did you mean 'slowly'?": ({}, {"methods": {"slowly": "x"}}),
    "takes [trainer.methods]": ({}, {"command": "x {out} {arguments}"}),
    "no program 'no-such-program'": ({}, {"command": "no-such-program {out} {method}"}),
    "trainer.resume: no program 'again'": ({}, {"resume": "again {out}"}),
    "trainer.samples = 1: a distance takes two": ({}, {"samples": 1}),
    "trainer.config /etc/x: a path below {out}": ({}, {"config": "/etc/x"}),
    "'../up' cannot be a method": ({"methods": ["slow", "../up"]}, {}),
    "contrasts: 'fsat' is not among the methods; did you mean 'fast'?": ({"contrasts": ["fsat/slow"]}, {}),
    "8 evaluations do not fit into a budget of 3": ({"budget": 3}, {}),
    "iterations: Input should be greater than 0": ({"budget": 0}, {}),
    "no such folder": ({}, {"source": "nowhere"}),
    "baseline = 'quick' is not among the methods": ({"baseline": "quick"}, {}),
    "a method is listed twice": ({"methods": ["slow", "slow"]}, {}),
    "budget: a study with a [trainer] says it": ({"budget": None}, {}),
    "task: does not go with [trainer]": ({"task": "digits"}, {}),
    "unknown field 'trainer.comand'; did you mean 'command'?": ({}, {"comand": "x"}),
    """trainer.fid: "fidrace", or {command = "...", read = "..."}""": ({}, {"fid": "clean"}),
    "trainer.fid.read: Field required": ({}, {"fid": {"command": "x"}}),
    "no.npz: no such file": ({}, {"ref": "no.npz"}),
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_studies_are_refused_before_anything_runs(tmp_path: Path, refused, line: str) -> None:
    top, trainer = WRONG[line]
    said = refused("run", study(tmp_path, top=top, trainer=trainer), "--out", tmp_path / "s")
    assert line in said, said
    assert not (tmp_path / "s").exists()


def test_options_that_do_not_belong_to_a_trainer_are_refused(tmp_path: Path, refused) -> None:
    path = study(tmp_path)
    assert "--set: mine is a study of another trainer" in refused("run", path, "--set", "optimizer.lr=1")
    assert "--until-decided: mine is a study of another trainer" in refused("run", path, "--until-decided")
    assert "mine is a study of another trainer" in refused("analyze", "robustness", path)
    assert "--prove: fidrace holds every guarantee" in refused("run", "digits", "--prove")
