"""Runs on a Ray cluster of two nodes: the same tables as on this machine alone, though a node is lost on the way."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from fidrace.execute.provenance import packages
from fidrace.execute.ray.task import Order, find_mismatch
from fidrace.spec.study import define_study
from tests.conftest import ENVIRONMENT, FAILING, HALVING, TINY, Refused
from tests.faults import SMALL, Study, assert_same, ended_here, rows

pytestmark = pytest.mark.usefixtures("nothing_left")
NODE = dict(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    before = os.environ.copy()
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0", PYTHONPATH=ENVIRONMENT["PYTHONPATH"])
    both = Cluster(initialize_head=True, head_node_args=NODE)
    yield both
    both.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """A second node."""
    node = cluster.add_node(**{name: value for name, value in NODE.items() if name != "include_dashboard"})
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def on(cluster: Any, *words: str | Path) -> list[str]:
    return [*map(str, words), "--executor", "ray", "--address", cluster.address, "--workers", "2"]


def at_work_on(node: Any, folder: Path) -> bool:
    """Whether a run on this node has a checkpoint and is far from its end."""
    (raylet,) = node.all_processes["raylet"]
    parents = [Path(f"/proc/{row['pid']}/stat").read_text().split()[3] for row in rows(folder) if 10 <= row["iterations"] < 60]
    return str(raylet.process.pid) in parents


def test_a_node_that_is_lost_costs_no_run_and_changes_no_table(cluster: Any, second: Any, tmp_path: Path) -> None:
    """A run on each node; the one whose node is lost waits for the other's end."""
    words = [*SMALL, "--budget", "90", "--seeds", "1"]
    ended_here([*words, "--out", "local"], tmp_path)
    study = Study(on(cluster, *words, "--out", "s"), tmp_path)
    study.until(lambda: at_work_on(second, tmp_path / "s"))
    cluster.remove_node(second, allow_graceful=False)
    study.ended(0)
    assert "ray: nodes 2, CPUs 2, GPUs 0; each run takes CPUs 1, GPUs 0" in study.err.read_text()
    assert study.err.read_text().count("its node is gone") == 1
    (again,) = [start for start in study.starts() if start[2] > 0]  # one run was taken up from its checkpoint
    assert again[2] >= 10
    assert len(study.starts()) == 3
    assert_same(tmp_path / "s", tmp_path / "local")


def test_what_goes_wrong_in_a_task_is_what_goes_wrong_in_a_worker(cluster: Any, second: Any, tmp_path: Path) -> None:
    """A failing method, a killed process, and SIGTERM to the command, in one study."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "failing.py").write_text(FAILING)
    killed = HALVING.replace("Halving", "Killed").replace("halving", "killed")
    body = "__import__('os').kill(__import__('os').getpid(), 9) if progress > 0.5 else 0 * self.schedule.abar + 1"
    (tmp_path / "mine" / "killed.py").write_text(killed.replace("0 * self.schedule.abar + 0.5", body))
    words = ["run", *TINY, "--seeds", "1", "--out", "s", "--methods-path", "mine", "-m", "failing", "-m", "killed", "-m", "p2"]
    words += ["--budget", "400", "--set", "budget.checkpoint_minutes=99"]
    study = Study(on(cluster, *words), tmp_path)
    wanted = {"baseline": "finished", "failing": "failed", "killed": "failed", "p2": "running"}
    study.until(lambda: {row["method"]: row["status"] for row in rows(tmp_path / "s")} == wanted and study.trained(1))
    study.send(signal.SIGTERM)
    study.ended(130)
    found = {row["method"]: row for row in rows(tmp_path / "s")}
    assert found["failing"]["error"].startswith("AssertionError: no more")
    assert found["killed"]["error"].startswith("WorkerCrashedError: The worker died unexpectedly")
    assert list((tmp_path / "s" / found["p2"]["directory"]).glob("checkpoint-*"))


def test_a_signal_ends_a_command_whose_runs_wait_for_room_that_never_comes(cluster: Any, tmp_path: Path) -> None:
    words = [word for word in SMALL if word not in ("--device", "cpu")]
    study = Study(on(cluster, *words, "--out", "s", "--gpus", "1"), tmp_path)
    study.until(lambda: "no node has that yet" in study.err.read_text())
    study.send(signal.SIGTERM)
    study.ended(130, seconds=30)


def test_runs_whose_command_is_gone_save_their_state(cluster: Any, tmp_path: Path) -> None:
    study = Study(on(cluster, *SMALL, "--budget", "600", "--out", "s"), tmp_path)
    study.until(lambda: study.trained(1))
    (mailbox,) = (path for path in Path("/proc").glob("[0-9]*") if (path / "cmdline").read_bytes().startswith(b"ray::Mailbox"))
    os.kill(int(mailbox.name), signal.SIGKILL)
    study.ended(2)
    assert "the Ray cluster is lost" in study.err.read_text().splitlines()[-1]
    assert {row["status"] for row in rows(tmp_path / "s")} == {"running"}
    assert list(tmp_path.glob("s/runs/*/*/*/checkpoint-*"))


def test_a_node_that_does_not_see_the_folder_or_has_other_packages_does_no_run(tmp_path: Path) -> None:
    spec = next(define_study("digits", ["baseline"], "1").specs())
    order = Order(spec, 0.0, tmp_path, "cpu", packages())
    assert "must lie on storage that all nodes share" in find_mismatch(order)
    (tmp_path / "study.json").write_text("{}")
    assert find_mismatch(order) == ""
    other = replace(order, packages=packages() | {"torch": "2.11.0"})
    assert f"has torch {packages()['torch']}, this command 2.11.0" in find_mismatch(other)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("127.0.0.1:9", "no Ray cluster answers there"),
        ("127.0.0.1:99999", "no Ray cluster answers there"),
        ("ray://127.0.0.1:9", "write HOST:PORT"),
        ("somewhere", "write HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line_and_nothing_is_written(
    address: str, named: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named in refused("run", "--executor", "ray", "--address", address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert named in refused("run", "--executor", "ray")
    assert not list(tmp_path.iterdir())


def test_a_cluster_that_ray_remembers_and_that_is_gone_is_one_line(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9\n")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "names 127.0.0.1:9 (`ray stop` removes it): no Ray cluster answers" in refused("run", "--executor", "ray")


def test_without_ray_the_command_says_how_to_get_it(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'fidrace[ray]'" in refused("run", "--executor", "ray")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--executor", "rey"), "did you mean 'ray'"),
        (("--address", "x:1"), "--address is for --executor ray"),
        (("--gpus", "1"), "--gpus is for --executor ray"),
        (("--executor", "ray", "--gpus", "1", "--device", "cpu"), "leave one out"),
        *((("--executor", "ray", "--gpus", share), "whole number") for share in ("1.5", "inf")),
    ],
)
def test_wrong_words_about_executors_are_one_line(words: tuple[str, ...], named: str, refused: Refused) -> None:
    assert named in refused("run", *words)
