"""Runs that stop at their crossing or look only where it needs it: what they measure is what a whole run measures there, and
the verdict is the same."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fidrace.errors import InputError
from fidrace.execute.kept_weights import most_kept
from fidrace.execute.run import Interrupted, Run
from fidrace.score.leaderboard import score_folder
from fidrace.spec.study import RunSpec, define_study
from fidrace.spec.task import load_task
from fidrace.storage.tables import CROSSED, GPU_HOURS, KEPT
from tests.conftest import TINY, Fidrace, Refused
from tests.faults import Study, assert_same, ended_here
from tests.search_simulation import bracket, look, thin_tables
from tests.test_run import ALONE, run

pytestmark = pytest.mark.usefixtures("one_thread")
WAYS: dict[str, dict[str, object]] = {
    "stop": {"budget.stop": "crossed"},
    "search": {"budget.search": True},
    "both": {"budget.stop": "crossed", "budget.search": True},
    "wide": {"budget.search": True, "budget.search_step": 4},
}
SMALL: dict[str, object] = {
    "budget.evaluations": 9,
    "budget.checkpoint_minutes": 0,
    "quality.samples": 40,
    "sampler.steps": 1,
    "optimizer.batch": 4,
    "optimizer.lr": 0.01,
    "optimizer.warmup": 0,
    "quality.heldout_repeats": 1,
    "ema.decay": 0.5,
}
STUDY = (
    *("run", *TINY, "--budget", "40", "--set", "budget.evaluations=8", "--set", "budget.checkpoint_minutes=0"),
    *("--seeds", "1", "-m", "low-momentum", "--target", "110", "--window", "1"),
)
BOTH = ("--set", "budget.search=true", "--set", "budget.stop=crossed")
DIVERGES = '''
from fidrace.method import Method

class Diverging(Method, name="diverging", source="a test", evidence="inferred"):
    """A learning rate that nothing survives, after two thirds of the budget."""

    def optimizer(self, progress: float) -> tuple[float, float | None]:
        return (1.0 if progress < 0.67 else 1e30), None
'''


def spec(
    target: float, method: str = "baseline", methods_path: tuple[str, ...] = (), window: float = 1.0, **changes: object
) -> RunSpec:
    study = define_study("digits", [method], "0,", 45, target, SMALL | changes, methods_path, window)
    return [*study.specs()][-1]


def rows(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / "evals.csv").drop(columns="train_seconds").set_index("iteration")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of a run of which everything is measured."""
    folder, one = tmp_path_factory.mktemp("whole"), spec(1.0)
    run(one, folder)
    return rows(folder / one.directory)


@pytest.fixture(scope="module")
def target(whole: pd.DataFrame) -> float:
    """A distance that the run crosses between two places of which a search measures neither as it reaches it."""
    fd = whole["fd"].to_numpy()
    for value in np.sort(fd)[::-1]:
        found = bracket(np.arange(len(fd)), fd, value + 1e-6)
        if found and 3 <= found[1] <= 6 and value < fd[0]:
            return float(value + 1e-6)
    raise AssertionError("the curve falls at once, or not at all")


@pytest.mark.parametrize(("way", "window"), [*((way, 1.0) for way in WAYS), ("both", 1.01)])
def test_what_is_measured_is_to_the_last_digit_what_a_whole_run_has_there(
    way: str, window: float, whole: pd.DataFrame, target: float, tmp_path: Path
) -> None:
    """Also after interruptions at any place."""
    step = {"stop": 1, "wide": 4}.get(way, 2)
    seen = look(whole["fd"].to_numpy(), (target * window, target / window), step, way in ("stop", "both"))
    one = spec(target, window=window, **WAYS[way])
    work, _ = run(one, tmp_path / "once")
    expected = whole.iloc[seen.places]
    pd.testing.assert_frame_equal(rows(tmp_path / "once" / one.directory), expected, check_exact=True)
    assert len(seen.places) < len(whole) or window > 1
    assert work.row.get("ended_by") == (CROSSED if seen.reached < len(whole) - 1 else None)
    seconds = [row["train_seconds"] for row in work.evaluations]
    assert seconds == sorted({*seconds})  # each row has those of its own iteration
    for stop in (7, 6):
        run(one, tmp_path / "parts", stop_after=stop)
    run(one, tmp_path / "parts")
    once, parts = (tmp_path / side / one.directory for side in ("once", "parts"))
    pd.testing.assert_frame_equal(rows(parts), expected, check_exact=True)
    for name in ("ema.safetensors", "samples.png"):
        assert (once / name).read_bytes() == (parts / name).read_bytes(), name
    assert {path.name for path in once.iterdir()} == {path.name for path in parts.iterdir()}
    assert not [*once.glob(KEPT.format("*"))]


def test_a_search_keeps_few_weights_and_none_at_the_end(target: float, tmp_path: Path) -> None:
    one = spec(target, **WAYS["wide"])
    work, counts = Run(one, tmp_path, ALONE, lambda event: None), [0]

    def count() -> bool:
        counts.append(len([*(tmp_path / one.directory).glob(KEPT.format("*"))]))
        return False

    work.execute(count)
    assert 3 <= max(counts) <= most_kept(4)
    assert not [*(tmp_path / one.directory).glob(KEPT.format("*"))]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-7])])
def test_kept_weights_that_are_gone_or_damaged_are_named(
    damage: Callable[[Path], object], target: float, whole: pd.DataFrame, tmp_path: Path
) -> None:
    crossed = bracket(whole.index.to_numpy(), whole["fd"].to_numpy(), target)
    assert crossed
    one = spec(target, **WAYS["search"])
    work = Run(one, tmp_path, ALONE, lambda event: None)
    asked = crossed[1] - 5 * (crossed[1] % 10 == 0)  # an odd place, which is measured when a later one is below the target
    with pytest.raises(Interrupted):
        work.execute(lambda: work.training.iteration > asked)
    damage(tmp_path / one.directory / KEPT.format(int(asked)))
    with pytest.raises(InputError, match=rf"{KEPT.format(int(asked))}: cannot be read"):
        run(one, tmp_path)


def test_a_run_that_diverges_is_searched_to_its_end(target: float, tmp_path: Path) -> None:
    """Its last two evaluations are looked at: there may have been a crossing that no later one was there to show."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diverging.py").write_text(DIVERGES)
    where = (str(tmp_path / "mine"),)
    tables = []
    for changes in ({}, {"budget.search": True, "budget.search_step": 4}):
        one = spec(target, "diverging", where, **changes)
        assert run(one, tmp_path)[0].row["status"] == "diverged"
        tables.append(rows(tmp_path / one.directory))
        assert not [*(tmp_path / one.directory).glob(KEPT.format("*"))]
    whole, searched = tables
    pd.testing.assert_frame_equal(searched, whole.loc[searched.index], check_exact=True)
    assert len(searched) < len(whole)
    assert {*whole.index[-2:]} <= {*searched.index}
    brackets = [bracket(one.index.to_numpy(), one["fd"].to_numpy(), target) for one in tables]
    assert brackets[0] == brackets[1]


def test_hours_that_end_a_search_leave_its_last_two_evaluations_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last only confirms, as of a whole run."""
    from fidrace.train.loop import Training

    advance = Training.advance

    def slowly(self: Training, iterations: int) -> None:
        advance(self, iterations)
        self.seconds = 3600.0 * self.iteration

    monkeypatch.setattr(Training, "advance", slowly)
    work, _ = run(spec(1.0, **WAYS["wide"], **{"budget.gpu_hours": 27.0}), tmp_path)
    assert [row["iteration"] for row in work.evaluations] == [0, 20, 25, 30]
    assert work.row["ended_by"] == GPU_HOURS
    assert [row["train_seconds"] for row in work.evaluations] == [3600.0 * n for n in (0, 20, 25, 30)]


def test_a_study_that_stops_and_searches_has_the_verdict_of_one_that_does_not(tmp_path: Path, fidrace: Fidrace) -> None:
    """Its tables are those that a whole study would have left, had nobody looked elsewhere. Killed, it ends in the same."""
    fidrace(*STUDY, "--out", "whole")
    said = fidrace(*STUDY, *BOTH, "--out", "both").stderr
    assert "at most 40 iterations each" in said
    assert "at its confirmed crossing, iteration" in said
    assert "evaluations were measured" in said
    thin = thin_tables(tmp_path / "whole", tmp_path / "thin", step=2, stop=True)
    expected, found = (pd.read_csv(folder / "evals.csv").drop(columns="train_seconds") for folder in (thin, tmp_path / "both"))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    ours, theirs = (score_folder(folder).speedups for folder in (tmp_path / "both", thin))
    pd.testing.assert_frame_equal(*(table[table["axis"] == "iterations"] for table in (ours, theirs)), check_exact=True)
    again = fidrace(*STUDY, *BOTH, "--out", "both").stderr
    assert "2 of 2 runs are done already" in again
    assert fidrace("verify", "both", "--seed", "1").stdout.count("measured values are equal to the last digit\n") == 2
    killed = Study([*STUDY, *BOTH, "--out", "killed"], tmp_path)
    killed.until(lambda: killed.trained(8))
    killed.gone()
    ended_here([*STUDY, *BOTH, "--out", "killed"], tmp_path)
    assert_same(tmp_path / "killed", tmp_path / "both")


REFUSED = [
    ("run digits --target baseline-final --set budget.stop=crossed", "budget.stop needs a target that is known in advance"),
    ("run digits --target baseline-final --set budget.search=true", "budget.search needs a target that is known in advance"),
    ("run digits --set budget.stop=never", "budget.stop"),
    ("run digits --set budget.search_step=3", "search_step = 3 takes search = true"),
    ("run digits --set budget.search=true --set budget.search_step=1", "budget.search_step"),
    ("target digits --set budget.stop=crossed", "a target is read off whole runs"),
    ("analyze difficulty --set budget.search=true", "networks are compared at the same iterations"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_written(words: str, said: str, refused: Refused, tmp_path: Path) -> None:
    assert said in refused(*words.split(), *([] if words.startswith("analyze") else ["--out", "s"]))
    assert not [*tmp_path.iterdir()]


def test_too_little_space_for_the_kept_weights_is_said_with_need_and_have(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    for more in ([], ["--dry-run"]):
        said = refused(*STUDY, *BOTH, "--out", "s", *more)
        assert (
            f"{most_kept(2)} files of averaged weights in s: 1 MiB are needed and 0 MiB are free" in said
        )  # 45,041 weights each
        assert not [*tmp_path.iterdir()]


def test_a_packaged_task_keeps_its_target_and_its_fixed_part(tmp_path: Path) -> None:
    """The target was set for what is trained, and that is the same; yet no table mixes the two."""
    task = load_task("digits")
    assert "post hoc" not in define_study("digits", changes={"budget.stop": "crossed", "budget.search": True}).target_how
    hashes = [load_task("digits", changes).fixed_hash() for changes in ({}, *WAYS.values())]
    assert hashes[0] == task.fixed_hash()
    assert len({*hashes}) == len(hashes)
