"""A run that is cut off goes on from its last whole state, and nobody can tell from what it leaves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.run import Interrupted, Run
from fidrace.spec.study import RunSpec
from fidrace.storage import checked_tensors as sealed
from fidrace.storage.tables import FRAME
from fidrace.train.checkpoint import checkpoints
from tests.test_run import ALONE, run, spec, without_times

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, object] = {"optimizer.batch": 4, "quality.samples": 40, "sampler.steps": 1, "network.res_blocks": 1}


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def altered(path: Path) -> None:
    """A whole safetensors file of the same facts, with another weight in it."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    next(tensor for name, tensor in tensors.items() if name.startswith("network/")).add_(1)
    save_file(tensors, path, metadata=header)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def huge_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    return spec("adaptive+mdlrc", tmp_path_factory.mktemp("spec"), **SMALL, **{"budget.checkpoint_minutes": 0})


@pytest.fixture(scope="module")
def whole(one: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("whole")
    run(one, root)
    return root / one.directory


@pytest.fixture(scope="module")
def stopped(one: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("stopped")
    run(one, root, stop_after=29)
    return root


@pytest.fixture
def root(stopped: Path, tmp_path: Path) -> Path:
    """A folder of the run, stopped after 34 iterations; its checkpoints are of 24 and 34."""
    return shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)


def assert_same(mine: Path, theirs: Path) -> None:
    assert without_times(mine).equals(without_times(theirs))
    pictures = ["samples.png", *(FRAME.format(n) for n in pd.read_csv(theirs / "evals.csv")["iteration"])]
    for name in ("ema.safetensors", *pictures):
        assert (mine / name).read_bytes() == (theirs / name).read_bytes(), name
    assert {path.name for path in mine.iterdir()} == {"ema.safetensors", "evals.csv", "run.json", *pictures}


@pytest.mark.parametrize("damage", [truncated, flipped, altered, emptied, huge_header])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(
    damage: Callable[[Path], None], one: RunSpec, whole: Path, root: Path
) -> None:
    older, newer = checkpoints(root / one.directory)
    damage(newer)
    _, events = run(one, root)
    (note,) = (event.facts["text"] for event in events if event.kind == "note")
    assert newer.name in note
    assert "damaged" in note
    begun = next(event for event in events if event.kind == "run_started")
    assert begun.iteration == int(older.stem.partition("-")[2]) > 0
    assert_same(root / one.directory, whole)


def test_where_all_checkpoints_are_damaged_the_run_begins_anew_and_says_so(one: RunSpec, whole: Path, root: Path) -> None:
    for path in checkpoints(root / one.directory):
        truncated(path)
    notes, rows = [], []

    def report(event: Event) -> None:
        if event.kind == "note":
            notes.append(event.facts["text"].endswith("resuming from the start"))
        if event.kind == "run_started":
            rows.append(len(without_times(root / one.directory)))

    Run(one, root, ALONE, report).execute(lambda: False)
    assert notes == [False, True]
    assert rows == [0]  # the table says what the run has, not what it had
    assert_same(root / one.directory, whole)


def test_a_damaged_checkpoint_gives_way_to_the_next_one(one: RunSpec, root: Path) -> None:
    _, newer = checkpoints(root / one.directory)
    truncated(newer)
    run(one, root, stop_after=1)
    left = checkpoints(root / one.directory)
    assert newer in left  # written anew
    for path in left:
        sealed.read(path)


def test_two_checkpoints_are_kept_and_they_come_between_evaluations_too(one: RunSpec, tmp_path: Path) -> None:
    seen: dict[int, list[int]] = {}

    def report(event: Event) -> None:
        seen[event.iteration] = [int(path.stem.partition("-")[2]) for path in checkpoints(tmp_path / one.directory)]

    Run(one, tmp_path, ALONE, report).execute(lambda: False)
    assert seen[34] == [22, 24]  # evaluations at 12, 24, 36, 48; looks at the losses ten later
    assert seen[46] == [34, 36]
    assert max(map(len, seen.values())) == 2


def test_by_default_the_minutes_pass_between_checkpoints(tmp_path: Path) -> None:
    one = spec("baseline", tmp_path, **SMALL)
    assert one.task.budget.checkpoint_minutes == 10
    run(one, tmp_path, stop_after=20)
    assert [path.name for path in checkpoints(tmp_path / one.directory)] == [
        "checkpoint-000000012.safetensors",
        "checkpoint-000000022.safetensors",  # on being asked to stop
    ]


def test_how_often_a_state_is_saved_is_no_part_of_what_is_held_fixed(tmp_path: Path) -> None:
    often, seldom = (spec("baseline", tmp_path, **{"budget.checkpoint_minutes": minutes}) for minutes in (0, 1e9))
    assert often.directory == seldom.directory


def test_an_evaluation_can_be_interrupted_too(tmp_path: Path) -> None:
    """At the budget, in the curve's samples (five chunks) and in the final ones (three), which find the curve's measured."""
    one = spec("baseline", tmp_path, **SMALL, **{"sampler.batch": 8, "quality.final_samples": 24})
    run(one, tmp_path / "whole")
    for chunk, evaluated in ((2, [0, 12, 24]), (7, [0, 12, 24, 36])):
        work = Run(one, tmp_path / "parts", ALONE, lambda event: None)
        asked: list[int] = []

        def now(work: Run = work, asked: list[int] = asked, chunk: int = chunk) -> bool:
            asked += [1] * (work.training.iteration == 36)
            return len(asked) == chunk

        with pytest.raises(Interrupted):
            work.execute(now)
        assert [row["iteration"] for row in work.evaluations] == evaluated
        assert work.checkpoints.latest(print)[1]["iteration"] == 36
    run(one, tmp_path / "parts")
    assert_same(tmp_path / "parts" / one.directory, tmp_path / "whole" / one.directory)


def test_what_a_killed_process_left_half_written_is_swept_away(one: RunSpec, whole: Path, root: Path) -> None:
    for name in (".checkpoint-000000030.safetensors.x8_2.tmp", ".run.json.abcd.tmp"):
        (root / one.directory / name).write_bytes(b"half")
    run(one, root)
    assert_same(root / one.directory, whole)


@pytest.mark.parametrize(
    ("field", "value", "named"), [("format", 1, "format 1"), ("run", "runs/x", "belongs to the run runs/x")]
)
def test_a_checkpoint_of_another_fidrace_or_run_is_refused_and_kept(
    field: str, value: object, named: str, one: RunSpec, root: Path
) -> None:
    newest = checkpoints(root / one.directory)[-1]
    tensors, facts = sealed.read(newest)
    sealed.write(newest, tensors, {**facts, field: value})
    with pytest.raises(InputError, match=named):
        run(one, root)
    assert newest.exists()


ABSURD = [
    {"iteration": "all"},
    {"iteration": 10**9},
    {"iteration": -1},
    {"iteration": 24},  # under the weights of 34
    {"evaluations": "abc"},
    {"evaluations": [1]},
    {"evaluations": [{}]},
    {"evaluations": [{"iteration": goal} for goal in (0, 12, 24, 36, 48)]},
    {"eval_seconds": "x"},
]


def test_a_checkpoint_that_does_not_fit_the_run_is_refused_by_name(one: RunSpec, root: Path) -> None:
    newest = checkpoints(root / one.directory)[-1]
    tensors, facts = sealed.read(newest)
    without_moments = {name: value for name, value in tensors.items() if "exp_avg" not in name}
    hostile = [{"network/x": torch.zeros(3)}, {**tensors, "network/out.bias": torch.zeros(1 << 20)}, {}, without_moments]
    for content in [(other, facts) for other in hostile] + [(tensors, facts | absurd) for absurd in ABSURD]:
        sealed.write(newest, *content)
        with pytest.raises(InputError, match="does not fit"):
            run(one, root)


def test_a_checkpoint_that_cannot_be_read_is_passed_over(one: RunSpec, whole: Path, root: Path) -> None:
    _, newer = checkpoints(root / one.directory)
    newer.unlink()
    newer.symlink_to(newer)  # in a circle
    _, events = run(one, root)
    assert next(event for event in events if event.kind == "run_started").iteration > 0
    assert_same(root / one.directory, whole)


def test_floats_in_a_sealed_file_come_back_exactly(tmp_path: Path) -> None:
    facts = {"x": [0.1, float(np.nextafter(1, 2)), float("inf"), 1e-320]}
    tensors = {
        "a": torch.tensor(1.5),
        "b": torch.empty(0, 3),
        "c": torch.tensor([True]),
        "d": torch.ones(2, dtype=torch.bfloat16),
    }
    sealed.write(tmp_path / "x", tensors, facts)
    read, found = sealed.read(tmp_path / "x")
    assert found == facts
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
