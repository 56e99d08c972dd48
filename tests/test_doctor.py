"""`fidrace doctor` and dry runs name what is missing and the line that gets it; they download and decode nothing unasked."""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fidrace.cli.main import app
from fidrace.execute.doctor import check_study
from fidrace.spec.study import define_study
from tests.conftest import HALVING, Refused
from tests.photographs import crops


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIDRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def doctor(*words: str, code: int) -> str:
    result = CliRunner().invoke(app, ["doctor", *words])
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_task_that_lacks_nothing_passes() -> None:
    said = doctor("digits", code=0)
    assert "✗" not in said
    assert "torch" in said


def test_what_a_task_lacks_is_named_with_the_line_that_gets_it(empty_cache: Path) -> None:
    lines = {line.split()[2]: line for line in doctor("cifar10", code=2).splitlines() if line.startswith("✗")}
    assert set(lines) == {"data", "weights"}
    assert all("fidrace doctor cifar10 --fetch" in line for line in lines.values())
    assert not empty_cache.exists()


def test_without_a_task_every_task_is_checked_and_nothing_is_demanded() -> None:
    said = doctor(code=0)
    assert "✓ digits data" in said
    assert "image-net.org" in said


def test_what_is_named_by_path_is_found_or_refused_by_its_content(tmp_path: Path) -> None:
    crops(tmp_path / "crops", 44, 32, seed=0)
    weights = tmp_path / "other.pth"
    weights.write_bytes(b"doctor compares content and builds no network of it")
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    where = ["--set", f"data.root={tmp_path / 'crops'}"]
    said = doctor("folder", *where, code=0)
    assert "44 images in 2 folders" in said
    assert "data.images = 5" in doctor("folder", *where, "--set", "data.images=5", code=2)
    changes = ("quality.features=inception", "quality.metric=fid", f"quality.weights={weights}")
    inception = [*where, *(word for change in changes for word in ("--set", change))]
    assert "SHA-256" in doctor("folder", *inception, "--set", f"quality.features_sha256={'0' * 64}", code=2)
    assert "✗" not in doctor("folder", *inception, "--set", f"quality.features_sha256={sha256}", code=0)


def test_nobody_can_fetch_a_folder(refused: Refused) -> None:
    assert "data.root=DIR" in doctor("folder", "--fetch", code=2)
    assert "need a TASK" in refused("doctor", "--fetch")
    assert "did you mean 'cifar10'" in refused("doctor", "cifar")


def test_a_dry_run_costs_a_study_whose_data_are_not_here_and_says_that_it_cannot_start(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("network.channels=32", "network.multipliers=[1,2]", "network.res_blocks=1", "sampler.batch=4", "optimizer.batch=4")
    words = [word for change in small for word in ("--set", change)]
    result = CliRunner().invoke(app, ["run", "cifar10", "--seeds", "2", *words, "--dry-run", "--device", "cpu"])
    assert result.exit_code == 2
    for part in ("--fetch", "5 methods x 2 seeds", "parameters", "GFLOP a step of 4 images", "MiB", "s a step", "10 runs"):
        assert part in result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines if line.startswith("missing")] == ["missing data", "missing weights"]
    assert all("fidrace doctor cifar10 --fetch" in line for line in lines if line.startswith("missing"))
    assert lines[-1] == "fidrace: cifar10 cannot start yet; missing: data, weights"
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_a_method_that_cannot_start_is_found_by_a_dry_run_though_data_are_not_here_either(tmp_path: Path) -> None:
    body = "assert self.schedule.T < 100, 'too many timesteps'\n        return 0"
    (tmp_path / "choosy.py").write_text(HALVING.replace("alving", "alf").replace("return 0", body))
    study = define_study("cifar10", ["half"], "1", methods_path=[str(tmp_path)])
    missing = {finding.what: finding.text for finding in check_study(study) if not finding.present}
    assert missing.keys() == {"data", "weights", "methods"}
    assert missing["methods"] == "method 'half' cannot start: AssertionError: too many timesteps"


def test_a_run_without_its_data_is_refused_in_a_line(refused: Refused) -> None:
    assert "fidrace doctor cifar10 --fetch" in refused("run", "cifar10")
    assert "data.root=DIR" in refused("run", "folder")
