"""Difficulty: when a timestep is learnt against closed forms, the gradient's estimates against autograd, and a small series."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from fidrace.analyses.difficulty import analysis
from fidrace.analyses.difficulty.analysis import GRADIENT_BATCH, GRADIENT_BATCHES, analyze_difficulty, plan_bands
from fidrace.analyses.difficulty.measures import Examples, gradient_of, loss_of
from fidrace.analyses.difficulty.plots import difficulty_png
from fidrace.analyses.difficulty.tables import (
    band_table,
    convergence_time,
    findings,
    network_table,
    reduction_time,
    settling_time,
)
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.timesteps import split_timesteps
from fidrace.analyses.trained import finished_runs
from fidrace.data.base import Data
from fidrace.data.loading import digits
from fidrace.errors import InputError
from fidrace.execute.study_series import StudySeries
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from fidrace.train.diffusion import Diffusion
from tests.conftest import Refused
from tests.series import run_series

CPU = torch.device("cpu")
BANDS = 4
CHANGES = {
    **{"budget.iterations": 6, "budget.evaluations": 2, "budget.keep_weights": True, "quality.samples": 20},
    **{"quality.guard_images": 30, "quality.heldout_repeats": 1, "sampler.steps": 2},
    **{"optimizer.batch": 16, "optimizer.lr": 0.02, "optimizer.warmup": 0, "ema.decay": 0.5},
    **{"network.classes": 10, "diffusion.learned_sigma": True, "diffusion.prediction": "v", "network.channels": 4},
}


@pytest.mark.parametrize("tau", [5.0, 40.0])
@pytest.mark.parametrize("final", [0.01, 0.5])
def test_both_measures_of_an_exponential_are_logarithms(tau: float, final: float) -> None:
    """Loss final + (1 - final) exp(-n / tau): 90 % of the fall takes tau ln 10 whatever it falls to; to be within 10 % takes
    tau ln((1 - final) / (0.1 final)), the longer the lower it falls."""
    n = np.arange(0.0, 1001)
    loss = final + (1 - final) * np.exp(-n / tau)
    assert reduction_time(n, loss) == pytest.approx(tau * np.log(10), abs=0.05)
    assert convergence_time(n, loss) == pytest.approx(tau * np.log((1 - final) / (0.1 * final)), abs=0.05)
    # no weight on the timestep's loss changes either
    assert reduction_time(n, 7 * loss) == pytest.approx(reduction_time(n, loss))
    assert convergence_time(n, 7 * loss) == pytest.approx(convergence_time(n, loss))


def test_a_loss_that_rises_again_has_settled_only_afterwards() -> None:
    n = np.array([0.0, 10, 20, 30, 40])
    assert settling_time(n, np.array([1.0, 0.2, 0.6, 0.2, 0.1]), 0.4) == pytest.approx(25)
    assert settling_time(n, np.array([0.3, 0.2, 0.1, 0.1, 0.1]), 0.4) == 0
    assert np.isnan(settling_time(n, np.array([1.0, 0.2, 0.1, 0.3, 0.5]), 0.4))
    assert np.isnan(reduction_time(n, np.array([1.0, 0.9, 0.9, 0.9, 1.0])))
    assert np.isnan(reduction_time(n, np.array([1.0, np.nan, np.nan, np.nan, np.nan])))


@pytest.mark.parametrize(("T", "bands"), [(1000, 25), (1000, 7), (7, 7), (10, 4), (10, 1)])
def test_bands_hold_every_timestep_once_and_are_of_one_length(T: int, bands: int) -> None:
    ranges = split_timesteps(T, bands)
    assert [t for low, high in ranges for t in range(low, high)] == list(range(T))
    lengths = [high - low for low, high in ranges]
    assert len(ranges) == bands
    assert np.ptp(lengths) <= 1
    assert min(lengths) >= 1


class Linear(nn.Module):
    """eps_hat = w x_t + b: two parameters, whose gradients are averages that can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.1))

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.w * x + self.b


def per_example(network: Linear, process: Diffusion, examples: Examples) -> np.ndarray:
    """Gradients [N, 2] by hand: of mean over pixels of (w x + b - eps)^2, 2 mean((w x + b - eps) x) and 2 mean(...)."""
    x = process.add_noise(examples.x0, examples.eps, examples.t).double()
    error = network.w.item() * x + network.b.item() - examples.eps
    return torch.stack([2 * (error * x).mean((1, 2, 3)), 2 * error.mean((1, 2, 3))], 1).detach().numpy()


def test_the_gradients_estimates_are_unbiased() -> None:
    """Against the mean and covariance of 60,000 examples' gradients written down by hand. 300 estimates from 2 batches of 8,
    where most of a batch's squared norm is noise: without leaving out products with itself they would be off by far."""
    task, data = load_task("digits"), digits()
    process, network = Diffusion(noise_schedule("cosine", 1000), "eps", CPU), Linear()
    many = per_example(network, process, Examples.training(task, data, 300, 500, 0, 999, 60_000))
    squared, variance = (many.mean(0) ** 2).sum(), many.var(0).sum()
    found = [gradient_of(network, process, Examples.training(task, data, 300, 500, 0, seed, 16), CPU, 8) for seed in range(300)]
    for values, truth in (([one.squared for one in found], squared), ([one.variance for one in found], variance)):
        error = np.std(values) / len(values) ** 0.5
        assert abs(np.mean(values) - truth) < 3.5 * error
        assert error < 0.1 * truth
    assert found[0].noise(64) == pytest.approx(max(found[0].variance, 0) ** 0.5 / 8)


def test_the_estimate_from_two_batches_is_their_product() -> None:
    """Through a network's own graph: gradients of two batches from autograd, one after the other."""
    task, data = load_task("digits"), digits()
    process = Diffusion(noise_schedule("cosine", 1000), "eps", CPU)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.SiLU(), nn.Conv2d(3, 1, 3, padding=1))

    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
            return self.inner(x)

    examples = Examples.training(task, data, 0, 1000, 0, 0, 20)
    gradients = []
    for part in (slice(0, 10), slice(10, 20)):
        network.zero_grad()
        noisy = process.add_noise(examples.x0[part], examples.eps[part], examples.t[part])
        (network(noisy) - examples.eps[part]).square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]).double())  # type: ignore[union-attr]
    first, second = gradients
    found = gradient_of(Called(), process, examples, CPU, 10)
    assert found.squared == pytest.approx(float(first @ second), rel=1e-4)
    half = (first @ first + second @ second) / 2 - first @ second
    assert found.variance == pytest.approx(10 * float(half), rel=1e-4)


def test_training_examples_are_independent_and_within_their_band() -> None:
    task, data = load_task("digits", {"network.classes": 10}), digits()
    one = Examples.training(task, data, 40, 80, 1, 0, GRADIENT_BATCH * GRADIENT_BATCHES)
    assert (int(one.t.min()) >= 40) & (int(one.t.max()) < 80)
    assert len(one.x0.flatten(1).unique(dim=0)) < len(one.x0)  # with replacement: 256 of 1,500 repeat some
    image = {tuple(pixels.flatten().tolist()): label for pixels, label in zip(data.train, data.train_labels, strict=True)}
    assert one.labels is not None
    assert [image[tuple(x.flatten().tolist())] for x in one.x0] == one.labels.tolist()
    other = Examples.training(task, data, 40, 80, 1, 1, GRADIENT_BATCH * GRADIENT_BATCHES)
    assert not torch.equal(one.t, other.t)


def test_heldout_examples_hold_every_image_equally_often_and_bytes_are_scaled() -> None:
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (100, 3, 8, 8), dtype=np.uint8)
    data = Data(images, np.zeros(100, int), images, np.arange(100), 256, "")
    one = Examples.heldout(load_task("digits", {"network.classes": 100}), data, 10, 20, 0)
    assert (len(one.t), one.images) == (600, 100)
    assert (np.bincount(one.labels) == 6).all()  # type: ignore[arg-type]
    assert (np.bincount(one.t.numpy() - 10) == 60).all()
    np.testing.assert_allclose(one.x0[0], images[int(one.labels[0])] / 127.5 - 1, atol=1e-6)  # type: ignore[index]


def test_the_standard_error_treats_images_as_independent() -> None:
    """Only the image matters here: repeats add no information, and must not narrow the error."""
    task, data = load_task("digits"), digits()
    examples = Examples.heldout(task, data, 0, 1000, 0)
    brightness = examples.x0.mean((1, 2, 3)).double()

    class Process:
        def eps_mse(self, network: nn.Module, x0: Tensor, eps: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
            return x0.mean((1, 2, 3))

    mean, error = loss_of(Linear(), Process(), examples, CPU, 100)  # type: ignore[arg-type]
    assert len(brightness) == 2 * 297
    assert mean == pytest.approx(float(brightness.mean()), rel=1e-5)
    assert error == pytest.approx(float(data.heldout.mean((1, 2, 3)).std(ddof=1)) / 297**0.5, rel=1e-4)


@pytest.mark.parametrize("bands", [1, 0, -3, 1001])
@pytest.mark.parametrize("option", ["--bands", "--cells"])
def test_bands_that_do_not_fit_are_refused(refused: Refused, tmp_path: Path, option: str, bands: int) -> None:
    said = refused("analyze", "difficulty", "--device", "cpu", option, str(bands))
    assert f"--bands {bands}: 1000 timesteps can be split into 2 to 1000 bands" in said
    assert not list(tmp_path.iterdir())
    assert len(plan_bands(load_task("digits"), 1000)) == 1000
    with pytest.raises(InputError):
        plan_bands(load_task("digits"), bands)


def simulated(late: str) -> pd.DataFrame:
    """Rows of two seeds whose bands decay with time constants that grow towards one end of t."""
    rows = []
    for seed in (0, 1):
        for k, t in enumerate(np.arange(50, 1000, 100)):
            tau = 10 + 10 * (k if late == "high" else 9 - k) + seed
            rows += [
                dict(
                    task="made up", seed=seed, iteration=n, t=t, abar=1 - t / 1000, loss=0.2 + np.exp(-n / tau),
                    loss_se=0.01, grad_norm=1.0 + t, grad_noise=1.0,
                )
                for n in range(0, 1001, 50)
            ]  # fmt: skip
    return network_table(rows)


@pytest.mark.parametrize(("late", "sign", "verdict"), [("low", -1, "it is easier"), ("high", 1, "it is not easier")])
def test_what_is_said_follows_the_curves(late: str, sign: int, verdict: str) -> None:
    networks = simulated(late)
    bands = band_table(networks)
    lines = findings(networks, bands)
    slowest = bands["reduced_at"].iloc[-1 if late == "high" else 0]
    assert slowest == pytest.approx(100.5 * np.log(10), rel=0.03)  # looked at every 50 iterations, interpolated
    assert sum(line.startswith(f"  rank correlation with t {sign:+.2f}") for line in lines) == 2 + (sign > 0)  # and gradients
    ended = next(line for line in lines if line.startswith("had training ended at 500"))
    assert ended.count(f"{sign:+.2f}") == 2
    assert sum(verdict in line for line in lines) == 2
    assert (networks[networks["iteration"] == 1000]["relative"] == 1).all()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> StudySeries:
    base = define_study("digits", ["baseline"], "2", changes=CHANGES)
    return run_series(tmp_path_factory.mktemp("difficulty"), {"baseline": base})


@pytest.fixture(scope="module")
def outcome(series: StudySeries) -> Iterator[Outcome]:
    with pytest.MonkeyPatch.context() as patch:  # gradients cost most, and have tests of their own
        patch.setattr(analysis, "GRADIENT_BATCH", 8)
        yield analyze_difficulty(series, plan_bands(series.task, BANDS), "cpu")


def test_every_network_and_band_has_a_row(outcome: Outcome) -> None:
    table, bands = outcome.tables["difficulty"], outcome.tables["difficulty-cells"]
    assert len(table) == 2 * 3 * BANDS
    assert sorted(table["iteration"].unique()) == [0, 3, 6]
    assert list(bands["t"]) == [124.5, 374.5, 624.5, 874.5]
    assert (table["loss_se"] < 0.1 * table["loss"]).all()
    np.testing.assert_allclose(table["log_snr"], np.log(1 / table["noise"] ** 2 - 1))
    np.testing.assert_allclose(bands["abar"], np.interp(bands["t"], np.arange(1000), noise_schedule("cosine", 1000)))


def test_the_losses_are_those_of_the_runs_own_grid(series: StudySeries, outcome: Outcome) -> None:
    """Another grid of images, noise and timesteps, over all t: the two means differ by what their standard errors allow."""
    table = outcome.tables["difficulty"]
    for run in finished_runs(series):
        evals = pd.read_csv(run.directory / "evals.csv").set_index("iteration")["val_loss"]
        for iteration, rows in table[table["seed"] == run.spec.seed].groupby("iteration"):
            error = np.sqrt((rows["loss_se"] ** 2).sum()) / BANDS
            assert abs(rows["loss"].mean() - evals[iteration]) < 5 * error + 0.02 * evals[iteration]


def test_a_network_of_no_output_has_the_loss_of_its_target(outcome: Outcome) -> None:
    """At iteration 0 the output is 0: for v-prediction the eps-MSE is E|v|^2 S / (S + 1), with E|v|^2 known to a per cent."""
    images = digits().heldout.astype(float)
    start = outcome.tables["difficulty"].query("iteration == 0")
    abar = noise_schedule("cosine", 1000).reshape(BANDS, -1)
    snr = abar / (1 - abar)
    expected = ((abar + (1 - abar) * (images**2).mean()) * snr / (snr + 1)).mean(1)
    np.testing.assert_allclose(start["loss"], np.tile(expected, 2), rtol=0.05)


def test_a_seed_alone_has_the_rows_that_it_has_among_others(series: StudySeries, outcome: Outcome) -> None:
    study = next(iter(series.runners.values())).study
    alone = StudySeries.of(series.root, {"baseline": replace(study, seeds=(1,))})
    again = analyze_difficulty(alone, plan_bands(series.task, BANDS), "cpu")
    expected = outcome.tables["difficulty"].query("seed == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(again.tables["difficulty"], expected, check_exact=True)


def test_files_of_one_outcome_are_equal_to_the_byte(outcome: Outcome, tmp_path: Path) -> None:
    picture = difficulty_png(outcome.tables["difficulty"], outcome.tables["difficulty-cells"])
    assert picture == outcome.picture
    files = outcome.publish(tmp_path, "difficulty")
    assert [path.name for path in files] == ["difficulty-cells.csv", "difficulty.csv", "difficulty.png"]
