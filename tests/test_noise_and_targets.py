"""Methods that pair images with noise, change the target or the prediction: against brute force, closed forms, identities."""

import itertools
import math

import numpy as np
import ot
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from fidrace.data.base import to_unit_range
from fidrace.data.loading import load_data
from fidrace.execute.batch_checks import measure_noise
from fidrace.method import Method
from fidrace.method.noise_schedule import cosine_abar
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.diffusion import Diffusion, Examples
from fidrace.train.examples import Draws
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

pytestmark = pytest.mark.usefixtures("one_thread")
TASK = load_task("digits")
DATA = load_data(TASK.data)


def part(name: str) -> Method:
    return Registry().compose(name).parts[0]


def training(name: str, **changes: object) -> Training:
    task = load_task("digits", changes)
    return Training(task, Registry().compose(name), 0, load_data(task.data), ProcessGroup(torch.device("cpu")))


def draws(n: int = 0) -> tuple[Draws, Tensor, Tensor]:
    """What hooks may draw in step n, and its images and noise."""
    batches = training("baseline").batches
    batch = batches.at(n)
    return Draws(batches, n, batch, "noise"), batch.x0, batch.eps


def examples_of(name: str, n: int = 0) -> Examples:
    one = training(name)
    batch = one.batches.at(n)
    return one.make_examples(batch, torch.from_numpy(one.method.timesteps(batch.uniforms, n)), n)


@pytest.mark.parametrize(("name", "best"), [("immiscible", min), ("anti", max)])
def test_the_assignment_is_the_best_of_all(name: str, best) -> None:
    draw, x0, eps = draws()
    x0, eps = x0[:6], eps[:6]
    _, chosen = part(name).couple(x0, eps, draw)

    def total(noise: Tensor) -> float:
        return float((x0 - noise).flatten(1).norm(dim=1).double().sum())

    of_all = [total(eps[list(order)]) for order in itertools.permutations(range(6))]
    assert total(chosen) == pytest.approx(best(of_all), rel=1e-6)
    assert sorted(chosen[:, 0, 0, 0].tolist()) == sorted(eps[:, 0, 0, 0].tolist())


def test_ot_pairs_come_from_another_library_s_plan_and_a_third_of_the_images_is_absent() -> None:
    draw, x0, eps = draws()
    pairs, chosen = part("ot-coupling").couple(x0, eps, draw)
    partner = {int(i): int((eps - one).flatten(1).norm(dim=1).argmin()) for i, one in zip(pairs, chosen, strict=True)}
    cost = (x0.flatten(1)[:, None] - eps.flatten(1)[None]).square().sum(2)
    plan = ot.emd([], [], cost.double().numpy())  # of equal weights
    assert all(plan[i, j] == pytest.approx(1 / len(x0)) for i, j in partner.items())
    absent = []
    for n in range(200):
        draw, x0, eps = draws(n) if n < 3 else (Draws(draw._batches, n, draw._batches.at(n), "noise"), x0, eps)
        order, own = part("duplicates").couple(x0, eps, draw)
        assert own is eps
        absent.append(1 - len({*order}) / len(x0))
    assert np.mean(absent) == pytest.approx((1 - 1 / len(x0)) ** len(x0), abs=0.01)


@pytest.mark.parametrize("k", [4, 64])
def test_the_nearest_of_k_noises_has_the_moments_of_its_closed_form(k: int) -> None:
    """|x0 - eps|^2 of the k draws is noncentral chi-squared about x0; of the nearest, the part along x0 and the rest follow."""
    D, x = 64, torch.zeros(4000, 1, 8, 8)
    x[:, 0, 0, 0] = 6.0  # |x0| = 6: sigma_d = 0.75
    generator = torch.Generator().manual_seed(0)

    class Own:
        def normals(self, number: int = 1) -> Tensor:
            return torch.randn(x.shape, generator=generator)

    _, eps = part(f"immiscible-knn[k={k}]").couple(x, torch.randn(x.shape, generator=generator), Own())  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    along, across = rng.normal(size=(100_000, k)), rng.chisquare(D - 1, size=(100_000, k))
    nearest = ((along - 6) ** 2 + across).argmin(1)[:, None]
    along, across = (np.take_along_axis(one, nearest, 1) for one in (along, across))
    assert float(eps.square().mean()) == pytest.approx((along**2 + across).mean() / D, rel=0.01)
    assert float(eps[:, 0, 0, 0].mean() / 6) == pytest.approx(along.mean() / 6, abs=0.01)
    if k == 64:
        assert (along**2 + across).mean() / D == pytest.approx(0.767, abs=0.005)  # of shared/METHODS, by another's simulation
        assert along.mean() / 6 == pytest.approx(0.28, abs=0.01)


def test_controls_of_the_noise_have_the_moments_that_they_isolate() -> None:
    k, D = 4, 64
    shortest = integrate.quad(lambda r: stats.chi2.sf(r, D) ** k, 0, 300)[0] / D  # the mean of the least of k
    for name, square in (("knn-norm", shortest), ("scaled-noise", 0.979), ("offset-noise", 1.01), ("shuffle", 1.0)):
        found = measure_noise(Registry(), name)
        assert abs(found.square[0] - square) < 4 * found.square[1] + 1e-6, (name, found)
        assert abs(found.on_x0[0]) < 4 * found.on_x0[1], (name, found)
    assert measure_noise(Registry(), "immiscible").on_x0[0] > 0.1
    assert measure_noise(Registry(), "anti").on_x0[0] < -0.1


def test_input_perturbation_lowers_the_snr_by_one_plus_its_square() -> None:
    one, control = examples_of("ddpm-ip[gamma=0.5]"), examples_of("ip-shift[gamma=0.5]")
    assert one.shown is not None
    assert control.shown is not None
    assert float(one.shown.var()) == pytest.approx(1.25, rel=0.05)
    torch.testing.assert_close(control.shown, one.eps * math.sqrt(1.25))
    slope = float((one.shown * one.eps).sum() / one.shown.square().sum())  # of eps on what is shown
    assert slope == pytest.approx(1 / 1.25, rel=0.05)
    assert one.wanted is not None
    assert torch.equal(one.wanted[1], one.eps)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_contrastive_loss_and_its_target_have_one_gradient(prediction: str) -> None:
    examples, lam = examples_of("contrastive-fm[lam=0.3]"), 0.3
    diffusion = Diffusion(cosine_abar(1000), prediction)  # type: ignore[arg-type]
    said = torch.randn(examples.x0.shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    diffusion.losses(lambda x, t, labels: said, examples).objective.sum().backward()
    mine, said.grad = said.grad, None
    other = Examples(examples.x0.roll(1, 0), examples.eps.roll(1, 0), examples.t, None)
    plain = Examples(examples.x0, examples.eps, examples.t, None)
    pull, push = (diffusion.losses(lambda x, t, labels: said, one).mse for one in (plain, other))
    (pull - lam * push).sum().backward()
    assert mine is not None
    torch.testing.assert_close(mine * (1 - lam), said.grad, rtol=1e-4, atol=1e-5)


def test_controls_of_the_contrast_isolate_its_mean_and_its_scale() -> None:
    mean, scaled = examples_of("cfm-mean[lam=0.2]"), examples_of("scale[lam=0.2]")
    assert mean.wanted is not None
    assert scaled.wanted is not None
    torch.testing.assert_close(mean.wanted[1] * 0.8 + 0.2 * mean.eps.mean(0), mean.eps)
    torch.testing.assert_close(scaled.wanted[0], scaled.x0 / 0.8)


@pytest.mark.parametrize("name", ["scale[lam=0.0]", "stable-target[n=1]", "immiscible-knn[k=1]", "ddpm-ip[gamma=0.0]"])
def test_what_changes_nothing_trains_as_the_baseline_does_to_the_last_digit(name: str) -> None:
    one, other = training(name), training("baseline")
    for each in (one, other):
        each.advance(3)
    for mine, theirs in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_stable_target_over_all_data_is_the_exact_score_of_their_mixture() -> None:
    """With n = N x0 is the posterior mean under equal weights on the N images: by logsumexp's gradient, image by image."""
    n = len(DATA.train)
    examples = examples_of(f"stable-target[n={n}]")
    assert examples.wanted is not None
    data = to_unit_range(torch.from_numpy(np.array(DATA.train))).double().flatten(1)
    abar = torch.from_numpy(cosine_abar(1000))[examples.t]
    for i in range(0, 64, 7):
        x = (abar[i].sqrt() * examples.x0[i] + (1 - abar[i]).sqrt() * examples.eps[i]).double().flatten().requires_grad_()
        log_p = torch.logsumexp(-(x - abar[i].sqrt() * data).square().sum(1) / (2 * (1 - abar[i])), 0)
        (score,) = torch.autograd.grad(log_p, x)
        eps = -(1 - abar[i]).sqrt() * score
        x0 = (x.detach() - (1 - abar[i]).sqrt() * eps) / abar[i].sqrt()
        if abar[i] > 1e-3:
            torch.testing.assert_close(examples.wanted[0][i].double().flatten(), x0, rtol=1e-3, atol=2e-3)
        torch.testing.assert_close(examples.wanted[1][i].double().flatten(), eps, rtol=1e-3, atol=2e-3)


def test_a_stable_target_within_the_batch_is_taken_over_the_example_and_those_that_follow_it() -> None:
    examples = examples_of("stable-target[n=3]")
    assert examples.wanted is not None
    abar = torch.from_numpy(cosine_abar(1000))[examples.t]
    for i in (0, 30, 62, 63):  # round the end of the batch
        own = examples.x0[[i, (i + 1) % 64, (i + 2) % 64]].double()
        x_t = abar[i].sqrt() * own[0] + (1 - abar[i]).sqrt() * examples.eps[i]
        distance = (x_t - abar[i].sqrt() * own).square().sum((1, 2, 3))
        mean = torch.tensordot((-distance / (2 * (1 - abar[i]))).softmax(0), own, 1)
        torch.testing.assert_close(examples.wanted[0][i].double(), mean, rtol=1e-3, atol=2e-3)


def test_a_stable_target_takes_its_images_from_the_batch_first_and_counts_the_others() -> None:
    for n, read in ((1, 0), (64, 0), (100, 36)):
        one = training(f"stable-target[n={n}]")
        one.advance(2)
        assert one.batches.read == 2 * read


@pytest.mark.parametrize("name", ["v-prediction", "x0-prediction"])
def test_what_is_predicted_changes_in_training_and_sampler_with_unit_weight_on_its_own_error(name: str) -> None:
    one = training(name)
    assert one.diffusion.prediction == name.split("-")[0]
    weight = one.method.loss_weight(0)
    assert weight is not None
    np.testing.assert_allclose(weight * one.diffusion.to_eps_mse.numpy(), 1, rtol=1e-5)
    control = training(name.replace("prediction", "weight"))
    assert control.diffusion.prediction == "eps"
    np.testing.assert_array_equal(control.method.loss_weight(0), weight)
    assert "weight" not in training(f"{name}[weight=eps]").method.claims


def test_a_network_that_knows_the_target_has_no_loss_whatever_it_predicts() -> None:
    for name in ("baseline", "v-prediction", "x0-prediction"):
        one, batch = training(name), training(name).batches.at(0)
        t = torch.full((len(batch.x0),), 400)
        a, s = one.diffusion.signal[400], one.diffusion.noise[400]
        known = {"eps": batch.eps, "v": a * batch.eps - s * batch.x0, "x0": batch.x0}[one.diffusion.prediction]
        loss = one.diffusion.eps_mse(lambda x, t, labels, known=known: known, batch.x0, batch.eps, t)
        assert float(loss.max()) < 1e-9
        x0, _ = one.diffusion.x0_and_eps(one.diffusion.add_noise(batch.x0, batch.eps, t), known, 400)
        torch.testing.assert_close(x0, batch.x0, rtol=1e-4, atol=1e-4)


def test_direction_is_one_minus_the_cosine_and_bounded_at_zero() -> None:
    one, y = part("direction[w=2.0]"), torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    p = (torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1)) + y).requires_grad_()
    expected = 2 * (1 - torch.nn.functional.cosine_similarity(p.flatten(1), y.flatten(1)))
    torch.testing.assert_close(one.auxiliary(p, y, {}, None), expected)
    zero = torch.zeros_like(y, requires_grad=True)
    one.auxiliary(zero, y, {}, None).sum().backward()
    assert zero.grad is not None
    assert float((zero.grad.flatten(1).norm(dim=1) * y.flatten(1).norm(dim=1)).max()) == pytest.approx(20, rel=1e-4)


def test_dispersive_is_the_log_mean_of_all_pairs() -> None:
    z = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    found = part("dispersive[lam=2.0,tau=0.3]").auxiliary(None, None, {"middle": z}, lambda one: one)
    pairs = [math.exp(-float((a - b).square().sum()) / (12 * 0.3)) for a in z for b in z]
    assert float(found) == pytest.approx(2 * math.log(np.mean(pairs)), rel=1e-5)


def test_noise_and_target_draw_independently() -> None:
    """immiscible-knn's candidates are not ddpm-ip's perturbation."""
    one = training("immiscible-knn+ddpm-ip[gamma=1.0]")
    found = []
    for n in range(20):
        batch = one.batches.at(n)
        examples = one.make_examples(batch, torch.from_numpy(one.method.timesteps(batch.uniforms, n)), n)
        further = examples.shown - examples.eps
        found.append(float((further * examples.eps).mean()))
    assert abs(np.mean(found)) < 4 / np.sqrt(20 * examples.eps.numel())
