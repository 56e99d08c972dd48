"""A study whose runs are somebody's command: tests/trainer.py, whose factors are known."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.spec.study import load_study
from fidrace.storage.manifest import read_manifest
from tests.conftest import COMMAND, ENVIRONMENT

TRAINER = Path(__file__).parent / "trainer.py"
RUN = shlex.join([sys.executable, str(TRAINER)])


def study(folder: Path, methods=("slow", "fast"), seeds: int = 3, top: dict = {}, trainer: dict = {}) -> Path:
    """A study file of the test's trainer, with other values if they are given; None leaves a field out."""
    own = {"methods": [*methods], "seeds": seeds, "budget": 80, "evaluations": 8, "target": 20.0} | top
    section = {
        "command": f"{RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}}",
        "checkpoints": r"run/ckpt-(?P<step>\d+)\.json",
        "evaluate": f"{RUN} sample {{checkpoint}} --first {{first}} --count {{count}} --out {{samples}}.npz",
        "samples": 400,
        "ref": "digits",
        "config": "*/config.json",
        "varies": ["seed", "method"],
    } | trainer
    lines = [f"{name} = {json.dumps(value)}" for name, value in own.items() if value is not None]
    tables = [f"{name} = {toml(value)}" for name, value in section.items() if value is not None]
    path = folder / "mine.toml"
    path.write_text("\n".join([*lines, "[trainer]", *tables]) + "\n")
    return path


OWN_FID = {
    "fid": {"command": f"{RUN} fid {{checkpoint}}", "read": "^fid = (.*)$"},
    **dict.fromkeys(("evaluate", "ref", "samples")),
}


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def table(folder: Path, name: str = "speedups") -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv")


def held_by(folder: Path, method: str) -> pd.Series:
    """Who holds each guarantee of a method's first run."""
    held = table(folder, "provenance")
    return held[held["method"] == method].drop_duplicates("guarantee").set_index("guarantee")["held_by"]


def errors(folder: Path) -> dict[str, str]:
    return {row.method: str(row.error) for row in table(folder, "runs").itertuples() if row.status == "failed"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished study, in a folder with blanks in its name."""
    folder = tmp_path_factory.mktemp("a folder")
    done = subprocess.run(
        [*COMMAND, "run", str(study(folder)), "--out", str(folder / "two words")],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "two words"


def test_the_factor_is_the_known_one_and_the_target_is_declared(finished: Path) -> None:
    (row,) = (row for row in table(finished).itertuples() if row.method == "fast" and row.axis == "iterations")
    assert row.speedup == pytest.approx(1.5, rel=0.05)
    assert row.verdict == "faster"
    assert "post hoc" not in row.flags
    manifest = read_manifest(finished / "study.json")
    assert (manifest.baseline, manifest.target, manifest.metric) == ("slow", 20.0, "fd_digits")
    assert manifest.evaluations_at == [10, 20, 30, 40, 50, 60, 70, 80]


def test_every_run_says_what_it_shares_and_who_holds_that(finished: Path) -> None:
    assert len(table(finished, "provenance")) == 6 * 11
    assert held_by(finished, "fast").to_dict() == {
        "same configuration": "config",
        "same code": "unknown",
        "same start": "said",
        "same chances": "said",
        "seeds differ": "measured",
        "adapter inert": "unknown",
        "same grid": "harness",
        "same evaluation": "harness",
        "target before": "harness",
        "all runs shown": "harness",
        "average of weights": "config",
    }
    flags = table(finished).drop_duplicates("method").set_index("method")["flags"]
    assert "unknown: same code, adapter inert" in flags["fast"]
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "what these runs share, and who holds it" in page
    assert "--prove compares baseline through the adapter" in page


def test_the_same_latents_are_drawn_for_every_method_of_a_seed(finished: Path) -> None:
    evals = table(finished, "evals")
    assert (evals.groupby(["method", "seed"])["iteration"].apply(list).map(tuple) == (10, 20, 30, 40, 50, 60, 70, 80)).all()
    assert evals[["fd", "fd_se", "precision", "recall", "memorised", "kid"]].notna().all().all()
    # slow at step 60 and fast at step 40 have the same noise, and the same draws: the distance is one number
    at = evals.set_index(["method", "seed", "iteration"])["fd"]
    for seed in range(3):
        assert at["slow", seed, 60] == pytest.approx(at["fast", seed, 40], rel=1e-9)


def test_the_same_command_on_a_finished_folder_trains_nothing(finished: Path, fidrace) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("ckpt-*")}
    assert before
    said = fidrace("run", study(finished.parent), "--out", finished).stderr
    assert "6 of 6 runs are done already" in said
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("ckpt-*")} == before


FAULTS = {
    "fails": "trainer.command: exit code 1: was encountered at step 30",
    "silent": "the command has left no checkpoint",
    "cuts": "trainer.evaluate: exit code 1: json.decoder.JSONDecodeError",
    "other-lr": "its configuration has optimizer.lr = 0.0002, and slow seed 0 has 0.0001",
    "hangs": "trainer.command: no output and no checkpoint for 0.05 minutes; it was ended",
}


@pytest.mark.parametrize("method", FAULTS)
def test_a_run_that_fails_is_recorded_with_its_line(tmp_path: Path, fidrace, method: str) -> None:
    more = {} if method == "cuts" else OWN_FID
    path = study(tmp_path, ["slow", method], seeds=1, top={"evaluations": 2}, trainer={"patience": 0.05} | more)
    said = fidrace("run", path, "--out", tmp_path / "s", code=4).stderr
    assert "1 of 2 runs failed" in said
    (line,) = errors(tmp_path / "s").values()
    assert line.startswith(FAULTS[method]), line
    assert "\n" not in line


def test_the_other_runs_go_on(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, ["fails", "slow"], seeds=2, top={"evaluations": 2}, trainer=OWN_FID)
    said = fidrace("run", path, "--out", tmp_path / "s", "--workers", "1", code=4, apart=True).stderr
    assert "2 of 4 runs failed" in said
    assert [*table(tmp_path / "s", "runs")["status"]] == ["failed", "failed", "finished", "finished"]


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


def test_a_killed_study_is_taken_up_and_ends_in_the_undisturbed_tables(tmp_path: Path, fidrace) -> None:
    command = f"{RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}} --begin {{step}}"
    path = study(tmp_path, ["slow", "slowly"], seeds=1, trainer=OWN_FID | {"resume": command})
    words = [*COMMAND, "run", str(path), "--workers", "2", "--out", "killed"]
    process = subprocess.Popen(words, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, start_new_session=True)
    reached = tmp_path / "killed/runs/mine/slowly"
    until = time.monotonic() + 120
    while not [*reached.rglob("ckpt-00040.json")] and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
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


def test_prove_measures_what_the_seed_fixes_and_what_the_adapter_changes(tmp_path: Path, fidrace) -> None:
    arguments = {"native": "--method slow", "baseline": "--method slow", "fast": "--method fast", "*": "--method {method}"}
    command = f"{RUN} train {{out}} --seed {{seed}} {{arguments}} --steps {{budget}}"
    trainer = OWN_FID | {"command": command, "methods": arguments}
    path = study(tmp_path, ["native", "fast"], seeds=2, top={"baseline": "native"}, trainer=trainer)
    said = fidrace("run", path, "--prove", "--out", tmp_path / "s").stderr
    assert "native seed 0 twice: equal to the last digit at 8 steps" in said
    held = (
        table(tmp_path / "s", "provenance")
        .query("method == 'fast'")
        .drop_duplicates("guarantee")
        .set_index("guarantee")["held_by"]
    )
    assert (held[["same chances", "adapter inert", "same start"]] == "measured").all()
    assert [*held.index[held == "unknown"]] == ["same code"]

    content = json.loads((tmp_path / "s/proof.json").read_text())
    (tmp_path / "s/proof.json").write_text(json.dumps(content | {"of": ["another revision"]}))
    fidrace("run", path, "--out", tmp_path / "s")  # what was shown of other code counts no more
    assert (held_by(tmp_path / "s", "fast")[["same chances", "adapter inert"]] == ["said", "unknown"]).all()

    trainer["methods"] = arguments | {"native": "--method drifts", "baseline": "--method slow"}
    path = study(tmp_path, ["native", "fast"], seeds=2, top={"baseline": "native"}, trainer=trainer)
    said = fidrace("run", path, "--prove", "--out", tmp_path / "t").stderr
    assert re.search(r"native seed 0 twice: [\d.]+ and [\d.]+ at step 10", said)
    assert "unknown: same code, same chances, adapter inert" in table(tmp_path / "t").query("method == 'fast'")["flags"].iloc[0]


def test_a_shell_is_used_only_if_the_study_says_so(tmp_path: Path, fidrace) -> None:
    """`$HOME` and `;` are plain words without one."""
    command = f"{RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}}; touch $HOME_OF_TEST/marked"
    for shell, code in ((False, 4), (True, 0)):
        own = OWN_FID | {"command": command, "shell": shell}
        path = study(tmp_path, ["slow"], seeds=1, top={"evaluations": 1}, trainer=own)
        environment = {"HOME_OF_TEST": str(tmp_path)}
        fidrace("run", path, "--out", tmp_path / f"s{shell}", code=code, environment=environment)
        assert (tmp_path / "marked").exists() == shell


def test_what_a_killed_worker_s_wrapper_has_started_is_ended_when_the_run_is_taken_up(tmp_path: Path, fidrace) -> None:
    """A shell that starts the trainer dies with its worker, and the trainer does not hear of it."""
    command = f"true && {RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}}; true"
    path = study(tmp_path, ["slowly"], seeds=1, trainer=OWN_FID | {"command": command, "shell": True})
    process = subprocess.Popen(
        [*COMMAND, "run", str(path), "--out", "s"], cwd=tmp_path, env=ENVIRONMENT, start_new_session=True
    )
    out = tmp_path / "s/runs"
    until = time.monotonic() + 120
    while not [*out.rglob("ckpt-00010.json")] and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    fidrace("run", path, "--out", tmp_path / "s")
    assert next(out.rglob("log.txt")).read_text().count("step 10\n") == 1
    marked = [one for one in Path("/proc").glob("[0-9]*/cmdline") if str(TRAINER).encode() in safe_bytes(one)]
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
    "no.npz: no such file": ({}, {"ref": "no.npz"}),
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_studies_are_refused_before_anything_runs(tmp_path: Path, refused, line: str) -> None:
    top, trainer = WRONG[line]
    said = refused("run", study(tmp_path, top=top, trainer=trainer), "--out", tmp_path / "s")
    assert line in said, said
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("evaluate", "held", "how"),
    [
        ("sample {checkpoint} --first {first} --count {count} --out {samples}.npz", "harness", "latents by the run's seed"),
        ("sample {checkpoint} --first 7 --count {count} --out {samples}.npz", "unknown", "the sampler gets no seed"),
        (
            "sample {checkpoint} --first {first} --method {method} --count {count} --out {samples}.npz",
            "unknown",
            "told the method",
        ),
    ],
)
def test_a_sampler_that_may_differ_between_methods_is_said(tmp_path: Path, fidrace, evaluate: str, held: str, how: str) -> None:
    path = study(tmp_path, ["slow"], seeds=1, top={"evaluations": 1}, trainer={"evaluate": f"{RUN} {evaluate}", "samples": 50})
    fidrace("run", path, "--out", tmp_path / "s")
    (row,) = table(tmp_path / "s", "provenance").query("guarantee == 'same evaluation'").itertuples()
    assert row.held_by == held
    assert how in row.how


def test_tables_without_their_provenance_say_so_and_are_not_merged(tmp_path: Path, fidrace, refused) -> None:
    path = study(tmp_path, seeds=1, top={"evaluations": 2}, trainer=OWN_FID)
    fidrace("run", path, "--out", tmp_path / "s")
    assert "is a study of another trainer" in refused("merge", tmp_path / "s", tmp_path / "s", "--out", tmp_path / "m")
    (tmp_path / "s/provenance.csv").unlink()
    fidrace("score", tmp_path / "s")
    assert table(tmp_path / "s")["flags"].str.contains("unknown: provenance").all()
    (tmp_path / "s/notes.txt").write_text("mine")
    assert "holds notes.txt too" in refused("run", path, "--out", tmp_path / "s", "--fresh", "--yes")
    assert (tmp_path / "s/runs.csv").exists()


def test_a_trainer_that_ignores_its_seed_is_noticed(tmp_path: Path, fidrace) -> None:
    command = f"{RUN} train {{out}} --seed 5 --method {{method}} --steps {{budget}}"
    path = study(tmp_path, ["slow"], seeds=2, top={"evaluations": 1}, trainer=OWN_FID | {"command": command})
    fidrace("run", path, "--out", tmp_path / "s")
    held = table(tmp_path / "s", "provenance").query("guarantee == 'seeds differ'")
    assert {*held["held_by"]} == {"unknown"}
    assert held["how"].iloc[0] == "seeds 0, 1 end in one checkpoint: the trainer ignores its seed"


def test_a_checkpoint_serves_one_evaluation(tmp_path: Path, fidrace) -> None:
    """Counted in thousands of images of 64, the trainer's checkpoints 10, 20, ... would each be many steps."""
    trainer = {"checkpoints": r"run/ckpt-000(?P<kimg>\d)0\.json", "batch": 64}
    path = study(tmp_path, ["slow"], seeds=1, top={"budget": 80, "evaluations": 16}, trainer=OWN_FID | trainer)
    fidrace("run", path, "--out", tmp_path / "s", code=4)
    assert "ckpt-00010.json would be measured as step" in errors(tmp_path / "s")["slow"]


def test_a_target_given_after_the_runs_stays_post_hoc(tmp_path: Path, fidrace) -> None:
    path = study(tmp_path, seeds=1, top={"evaluations": 2, "target": None}, trainer=OWN_FID)
    fidrace("run", path, "--target", "60", "--out", tmp_path / "s")
    path = study(tmp_path, seeds=1, top={"evaluations": 2, "target": 60.0}, trainer=OWN_FID)
    fidrace("run", path, "--out", tmp_path / "s")
    assert table(tmp_path / "s")["flags"].str.contains("post hoc").all()


def test_options_that_do_not_belong_to_a_trainer_are_refused(tmp_path: Path, refused) -> None:
    path = study(tmp_path)
    assert "--set: mine is a study of another trainer" in refused("run", path, "--set", "optimizer.lr=1")
    assert "--until-decided: mine is a study of another trainer" in refused("run", path, "--until-decided")
    assert "mine is a study of another trainer" in refused("analyze", "robustness", path)
    assert "--prove: fidrace holds every guarantee" in refused("run", "digits", "--prove")


def test_a_target_is_set_by_the_rule_from_the_baseline_alone(tmp_path: Path, fidrace, refused) -> None:
    path = study(tmp_path, top={"target": None}, trainer=OWN_FID)
    assert f"race its baseline alone with `fidrace run {path} -m BASELINE" in refused("target", path)
    fidrace("run", path, "-m", "slow", "--seeds", "100,101,102,103,104", "--out", tmp_path / "s")
    fidrace("target", tmp_path / "s")
    manifest = read_manifest(tmp_path / "s/study.json")
    assert manifest.target == pytest.approx(100 * np.exp(-0.6), abs=1.5)
    fidrace("run", path, "--seeds", "2", "--out", tmp_path / "s")
    held = table(tmp_path / "s", "provenance").query("guarantee == 'target before'")
    assert {*held["held_by"]} == {"harness"}
    assert held["how"].str.startswith("median FD of 5 baseline runs").all()


def test_a_dry_run_shows_the_commands(tmp_path: Path, fidrace) -> None:
    said = fidrace("run", study(tmp_path), "--dry-run").stderr
    assert "train OUT --seed 0 --method fast --steps 80" in said
    assert "2 methods x 3 seeds" in said
    assert not (tmp_path / "results").exists()


def test_kimg_epochs_and_milestones_become_steps(tmp_path: Path) -> None:
    for pattern, more, steps in (
        (r"snapshot-(?P<kimg>\d+)\.pkl", {"batch": 512}, 1000 / 512),
        (r"e-(?P<epoch>\d+)", {"steps_each": 390}, 390),
        (r"model-(?P<milestone>\d+)", {"steps_each": 50}, 50),
        (r"(?P<step>\d+)", {}, 1),
    ):
        loaded = load_study(study(tmp_path, trainer={"checkpoints": pattern} | more))
        assert loaded.task.trainer.steps_per_unit == steps
    with pytest.raises(InputError, match="contrast"):
        load_study(study(tmp_path, top={"contrasts": ["fast"]}))
