"""Failure signatures: found where they are planted, and not by chance."""

import numpy as np
import pandas as pd
import pytest

from fidrace.method.base import Floats
from fidrace.packaged import published_tables
from fidrace.score.leaderboard import score_folder
from fidrace.score.signatures import COLUMNS, OSCILLATING, SLOW, STANDSTILL, UNSTABLE, signatures
from fidrace.spec.measurement import SignatureConfig
from fidrace.spec.task import load_task, task_names
from tests.conftest import Refused
from tests.published import DIGITS

LIMITS, BUDGET, ERROR, TARGET = SignatureConfig(), 1000, 0.05, 10.0
N = np.arange(0, 1101, 100.0)
FALLING = 100 * np.exp(-N / 250)  # 10 at 576
PLANTED = {
    OSCILLATING: [*FALLING[:6].tolist(), 6, 9, 6, 9, 6, 5.5],
    UNSTABLE: [*FALLING[:8].tolist(), 6.5, 7.5, 8, 9],
    SLOW: (100 * np.exp(-N / 450)).tolist(),
    STANDSTILL: [*FALLING[:5].tolist(), 15, 14.9, 15.1, 15, 14.9, 15.1, 15],
}


def shown(fd: Floats | list[float], target: float | None = TARGET, error: float = ERROR, **more: list[float]) -> list[str]:
    fd = np.array(fd, float)
    columns = {"iteration": N[: len(fd)], "fd": fd, "fd_se": error * fd}
    return signatures(columns | {name: np.array(values, float) for name, values in more.items()}, target, BUDGET, LIMITS)


@pytest.mark.parametrize(("name", "fd"), PLANTED.items())
def test_each_signature_is_found_where_it_is_planted(name: str, fd: list[float]) -> None:
    others = [SLOW] if name == STANDSTILL else []  # what stands still above the target is slow, too
    assert shown(fd) == [*others, name]


def test_a_curve_that_falls_shows_nothing_and_without_a_target_nothing_is_slow() -> None:
    assert shown(FALLING) == []
    assert shown(PLANTED[SLOW], target=None) == []
    assert shown(PLANTED[UNSTABLE], error=np.nan) == []  # evaluations without an error
    assert shown(FALLING[:4]) == []  # a run at work is not slow yet


def test_one_swing_is_no_oscillation_and_one_rise_at_the_end_no_instability() -> None:
    assert shown([*FALLING[:6].tolist(), 6, 9, 6, 5.5, 5.4, 5.3]) == []
    assert shown([*FALLING[:11].tolist(), 9]) == []


@pytest.mark.parametrize("column", ["val_loss", "grad_norm"])
def test_a_rise_of_little_more_than_the_error_counts_if_loss_or_gradient_rise_too(column: str) -> None:
    risen = [*FALLING[:10].tolist(), 1.1 * FALLING[9], 1.1 * FALLING[9]]
    level = (1.0 + 0.1 * np.exp(-N / 250)).tolist()
    assert shown(risen) == shown(risen, **{column: level}) == []
    level[-2:] = 1.4, 1.4
    assert shown(risen, **{column: level}) == [UNSTABLE]
    assert shown(FALLING, **{column: level}) == []  # an overfitted run, or a noisy one, whose samples do not suffer


def test_chance_shows_next_to_nothing() -> None:
    """Curves that fall and then stand still below the target, with independent errors, which real evaluations share in part."""
    rng = np.random.default_rng(0)
    curves = np.maximum(FALLING, 5) * np.exp(ERROR * rng.normal(size=(2000, len(N))))
    found = [shown(fd) for fd in curves]
    assert sum(OSCILLATING in names for names in found) <= 0.005 * len(curves)
    assert sum(UNSTABLE in names for names in found) <= 0.005 * len(curves)
    assert sum(SLOW in names or STANDSTILL in names for names in found) == 0


@pytest.mark.parametrize("name", published_tables())
def test_published_baselines_show_none(name: str) -> None:
    named = name.removesuffix("-target")
    task = load_task(named if named in task_names() else "digits")
    assert isinstance(task.target.fd, float)
    table = pd.read_csv(DIGITS.parent / name / "evals.csv").query("method == 'baseline'")
    for _, run in table.groupby("seed"):
        columns = {column: run[column].to_numpy(float) for column in COLUMNS if column in run}
        assert signatures(columns, task.target.fd, task.budget.iterations, LIMITS) == []


def test_they_are_notes_of_the_table() -> None:
    scores = score_folder("digits-field")
    notes = scores.speedups.query("axis == 'iterations'").set_index("method")["flags"]
    assert "9 slow" in notes["edm-lognormal"]


def test_momentum_that_decays_without_compensation_is_unstable_late() -> None:
    notes = score_folder("digits-late").speedups.query("axis == 'iterations'").set_index("method")["flags"]
    assert [method for method, told in notes.items() if UNSTABLE in told] == ["demon"]


@pytest.mark.parametrize(
    ("change", "said"),
    [("errors=0", "signatures.errors"), ("share=1.5", "signatures.share"), ("swings=0", "signatures.swings")],
)
def test_limits_out_of_range_are_refused(change: str, said: str, refused: Refused) -> None:
    assert said in refused("run", "digits", "--set", f"signatures.{change}")
