"""A study whose runs are somebody's command: tests/trainer.py, whose factors are known."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fidrace.errors import InputError
from fidrace.spec.study import define_study
from fidrace.storage.manifest import read_manifest
from tests.conftest import command_here
from tests.trainer_study import OWN_FID, RUN, errors, held_by, study, table


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished study, in a folder with blanks in its name."""
    folder = tmp_path_factory.mktemp("a folder")
    done = command_here(["run", study(folder), "--out", folder / "two words"], folder)
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


def test_prove_measures_what_the_seed_fixes_and_what_the_adapter_changes(tmp_path: Path, fidrace) -> None:
    arguments = {"native": "--method slow", "baseline": "--method slow", "fast": "--method fast", "*": "--method {method}"}
    command = f"{RUN} train {{out}} --seed {{seed}} {{arguments}} --steps {{budget}}"
    trainer, top = OWN_FID | {"command": command, "methods": arguments}, {"baseline": "native", "evaluations": 2}
    path = study(tmp_path, ["native", "fast"], seeds=2, top=top, trainer=trainer)
    said = fidrace("run", path, "--prove", "--out", tmp_path / "s").stderr
    assert "native seed 0 twice: equal to the last digit at 2 steps" in said
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
    path = study(tmp_path, ["native", "fast"], seeds=2, top=top, trainer=trainer)
    said = fidrace("run", path, "--prove", "--out", tmp_path / "t").stderr
    assert re.search(r"native seed 0 twice: [\d.]+ and [\d.]+ at step 40", said)
    assert "unknown: same code, same chances, adapter inert" in table(tmp_path / "t").query("method == 'fast'")["flags"].iloc[0]

    trainer["methods"] = arguments | {"baseline": "--method fails"}
    path = study(tmp_path, ["native", "fast"], seeds=2, top=top, trainer=trainer)
    said = fidrace("run", path, "--prove", "--out", tmp_path / "u", code=4).stderr
    assert "--prove: baseline seed 0" in said


def test_a_shell_is_used_only_if_the_study_says_so(tmp_path: Path, fidrace) -> None:
    """`$HOME` and `;` are plain words without one."""
    command = f"{RUN} train {{out}} --seed {{seed}} --method {{method}} --steps {{budget}}; touch $HOME_OF_TEST/marked"
    for shell, code in ((False, 4), (True, 0)):
        own = OWN_FID | {"command": command, "shell": shell}
        path = study(tmp_path, ["slow"], seeds=1, top={"evaluations": 1}, trainer=own)
        environment = {"HOME_OF_TEST": str(tmp_path)}
        fidrace("run", path, "--out", tmp_path / f"s{shell}", code=code, environment=environment)
        assert (tmp_path / "marked").exists() == shell


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


def test_a_target_is_set_by_the_rule_from_the_baseline_alone(tmp_path: Path, fidrace, refused) -> None:
    path = study(tmp_path, top={"target": None, "evaluations": 4}, trainer=OWN_FID)
    assert f"race its baseline alone with `fidrace run {path} -m BASELINE" in refused("target", path)
    fidrace("run", path, "-m", "slow", "--seeds", "100,101,102,103,104", "--out", tmp_path / "s")
    fidrace("target", tmp_path / "s")
    manifest = read_manifest(tmp_path / "s/study.json")
    assert manifest.target == pytest.approx(100 * np.exp(-0.6), abs=1.5)
    fidrace("run", path, "--seeds", "1", "--out", tmp_path / "s")
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
        loaded = define_study(study(tmp_path, trainer={"checkpoints": pattern} | more))
        assert loaded.task.trainer.steps_per_unit == steps
    with pytest.raises(InputError, match="contrast"):
        define_study(study(tmp_path, top={"contrasts": ["fast"]}))
