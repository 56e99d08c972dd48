"""A race of Frechet distances: from features to the number, here and in two libraries that papers use.

    python -m benchmarks.frechet [SAMPLES] [ROUNDS]      its last figures are in docs/speed.md

Features of Inception's 2,048 dimensions, random and correlated; the real images' moments are known beforehand to all, as they
are in use. Here the distance comes with its standard error, and again without. They take turns; medians over the rounds.
"""

import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from cleanfid.fid import frechet_distance as cleanfid_distance
from torch_fidelity.metric_fid import fid_statistics_to_metric

from fidrace.evaluate.frechet import Moments, Reference, frechet_distance, frechet_with_error

DIMENSION = 2048


def main(samples: int, rounds: int) -> None:
    chance = torch.Generator().manual_seed(0)
    mixing = torch.randn(DIMENSION, DIMENSION, generator=chance) / DIMENSION**0.5
    real, generated = (torch.randn(samples, DIMENSION, generator=chance) @ mixing for _ in range(2))
    generated = generated * 1.05 + 0.01
    moments = Moments.of(real)
    reference = Reference.from_moments(moments.mean, moments.covariance)
    mean, covariance = moments.mean.numpy(), moments.covariance.numpy()

    def alone() -> float:
        found = Moments.of(generated)
        return frechet_distance(reference, found.mean, found.covariance)

    def with_numpy(distance: Callable[..., float]) -> float:
        features = generated.double().numpy()
        return float(distance(features.mean(axis=0), np.cov(features, rowvar=False)))

    def torch_fidelity(mu: np.ndarray, sigma: np.ndarray) -> float:
        theirs = {"mu": mu, "sigma": sigma}
        return fid_statistics_to_metric({"mu": mean, "sigma": covariance}, theirs, False)["frechet_inception_distance"]

    ways: dict[str, Callable[[], float]] = {
        "here, with its standard error": lambda: frechet_with_error(reference, generated)[0],
        "here, the distance alone": alone,
        "torch-fidelity": lambda: with_numpy(torch_fidelity),
        "clean-fid": lambda: with_numpy(lambda mu, sigma: cleanfid_distance(mean, covariance, mu, sigma)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    values = dict.fromkeys(ways, 0.0)
    for round_ in range(rounds + 1):
        for way, compute in ways.items():
            start = perf_counter()
            values[way] = compute()
            if round_:
                seconds[way].append(perf_counter() - start)
    first = np.array(seconds[next(iter(ways))])
    threads = torch.get_num_threads()
    print(f"{samples} samples of {DIMENSION} dimensions, {threads} threads, torch {torch.__version__}, {rounds} rounds")
    print("| | seconds | x the first's time | distance |")
    print("|---|---|---|---|")
    for way, measured in seconds.items():
        print(f"| {way} | {np.median(measured):.3g} | {np.median(np.array(measured) / first):.2f} | {values[way]:.6f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
