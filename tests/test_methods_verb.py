"""The verb `methods`, and methods from elsewhere: a folder of one's own, an installed package."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from fidrace.execute.run import Run
from fidrace.method.registry import load_method
from fidrace.report.methods import course_of
from fidrace.spec.study import define_study
from fidrace.storage.study_folder import StudyFolder
from fidrace.train.architectures import check_network
from tests.conftest import ENVIRONMENT, FAILING, HALVING, TINY, Fidrace
from tests.test_formulas import REGISTRY
from tests.test_run import ALONE

ROOT = Path(__file__).parents[1]
EVEN_SMALLER: dict[str, object] = {  # one layer of the network each way, and hardly a sample
    "budget.evaluations": 1,
    "network.multipliers": [1],
    "optimizer.batch": 16,
    "quality.samples": 20,
    "quality.heldout_repeats": 1,
    "sampler.steps": 1,
}


def test_methods_are_listed_explained_written_as_csv_and_drawn(fidrace: Fidrace, tmp_path: Path) -> None:
    listed = fidrace("methods").stdout
    assert all(name in listed for name in REGISTRY.methods)
    options = ("--grid", "linear-1000", "--csv", "out.csv", "--plot", "out.png")
    shown = fidrace("methods", "clts+mdlrc", *options).stdout
    assert "lr_scale" in shown
    assert re.search(r"1 +│ +0\.1 +│ +0 ", shown)  # at progress 1 the learning rate is a tenth and beta1 is 0
    columns = pd.read_csv(tmp_path / "out.csv")
    assert columns.columns.tolist() == ["t", "abar", "snr", "p", "w", "progress"]
    assert columns.groupby("progress")["p"].sum().to_dict() == pytest.approx({0.0: 1, 0.5: 1, 1.0: 1})
    assert (columns["w"] == 1).all()
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    fidrace("methods", "clts+mdlrc", *options, "--progress", "0.25")
    assert set(pd.read_csv(tmp_path / "out.csv")["progress"]) == {0.25}


def test_a_method_is_explained_with_the_axes_that_it_is_judged_in(fidrace: Fidrace, tmp_path: Path) -> None:
    assert "judged in: iterations\n" in fidrace("methods", "clts", "--plot", "clts.png").stdout
    assert "judged in: iterations and seconds" in fidrace("methods", "muon", "--plot", "muon.png").stdout
    assert "judged in: iterations; trains on noise that is not N(0, I)" in fidrace("methods", "offset-noise").stdout
    assert "EMA decay" in fidrace("methods", "power-ema+wsd", "--plot", "both.png").stdout
    heights = [int.from_bytes((tmp_path / f"{name}.png").read_bytes()[20:24]) for name in ("clts", "muon", "both")]
    assert heights == [660, 660, 990]  # a third panel for what it sets over training
    lines = course_of(load_method("power-ema+wsd"), "cosine-1000")
    assert {*lines} == {"learning rate / the task's", "EMA decay"}
    assert lines["learning rate / the task's"][[0, 100, 200]] == pytest.approx([1, 1, 0])


def test_what_an_adaptive_method_says_is_shown_after_an_ideal_denoisers_losses(fidrace: Fidrace, tmp_path: Path) -> None:
    shown = fidrace("methods", "uncertainty", "--csv", "out.csv").stdout
    assert "it adapts" in shown
    weights = pd.read_csv(tmp_path / "out.csv").pivot(index="t", columns="progress", values="w")
    assert (weights[0.0] == 1).all()
    assert weights[1.0].mean() == pytest.approx(1)
    assert weights[1.0].iloc[-1] > 10 * weights[1.0].iloc[0]  # near pure noise the loss is least


def test_a_method_is_checked_by_a_race_of_its_own(fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "halving.py").write_text(HALVING)
    (tmp_path / "mine" / "failing.py").write_text(FAILING)
    passed = fidrace("methods", "halving+clts", "--check", "--methods-path", "mine").stdout.splitlines()
    assert [line.split()[0] for line in passed] == ["ok"] * 11 + ["a"]
    assert "times the baseline's" in passed[-1]
    failed = fidrace("methods", "failing", "--check", "--methods-path", "mine", code=1)
    assert "FAILED  the weight is finite and >= 0 at every progress: AssertionError: no more" in failed.stdout
    assert "FAILED  a race of 50 steps, whole and interrupted: AssertionError: no more" in failed.stdout
    assert failed.stderr == "fidrace: method 'failing' fails 5 of 11 checks\n"


def test_a_method_of_an_installed_package_is_found_and_raced(
    fidrace: Fidrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its entry point, also in the worker processes; a package is a folder beside its `.dist-info` on sys.path."""
    (tmp_path / "halves.py").write_text(HALVING)
    info = tmp_path / "halves-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: halves\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fidrace.methods]\nhalving = halves:Halving\n")
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"}
    words = ("run", *TINY, "--set", "budget.evaluations=1", "-m", "halving+clts", "--seeds", "1", "--out", "s")
    fidrace(*words, environment=environment)
    assert pd.read_csv(tmp_path / "s" / "runs.csv").set_index("method").loc["clts+halving", "status"] == "finished"
    monkeypatch.syspath_prepend(tmp_path)
    assert "halving" in fidrace("methods").stdout
    for broken, named in (
        ("halves:Nothing", "AttributeError"),
        ("halves:Floats", "neither a Method"),
        ("os", "neither a Method"),
    ):
        (info / "entry_points.txt").write_text(f"[fidrace.methods]\nhalving = {broken}\n")
        said = fidrace("methods", code=2).stderr
        assert said.startswith(f"fidrace: entry point 'halving' of halves: {broken}")
        assert named in said
        assert said.count("\n") == 1


def test_parameters_are_seen_in_every_table_of_the_terminal(fidrace: Fidrace, tmp_path: Path) -> None:
    """Square brackets are not markup."""
    names = ("-m", "clts[sigma=0.3]", "-m", "clts[sigma=0.2]")
    done = fidrace("run", *TINY, "--set", "budget.evaluations=1", *names, "--seeds", "1", "--out", "s")
    again = fidrace("score", "s", "--contrast", "clts[sigma=0.3]/clts[sigma=0.2]")
    for shown in (done.stdout, again.stdout):
        assert "│ clts[sigma=0.3] │" in shown
        assert "│ clts[sigma=0.2] │" in shown


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("methods", "clts", "--progress", "2"), "--progress"),
        (("methods", "clts", "--nosuch"), "--nosuch"),
        (("methods", "clts", "mdlrc"), "unexpected extra argument"),
        (("run", "--workers", "0"), "--workers"),
        (("mehtods",), "mehtods"),
        (("methods", "--methods-path", ""), "--methods-path is empty"),
        (("methods", "clts", "--csv", "x", "--plot", "x"), "named twice"),
        (("methods", "clts", "--csv", "x.csv", "--check"), "--check writes no file"),
        (("methods", "clts", "--csv", "x.csv", "--plot", "absent/x.png"), "absent/x.png"),
        (("run", "--device", "cpu", "-m", "edm-lognormal[mean=1e300]"), "cannot start"),
        (("run", "--device", "cpu", "-m", "p2[gamma=400,k=0.01]"), "loss_weight is not finite (inf)"),
        (("methods", "edm-lognormal[std=1e-300]"), "timestep_density is not finite"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(
    words: tuple[str, ...], named: str, fidrace: Fidrace, tmp_path: Path
) -> None:
    said = fidrace(*words, code=2)
    assert named in said.stderr
    assert (said.stdout, said.stderr.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("one_thread")
def test_every_method_races(fidrace: Fidrace, tmp_path: Path) -> None:
    """Each run is made here, and the command makes the tables of all of them once; by itself it does so after every run."""
    names, changes = [*REGISTRY.methods, "speed[variant=code]", "clts[sigma=0.3]"], EVEN_SMALLER
    study, folder = define_study("digits", names, "1", 2, changes=changes), StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    folder.declare(study)
    for spec in study.specs():
        Run(spec, folder.path, ALONE, lambda event: None).execute(lambda: False)
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    words += [word for name in names for word in ("-m", name)]
    said = fidrace("run", "--budget", "2", *words, "--seeds", "1", "--device", "cpu", "--out", "s").stderr
    assert f"{len(names)} of {len(names)} runs are done already" in said
    runs = pd.read_csv(tmp_path / "s" / "runs.csv").set_index("method")
    assert (runs["status"] == "finished").all()
    assert set(runs.index) == {*REGISTRY.methods, "speed[variant=code]", "clts[sigma=0.3]"}
    for table in ("evals.csv", "leaderboard.csv"):
        assert set(pd.read_csv(tmp_path / "s" / table)["method"]) == set(runs.index)


@pytest.mark.parametrize("study", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_packaged_studies_are_of_runs_that_can_start(study: Path) -> None:
    made = define_study(str(study))
    check_network(made.task.network, made.task.data.shape, made.task.diffusion.learned_sigma)
    assert len({spec.directory for spec in made.specs()}) == len(made.methods) * len(made.seeds)
    assert {name for pair in made.contrasts for name in pair} <= {*made.methods}


def test_a_packaged_study_can_be_planned(fidrace: Fidrace) -> None:
    """With a network as narrow and shallow as its heads and norms allow, because its steps are timed."""
    small = {"channels": "32", "multipliers": "[1,1,1,1,1]", "res_blocks": "1"}
    narrow = [
        "--set",
        "optimizer.batch=1",
        *(word for key, value in small.items() for word in ("--set", f"network.{key}={value}")),
    ]
    assert "adm128-4heads: " in fidrace("run", ROOT / "studies/adm128-4heads.toml", "--dry-run", *narrow, code=2).stderr


def test_a_method_in_a_folder_of_ones_own_races(fidrace: Fidrace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "halving.py").write_text(HALVING)
    assert "Every weight one half" in fidrace("methods", "halving", "--methods-path", "mine").stdout
    again = ("run", *TINY, "--set", "budget.evaluations=1", "-m", "halving+mdlrc", "--methods-path", "mine", "--seeds", "1")
    fidrace(*again, "--out", "s")
    runs = pd.read_csv(tmp_path / "s" / "runs.csv").set_index("method")
    assert runs.loc["halving+mdlrc", "status"] == "finished"
    (tmp_path / "mine" / "halving.py").write_text(HALVING.replace("0.5", "0.6"))
    assert "has changed since its runs" in fidrace(*again, "--out", "s", code=2).stderr
