"""A search measures a part of the grid and says what the whole grid would say; what a later look may need is kept."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fidrace.score.crossings import find_crossing
from fidrace.score.curves import Curve
from fidrace.score.search import Search
from tests.search_simulation import PUBLISHED, bracket, bumpy_worlds, look, published_runs, simulated_runs

DISTANCES = st.one_of(st.sampled_from([9.0, 10.0, 11.0, 10.5, 9.5, float("nan"), float("inf")]), st.floats(5, 15))
CURVES = st.lists(DISTANCES, min_size=3, max_size=30).map(lambda fd: np.array([20.0, *fd]))
STEPS = st.integers(2, 9)


def curve(n: np.ndarray, fd: np.ndarray, places: list[int]) -> Curve:
    """A finished run of which these evaluations were measured."""
    columns = dict.fromkeys(("iteration", "images", "train_seconds", "forwards"), n[places])
    return Curve("t", "m", 0, "finished", columns, fd[places], np.ones(len(places)))


@given(CURVES, st.booleans())
def test_every_second_evaluation_misses_no_sustained_crossing_whatever_the_curve(fd: np.ndarray, stop: bool) -> None:
    """Not only its bracket but all that scoring reads off it: where it comes from, the share of the way, whether it lasts."""
    n = np.arange(len(fd)) * 10.0
    places = look(fd, (10, 10), 2, stop).places
    assert bracket(n[places], fd[places], 10) == bracket(n, fd, 10)
    whole, searched = (find_crossing(curve(n, fd, which), 10, n[-2]) for which in (list(range(len(fd))), places))
    assert (whole is None) == (searched is None)
    if whole and searched:
        ends = [(n[which][one.before], n[which][one.at]) for one, which in ((whole, np.arange(len(fd))), (searched, places))]
        assert ends[0] == ends[1]
        assert (whole.share, whole.confirmed) == (searched.share, searched.confirmed)
        assert stop or whole.relapsed == searched.relapsed


@given(CURVES, st.sampled_from([9.5, 10.0, 10.25, 10.5]), st.booleans())
def test_between_two_edges_every_target_is_answered(fd: np.ndarray, target: float, stop: bool) -> None:
    n = np.arange(len(fd)) * 10.0
    places = look(fd, (10.5, 9.5), 2, stop).places
    assert bracket(n[places], fd[places], target) == bracket(n, fd, target)


@given(st.lists(st.floats(0.01, 3), min_size=3, max_size=40), STEPS, st.booleans())
def test_on_a_curve_that_only_falls_any_step_gives_the_grids_own_bracket(falls: list[float], step: int, stop: bool) -> None:
    fd = 20 - np.cumsum([0, *falls])
    n = np.arange(len(fd)) * 10.0
    for edges in ((10.0, 10.0), (12.0, 8.0)):
        places = look(fd, edges, step, stop).places
        for target in (*edges, 10.0):
            assert bracket(n[places], fd[places], target) == bracket(n, fd, target)


@given(CURVES, STEPS, st.booleans())
@example(np.array([20.0, 9, 10, 10, 9, 10, 11, 9, 9]), 7, False)  # the higher edge is crossed while the lower one waits
def test_weights_that_are_asked_for_were_kept_and_few_are(fd: np.ndarray, step: int, stop: bool) -> None:
    for edges in ((10.0, 10.0), (10.5, 9.5)):
        seen = look(fd, edges, step, stop)
        assert seen.all_kept
        assert seen.most_kept <= step + 1


@given(CURVES)
def test_a_run_stops_at_the_evaluation_that_confirms_searched_or_not(fd: np.ndarray) -> None:
    whole = bracket(np.arange(len(fd)), fd, 10)
    for step in (1, 2):
        assert look(fd, (10, 10), step, stop=True).reached == (len(fd) - 1 if whole is None else whole[1] + 1)


@given(CURVES, STEPS)
def test_only_what_a_run_can_have_measured_is_allowed_of_a_checkpoint(fd: np.ndarray, step: int) -> None:
    search, known = Search((10, 10), step, len(fd) - 1), dict[int, float]()
    for place in range(len(fd)):
        while (asked := search.next_place(known, place)) is not None:
            assert search.allows(known, place, at_work=True)
            known[asked] = float(fd[asked])
        assert search.allows(known, place, at_work=False)
        for lost in known:
            rest = {one: value for one, value in known.items() if one != lost}
            assert not search.allows(rest, place, at_work=False)
        for other in {*range(place + 1)} - {*known, place - 2, place - 1, place}:  # those would be due if the run ended here
            assert not search.allows(known | {other: 20.0}, place, at_work=False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_of_published_runs_all_have_the_bracket_of_the_whole_grid(name: str) -> None:
    runs, target = published_runs(name)
    for step in (2, 4):
        measured = 0
        for run in runs:
            places = look(run.fd, (target, target), step).places
            measured += len(places)
            assert bracket(run.iteration[places], run.fd[places], target) == bracket(run.iteration, run.fd, target)
        assert measured / len(runs) < (9 if step == 2 else 8)  # of 12


def test_a_wider_step_misses_dips_in_some_bumpy_runs_and_never_sees_one_that_is_not_there() -> None:
    """So it is seen to cross later, never earlier."""
    missed = runs = 0
    for _, world in bumpy_worlds():
        n, distances = simulated_runs(world, 10)
        for fd in distances:
            places = look(fd, (world.target, world.target), 4).places
            found, whole = bracket(n[places], fd[places], world.target), bracket(n, fd, world.target)
            runs += 1
            missed += found != whole
            assert found is None or (whole is not None and found[1] >= whole[1])
    assert 0 < missed < 0.1 * runs


def test_every_distance_that_is_no_number_is_looked_into() -> None:
    """The bracket reaches back to the last finite one."""
    fd = np.array([20, 19, float("nan"), float("nan"), 9, 8, 7, 6])
    places = look(fd, (10, 10), 4).places
    assert {1, 2, 3, 4, 5} <= {*places}
    assert all(a < b for a, b in pairwise(places))
