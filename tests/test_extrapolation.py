"""The distance at infinitely many samples, against Gaussians whose distance is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fidrace.errors import InputError
from fidrace.evaluate.extrapolation import extrapolated_with_error
from fidrace.evaluate.frechet import Reference, frechet_distance
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from tests.conftest import Refused
from tests.test_run import run

STUDIES, NAN = 150, float("nan")
SMALL: dict[str, object] = {
    "budget.evaluations": 1,
    "quality.samples": 512,
    "quality.final_samples": 600,
    "sampler.steps": 1,
    "optimizer.batch": 4,
    "optimizer.warmup": 0,
    "ema.decay": 0.5,
    "quality.heldout_repeats": 1,
}


class World:
    """Samples of one Gaussian in D dimensions, and another as the reference, further apart by `gap`."""

    def __init__(self, dimension: int, gap: float):
        rng = np.random.default_rng(dimension)
        first, second = rng.normal(size=(2, dimension, dimension)) / dimension**0.5
        self.rng, self.factor, self.shift = rng, first + gap * second, gap * rng.normal(size=dimension)
        covariance = torch.from_numpy(first @ first.T)
        self.reference = Reference.from_moments(torch.zeros(dimension, dtype=torch.float64), covariance)
        self.truth = frechet_distance(
            self.reference, torch.from_numpy(self.shift), torch.from_numpy(self.factor @ self.factor.T)
        )

    def measure(self, samples: int, studies: int = STUDIES) -> NDArray[np.float64]:
        """Extrapolated distance, error and plain distance [studies, 3]."""
        draws = (self.shift + self.rng.normal(size=(samples, len(self.shift))) @ self.factor.T for _ in range(studies))
        return np.array([extrapolated_with_error(self.reference, torch.from_numpy(features)) for features in draws])


@pytest.mark.parametrize(("dimension", "gap", "samples"), [(16, 0.3, 128), (16, 0.1, 512), (32, 0.1, 1000)])
def test_it_has_no_bias_where_the_plain_distance_does_and_its_error_covers(dimension: int, gap: float, samples: int) -> None:
    world = World(dimension, gap)
    found, error, plain = world.measure(samples).T
    standard_error = found.std(ddof=1) / STUDIES**0.5
    assert plain.mean() > 1.05 * world.truth
    assert abs(found.mean() - world.truth) < 0.02 * world.truth + 2 * standard_error
    covered = np.mean(np.abs(found - world.truth) < 1.96 * error)
    assert 0.90 <= covered <= 0.99  # 95 % within three standard errors of 150 studies
    assert found.std(ddof=1) == pytest.approx(error.mean(), rel=0.2)


def test_features_that_are_not_finite_have_no_distance() -> None:
    features = torch.full((64, 2), NAN)
    assert np.isnan(extrapolated_with_error(World(2, 0.1).reference, features)).all()


@pytest.mark.usefixtures("one_thread")
def test_a_run_has_both_distances_in_its_table(tmp_path: Path) -> None:
    """The plain one is to the last digit what a run that does not extrapolate has as its only one."""
    named = {"quality.extrapolate": True, "quality.metric": "fd_digits_inf"}
    plain, extrapolated = (
        run(next(define_study("digits", ["baseline"], "1", 4, changes=SMALL | more).specs()), tmp_path / str(len(more)))[0]
        for more in ({}, named)
    )
    columns = [[row[name] for row in plain.evaluations] for name in ("fd", "fd_se")]
    assert [[row[name] for row in extrapolated.evaluations] for name in ("fd_plain", "fd_se")] == columns
    assert all(row["fd"] < row["fd_plain"] for row in extrapolated.evaluations)
    assert extrapolated.row["final_fd"] < extrapolated.row["final_fd_plain"] == plain.row["final_fd"]


REFUSED = [
    (("quality.extrapolate=true",), "and no other one, ends in _inf: call this fd_digits_inf"),
    (("quality.metric=fd_digits_inf",), "and no other one, ends in _inf: call this fd_digits"),
    (
        ("quality.extrapolate=true", "quality.metric=fd_digits_inf"),
        "quality.samples = 500 is too few to extrapolate the distance: 8 times the 64 dimensions of the features are 512",
    ),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_cannot_be_extrapolated_is_refused(changes: tuple[str, ...], said: str, refused: Refused) -> None:
    assert said in refused("run", "digits", *(word for change in changes for word in ("--set", change)))


def test_inceptions_extrapolated_distance_has_its_own_name() -> None:
    changes = {"quality.extrapolate": True, "quality.metric": "fid_inf"}
    assert load_task("cifar10", changes).quality.metric == "fid_inf"
    with pytest.raises(InputError, match="extrapolate = true are called 'fid_inf', not 'fid'"):
        load_task("cifar10", {"quality.extrapolate": True})
