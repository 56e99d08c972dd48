"""The score of agreement against closed forms, and its interval in a simulation."""

import numpy as np
import pytest
import torch

from fidrace.analyses.consistency.agreement import (
    derangement,
    draw_resamples,
    measure_agreement,
    pairwise_distances,
    percentile_interval,
)


def noisy_copies(sigma: float, count: int, dimension: int, chance: np.random.Generator) -> np.ndarray:
    """distance[N, N] between z + sigma n and z + sigma n', all standard normal. Both kinds of distance are those of normal
    vectors, of variances 2 sigma^2 and 2 + 2 sigma^2 a number: the score is exactly sigma / sqrt(1 + sigma^2)."""
    z, n, other = chance.standard_normal((3, count, dimension))
    return pairwise_distances(torch.from_numpy(z + sigma * n), torch.from_numpy(z + sigma * other))


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 100.0])
def test_the_score_of_noisy_copies_is_the_closed_form(sigma: float) -> None:
    chance = np.random.default_rng(0)
    found = [measure_agreement(noisy_copies(sigma, 200, 30, chance), np.ones((1, 200))) for _ in range(5)]
    expected = sigma / (1 + sigma**2) ** 0.5
    assert np.mean([one.score for one in found]) == pytest.approx(expected, abs=0.01)  # 1 for images that share nothing
    if sigma == 0:
        assert [(one.score, one.shared, one.matched) for one in found] == [(0, 0, 1)] * 5
    if sigma == 100:
        assert max(one.matched for one in found) < 0.1


def test_a_resample_is_the_score_of_the_latents_drawn_without_pairs_of_one_and_the_same() -> None:
    chance = np.random.default_rng(1)
    distance, drawn = noisy_copies(0.7, 25, 3, chance), draw_resamples(25, chance, 4)
    for weights, score in zip(drawn, measure_agreement(distance, drawn).resampled, strict=True):
        index = np.repeat(np.arange(25), weights.astype(int))
        pairs = [distance[i, j] for i in index for j in index if i != j]
        assert score == pytest.approx(np.mean([distance[i, i] for i in index]) / np.mean(pairs))
        assert len(index) == 25


def test_the_interval_holds_the_true_score_as_often_as_it_says() -> None:
    """400 simulations of 64 latents; the standard error of a coverage of 95 % is 1.1 %."""
    chance = np.random.default_rng(2)
    truth, inside, width = 0.5 / 1.25**0.5, [], []
    for _ in range(400):
        distance = noisy_copies(0.5, 64, 4, chance)
        low, high = percentile_interval(measure_agreement(distance, draw_resamples(64, chance, 300)).resampled)
        inside.append(low < truth < high)
        width.append(high - low)
    assert 0.915 < np.mean(inside) < 0.98
    assert np.mean(width) < 0.2


def test_shuffled_latents_score_one_and_no_latent_stays() -> None:
    chance = np.random.default_rng(3)
    for count in (2, 3, 300):
        order = derangement(count, chance)
        assert sorted(order) == list(range(count))
        assert not (order == np.arange(count)).any()
    alike = noisy_copies(0.1, 300, 30, chance)
    found = measure_agreement(alike[:, order], np.ones((1, 300)))
    assert found.score == pytest.approx(1, abs=0.02)
    assert found.matched == 0
