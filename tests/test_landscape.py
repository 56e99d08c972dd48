"""The landscape: curvature against the dense Hessian, lines against closed forms, the command against its own evaluations."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.func import functional_call
from typer.testing import CliRunner

from fidrace.analyses.landscape import curvature, interpolation, tables
from fidrace.analyses.landscape.analysis import iterations_to_measure
from fidrace.analyses.landscape.curvature import (
    estimate_trace,
    hessian_product,
    largest_eigenvalues,
    rademacher_probes,
    smallest_eigenvalue,
)
from fidrace.analyses.landscape.examples import BandExamples, training_examples
from fidrace.analyses.landscape.interpolation import ALPHAS, barrier, interpolate, losses_on_line, weight_distance
from fidrace.cli.main import app
from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.execute.local import LocalExecutor
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.task import Task, load_task
from fidrace.storage import checked_tensors
from fidrace.train import unet
from fidrace.train.architectures import build_network
from tests.conftest import TINY, Refused, run_here

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {  # an eps-network of 288 parameters, with attention
    "network.channels": 1,
    "network.multipliers": [1],
    "network.norm_groups": 1,
    "network.attention_resolutions": [8],
}
EXAMPLES, PROBES, FEW_ALPHAS = 8, 16, np.arange(-1, 6) / 4


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the command has trained and measured networks of 288 parameters."""
    folder = tmp_path_factory.mktemp("landscape") / "out"
    analyze(folder, f"--bands 2 --probes {PROBES} --eigenvalues 3")
    return folder


def analyze(folder: Path, look: str) -> str:
    """The output of the command, which measures two evaluations: the start and the end."""
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    words = [*TINY, "--set", "budget.evaluations=1", *changes, "--examples", str(EXAMPLES), *look.split()]
    kernels = attention_kernels()
    with pytest.MonkeyPatch.context() as patch:  # a held-out loss for each pair and alpha costs most, and a process of its own
        patch.setattr(LocalExecutor, "execute", run_here)
        for module in (interpolation, tables):
            patch.setattr(module, "ALPHAS", FEW_ALPHAS)
        result = CliRunner().invoke(app, ["analyze", "landscape", "--out", str(folder), *words])
    assert result.exit_code == 0, result.output
    assert attention_kernels() == kernels
    return result.output


def attention_kernels() -> list[bool]:
    """Which kernels a later training in this process may take."""
    cuda = torch.backends.cuda
    return [cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled()]


def weights_of(folder: Path, home: str, seed: int, iteration: int) -> Path:
    return next((folder / home / "runs/digits/baseline").glob(f"seed-{seed}-*")) / f"weights-{iteration}.safetensors"


def dense(task: Task, weights: dict[str, torch.Tensor], band: BandExamples, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The Hessian [P, P] of the band's loss in float64, computed independently, entry by entry."""
    embedding = unet.timestep_embedding
    monkeypatch.setattr(unet.Norm, "forward", nn.GroupNorm.forward)  # as they are, both are float32 whatever the weights
    monkeypatch.setattr(unet, "timestep_embedding", lambda t, channels: embedding(t, channels).double())
    network = build_network(task.network, (1, 8, 8), 0).double()
    names, sizes = list(weights), [tensor.numel() for tensor in weights.values()]
    abar = torch.from_numpy(noise_schedule(task.diffusion.schedule, task.diffusion.timesteps))[band.t][:, None, None, None]
    x0, eps = band.x0.double(), band.eps.double()
    noised = abar.sqrt() * x0 + (1 - abar).sqrt() * eps
    scaled = band.t * 1000 / task.diffusion.timesteps

    def loss(theta: torch.Tensor) -> torch.Tensor:
        parts = zip(names, theta.split(sizes), strict=True)
        found = functional_call(network, {name: part.view_as(weights[name]) for name, part in parts}, (noised, scaled))
        return ((found - eps) ** 2).mean()

    theta = torch.cat([tensor.double().reshape(-1) for tensor in weights.values()])
    hessian = torch.autograd.functional.hessian(loss, theta, vectorize=False).numpy()
    monkeypatch.undo()
    return hessian


@pytest.mark.parametrize(("iteration", "place"), [(0, 0), (12, 1)])
def test_eigenvalues_and_trace_are_those_of_the_dense_hessian(
    analyzed: Path, iteration: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, table = load_task("digits", SMALL), pd.read_csv(analyzed / "landscape.csv", dtype={"band": str})
    weights, _ = checked_tensors.read(weights_of(analyzed, "baseline", 1, iteration))
    assert sum(tensor.numel() for tensor in weights.values()) <= 500
    band = training_examples(load_data(task.data), False, 1000, 2, EXAMPLES, torch.device("cpu"))[place]
    hessian = dense(task, weights, band, monkeypatch)
    spectrum = np.linalg.eigvalsh(hessian)
    rows = table[(table["seed"] == 1) & (table["iteration"] == iteration) & (table["band"] == band.name)]
    found = rows.set_index("quantity")
    assert [found.loc[f"eig_{k}", "value"] for k in (1, 2, 3)] == pytest.approx(spectrum[:-4:-1], rel=1e-3)
    assert found.loc["eig_min", "value"] == pytest.approx(spectrum[0], rel=1e-3, abs=1e-5 * spectrum[-1])
    measured, error = found.loc["trace", ["value", "se"]].astype(float)
    assert abs(measured - np.trace(hessian)) < 3 * error
    expected = (2 * (np.sum(hessian**2) - np.sum(np.diag(hessian) ** 2)) / PROBES) ** 0.5
    assert error == pytest.approx(expected, rel=0.6)  # from 16 probes it is known no better


def test_lines_begin_and_end_at_the_held_out_losses_that_the_runs_measured(analyzed: Path) -> None:
    lines, barriers = pd.read_csv(analyzed / "interpolation.csv"), pd.read_csv(analyzed / "barriers.csv")
    assert barriers["pair"].tolist() == ["seeds", "order", "start", "start"]
    for row in barriers.itertuples():
        mine = lines[(lines["pair"] == row.pair) & (lines["a"] == row.a) & (lines["b"] == row.b)].set_index("alpha")
        assert len(mine) == len(FEW_ALPHAS)
        for end, alpha in ((row.a, 0.0), (row.b, 1.0)):
            home, seed, iteration = re.fullmatch(r"(\w+)/baseline seed (\d+) at (\d+)", end).groups()  # type: ignore[union-attr]
            evals = pd.read_csv(analyzed / home / "evals.csv")
            known = evals[(evals["seed"] == int(seed)) & (evals["iteration"] == int(iteration))]["val_loss"].item()
            assert mine.loc[alpha, "loss"] == pytest.approx(known, rel=1e-5)
        assert mine["loss"].to_numpy() == pytest.approx(mine[["loss_0", "loss_1"]].mean(axis=1).to_numpy(), rel=1e-3)


def test_the_order_pair_starts_from_one_network_and_the_seeds_pair_does_not(analyzed: Path) -> None:
    first, other, same = (
        checked_tensors.read(weights_of(analyzed, home, seed, 0))[0]
        for home, seed in (("baseline", 0), ("baseline", 1), ("start", 1))
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_second_command_trains_nothing_and_measures_the_same(analyzed: Path) -> None:
    files = {name: (analyzed / f"{name}.csv").read_bytes() for name in ("landscape", "barriers")}
    before = pd.read_csv(analyzed / "landscape.csv")
    assert "3 of them there already" in analyze(analyzed, "--bands 1 --probes 2 --eigenvalues 1")
    after = pd.read_csv(analyzed / "landscape.csv")
    assert set(after["band"]) == {"all"}
    both = before.merge(after[after["quantity"] != "trace"], on=["seed", "iteration", "band", "quantity"])
    assert len(both) == 2 * 2 * 3
    assert both["value_x"].to_numpy() == pytest.approx(both["value_y"].to_numpy(), rel=1e-4, abs=1e-5 * after["value"].max())
    assert (analyzed / "barriers.csv").read_bytes() == files["barriers"]
    assert (analyzed / "landscape.csv").read_bytes() != files["landscape"]


def test_the_trace_has_the_standard_error_of_rademacher_probes() -> None:
    random = np.random.default_rng(0)
    matrix = random.standard_normal((40, 40))
    matrix += matrix.T
    measured, error = estimate_trace(lambda v: matrix @ v, rademacher_probes(random, 4000, 40))
    variance = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2))
    assert error == pytest.approx((variance / 4000) ** 0.5, rel=0.05)
    assert abs(measured - np.trace(matrix)) < 3 * error
    diagonal = estimate_trace(lambda v: np.arange(40.0) * v, rademacher_probes(random, 3, 40))
    assert diagonal == (780.0, 0.0)  # without anything off the diagonal each probe is exact


def test_both_ends_of_a_known_spectrum_are_found_whatever_their_signs() -> None:
    random = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random.standard_normal((200, 200)))
    start = random.standard_normal(200)
    for spectrum in (np.linspace(-9, 4, 200), np.linspace(-7, -3, 200), np.r_[np.zeros(190), np.arange(1.0, 11)]):
        matrix = turn * spectrum @ turn.T
        top = largest_eigenvalues(lambda v, matrix=matrix: matrix @ v, 200, 3, start)  # type: ignore[misc]
        assert top == pytest.approx(np.sort(spectrum)[:-4:-1], rel=1e-6)
        low = smallest_eigenvalue(lambda v, matrix=matrix: matrix @ v, 200, float(top[0]), start)  # type: ignore[misc]
        assert low == pytest.approx(spectrum.min(), abs=1e-5 * np.abs(spectrum).max())


def test_eigenvalues_that_do_not_converge_are_missing_and_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curvature, "RESTARTS", 1)
    spectrum = np.linspace(0, 1, 2000)
    assert np.isnan(largest_eigenvalues(lambda v: spectrum * v, 2000, 3, np.ones(2000))).all()


def test_a_parameter_that_the_loss_does_not_see_has_no_curvature() -> None:
    seen, unseen = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.ones(2))
    product = hessian_product((seen**3).sum(), [seen, unseen])
    assert product(np.ones(4)).tolist() == [6.0, 12.0, 0.0, 0.0]


def test_the_loss_along_a_line_through_a_quadratic_is_the_closed_form_and_its_barrier_is_known() -> None:
    a, b = nn.Linear(3, 1, bias=False), nn.Linear(3, 1, bias=False)
    start = [weight.detach().clone() for weight in (a.weight, b.weight)]
    apart = float((start[0] - start[1]).square().sum())
    hill, parts = losses_on_line(a, b, lambda network: (-float(network.weight.detach().square().sum()), [1.0, 2.0]))  # type: ignore[operator,union-attr]
    ends = [-float(one.square().sum()) for one in start]
    expected = (1 - ALPHAS) * ends[0] + ALPHAS * ends[1] + ALPHAS * (1 - ALPHAS) * apart
    assert hill == pytest.approx(expected, abs=1e-6)
    assert barrier(ALPHAS, hill) == (pytest.approx(apart / 4, abs=1e-6), 0.5)
    assert barrier(ALPHAS, -hill) == (0.0, 0.0)  # convex
    assert parts.shape == (len(ALPHAS), 2)
    assert weight_distance(a, b) == pytest.approx(apart**0.5)
    assert torch.equal(interpolate(a, b, 0).weight, start[0])  # type: ignore[arg-type]
    assert torch.equal(a.weight, start[0])  # nothing was changed


def test_no_barrier_is_found_beyond_the_ends() -> None:
    assert barrier(ALPHAS, np.where(ALPHAS > 1, 100.0, 1.0)) == (0.0, 0.0)


def test_bands_share_images_and_noise() -> None:
    bands = training_examples(load_data(load_task("digits").data), False, 1000, 4, 50, torch.device("cpu"))
    assert [band.name for band in bands] == ["all", "0", "1", "2", "3"]
    for band in bands:
        assert torch.equal(band.x0, bands[0].x0)
        assert torch.equal(band.eps, bands[0].eps)
        assert (band.low <= int(band.t.min())) & (int(band.t.max()) < band.high)
    assert [
        band.name for band in training_examples(load_data(load_task("digits").data), False, 1000, 1, 5, torch.device("cpu"))
    ] == ["all"]


def test_curvature_is_measured_at_the_start_the_end_and_ever_less_often_between() -> None:
    assert iterations_to_measure((0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500)) == [0, 50, 100, 200, 500]
    assert iterations_to_measure((0, 7)) == [0, 7]


def test_what_cannot_be_measured_is_refused_before_training(refused: Refused) -> None:
    assert "at least 2 seeds" in refused("analyze", "landscape", "--seeds", "1")
    assert "--bands 1001: 1000 timesteps can be split into 1 to 1000 bands" in refused(
        "analyze", "landscape", "--bands", "1001"
    )
    assert "--eigenvalues 45041: choose 1 to 45040, since the network has 45041 parameters" in refused(
        "analyze", "landscape", "--eigenvalues", "45041"
    )
    assert "network.init" in refused("analyze", "landscape", "--set", "network.init=3")
    with pytest.raises(InputError, match="--eigenvalues 5"):
        largest_eigenvalues(lambda v: v, 5, 5, np.ones(5))
