"""Consistency: which networks are compared, the controls, and a small series end to end."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cdist

from fidrace.analyses.consistency.agreement import Agreement
from fidrace.analyses.consistency.analysis import Probe, analyze_consistency
from fidrace.analyses.consistency.denoisers import exact_denoiser, gaussian_denoiser, redraw_zero_layers
from fidrace.analyses.consistency.networks import plan_studies
from fidrace.analyses.consistency.pairs import (
    NEITHER,
    GeneratorPair,
    Group,
    Relation,
    TrainedGenerator,
    group_label,
    group_of,
    group_pairs,
)
from fidrace.analyses.consistency.tables import PairScore, group_row
from fidrace.analyses.outcome import Outcome
from fidrace.analyses.trained import finished_runs
from fidrace.data.loading import digits
from fidrace.execute.study_series import StudySeries
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.random_streams import Streams
from fidrace.spec.study import define_study
from fidrace.spec.task import load_task
from fidrace.storage import checked_tensors
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion
from fidrace.train.noise import draw_normals
from fidrace.train.sampler import ddim
from tests.conftest import Refused
from tests.series import run_series

CPU = torch.device("cpu")
LATENTS, LAST = 32, 4
# as published tables have them
SAME_RUN_LABEL, SAME_START_LABEL = "baseline, the same run twice", "baseline, same start"
SAME_ORDER_LABEL, NEITHER_LABEL = "baseline, same data order", "baseline, neither shared"
SHUFFLED_LABEL, UNTRAINED_LABEL = "baseline, one side's latents shuffled", "untrained, outputs drawn at random"
CHANGES = {  # every branch at once: noise in the task's own sampler, labels, a learned variance
    **{"budget.iterations": LAST, "budget.evaluations": 1, "budget.keep_weights": True, "quality.samples": 20},
    **{"quality.guard_images": 30, "quality.heldout_repeats": 1, "sampler.steps": 3, "sampler.kind": "ancestral"},
    **{"optimizer.batch": 16, "optimizer.lr": 0.02, "optimizer.warmup": 0, "ema.decay": 0.5},
    **{"network.classes": 10, "diffusion.learned_sigma": True, "network.channels": 4},
}


def trained(home: str = "seeds", method: str = "baseline", order: int = 0, start: int = 0) -> TrainedGenerator:
    return TrainedGenerator(f"{home}/{method} seed {order}", home, method, order, start)


@pytest.mark.parametrize(
    ("a", "b", "group"),
    [
        (trained(), trained("again"), SAME_RUN_LABEL),
        (trained(order=1, start=1), trained("again"), None),
        (trained(), trained(order=1, start=1), NEITHER_LABEL),
        (trained(), trained("start-1", order=0, start=1), SAME_ORDER_LABEL),
        (trained(order=1, start=1), trained("start-1", order=0, start=1), SAME_START_LABEL),
        (trained(order=2, start=2), trained("start-1", order=0, start=1), NEITHER_LABEL),
        (trained(), trained(method="clts"), "clts against baseline, same seed"),
        (trained(), trained(method="clts", order=1, start=1), "clts against baseline, other seed"),
        (trained(method="clts"), trained(method="clts", order=1, start=1), "clts among itself"),
        (trained(method="mdlrc"), trained(method="clts"), None),
        (trained(method="clts"), trained("start-1", order=0, start=1), None),
        (trained(), trained("channels-16"), "channels-16 against baseline, same seed"),
        (trained("channels-16"), trained("channels-16", order=1, start=1), "channels-16 among itself"),
        (trained("channels-16"), trained("res_blocks-2"), None),
        (trained("channels-16"), trained(method="clts"), None),
    ],
)
def test_pairs_are_named_by_what_they_share(a: TrainedGenerator, b: TrainedGenerator, group: str | None) -> None:
    groups = (group_of(a, b), group_of(b, a))
    assert [one and group_label(one) for one in groups] == [group, group]


def test_homes_are_folders_and_the_first_is_the_base() -> None:
    base = define_study("digits", ["clts"], "2")
    planned = plan_studies(base, ["multipliers=[1,2,2],channels=16", "attention_resolutions=[8]"])
    assert list(planned) == ["seeds", "again", "start-1", "start-0", "multipliers-1-2-2+channels-16", "attention_resolutions-8"]
    assert planned["multipliers-1-2-2+channels-16"].task.network.multipliers == (1, 2, 2)
    assert [(one.task.network.init, one.seeds) for one in list(planned.values())[2:4]] == [(1, (0,)), (0, (1,))]
    assert list(plan_studies(base, []))[4:] == ["channels-16", "res_blocks-2"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--seeds", "1"), "at least 2"),
        (("--seeds", "5,"), "at least 2"),
        (("--latents", "15"), "at least 16"),
        (("--latents", "-1"), "at least 16"),
        (("--network", "chanels=16"), "did you mean 'channels'"),
        (("--network", "channels"), "write FIELD=VALUE"),
        (("--network", ""), "write FIELD=VALUE"),
        (("--network", "channels=10"), "norm_groups = 4 does not divide 10"),
        (("--network", "channels=8"), "the task's own"),
        (("--network", "init=3"), "init is not an architecture"),
        (("--network", "channels=16", "--network", "network.channels=16"), "listed twice"),
        (("--set", "network.init=3"), "chooses initial weights itself"),
        (("-m", "minsnr"), "did you mean 'min-snr'"),
        (("digit",), "did you mean 'digits'"),
    ],
)
def test_wrong_input_is_one_line(refused: Refused, tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    assert named in refused("analyze", "consistency", "--device", "cpu", *words)
    assert not list(tmp_path.iterdir())


def test_only_zero_layers_are_redrawn() -> None:
    task = load_task("digits")
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([10.0, 900.0])
    first, again, other = (redraw_zero_layers(build_network(task.network, (1, 8, 8), 0), seed) for seed in (0, 0, 1))
    plain = build_network(task.network, (1, 8, 8), 0)
    assert not plain(x, t).any()
    assert first(x, t).abs().min() > 0
    torch.testing.assert_close(first(x, t), again(x, t), rtol=0, atol=0)
    assert (first(x, t) - other(x, t)).abs().max() > 0.01
    for name, before in plain.named_parameters():
        after = first.get_parameter(name)
        zero = not plain.get_submodule(name.rpartition(".")[0]).weight.any()
        assert torch.equal(before, after) is not zero, name


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("learned_sigma", [False, True])
def test_untrained_denoisers_are_the_closed_forms(prediction: str, learned_sigma: bool) -> None:
    """Gaussian: the same matrix by solving for it. Exact: its samples are training images, each as often as the next."""
    task, data = load_task("digits", {"diffusion.prediction": prediction}), digits()
    process = Diffusion(noise_schedule("cosine", 1000), prediction, CPU, learned_sigma, 17)  # type: ignore[arg-type]
    linear, memory = gaussian_denoiser(task, data, process, CPU), exact_denoiser(task, data, process, CPU)
    assert linear
    assert memory
    x, t = torch.randn(5, 1, 8, 8), 400
    images = data.train.reshape(1500, 64).astype(np.float64)
    mean, covariance, abar = images.mean(0), np.cov(images.T, bias=True), process.abar[t]
    gain = np.linalg.solve(abar * covariance + (1 - abar) * np.eye(64), abar**0.5 * covariance)
    expected = mean + (x.numpy().reshape(5, 64) - abar**0.5 * mean) @ gain
    read, spread = process.split_output(linear(x, process.network_timestep(torch.full((5,), t)), None))
    x0 = {"eps": (x - (1 - abar) ** 0.5 * read) / abar**0.5, "x0": read, "v": abar**0.5 * x - (1 - abar) ** 0.5 * read}
    np.testing.assert_allclose(x0[prediction].numpy().reshape(5, 64), expected, atol=1e-4)
    assert (spread is None) is not learned_sigma

    latents = draw_normals(Streams("a test"), "latents", 0, (64, 1, 8, 8))
    drawn = ddim(memory, process, latents, 20).reshape(64, 64).numpy()
    assert cdist(drawn, images).min(1).max() < 0.05  # of different training images, the nearest are 0.7 apart
    assert len(np.unique(cdist(drawn, images).argmin(1))) > 30


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> StudySeries:
    """Nine runs of a few steps."""
    base = define_study("digits", ["clts"], "2", changes=CHANGES)
    return run_series(tmp_path_factory.mktemp("consistency"), plan_studies(base, ["channels=8"]))


@pytest.fixture(scope="module")
def outcome(series: StudySeries) -> Outcome:
    return analyze_consistency(series, LATENTS, "cpu")


def scores(outcome: Outcome, group: str, iteration: int = LAST) -> pd.DataFrame:
    table = outcome.tables["consistency"]
    found = table[(table["group"] == group) & (table["iteration"] == iteration)]
    assert len(found)
    return found


def test_the_same_run_twice_is_the_same_function(outcome: Outcome) -> None:
    for iteration in (0, LAST):
        assert (scores(outcome, SAME_RUN_LABEL, iteration)[["score", "shared", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (scores(outcome, NEITHER_LABEL)["score"] > 0.01).all()


def test_zero_outputs_make_one_function_of_all_networks_and_drawn_ones_do_not(outcome: Outcome) -> None:
    assert (scores(outcome, NEITHER_LABEL, 0)["score"] == 0).all()
    assert any("by construction" in line for line in outcome.lines)
    assert not any("nan" in line for line in outcome.lines)  # two seeds have no standard error
    assert (scores(outcome, UNTRAINED_LABEL, 0)["score"] > 0.05).all()


def test_trained_networks_that_share_nothing_are_far_below_the_shuffled_control(outcome: Outcome) -> None:
    together, apart = scores(outcome, NEITHER_LABEL), scores(outcome, SHUFFLED_LABEL)
    assert together["ci_high"].max() < 0.8
    assert (apart["ci_low"] < 1.05).all()
    assert (apart["score"] > 0.95).all()


def test_start_shares_initial_weights_and_not_the_order(series: StudySeries) -> None:
    runs = {one.name: one for one in finished_runs(series)}
    weights = {name: checked_tensors.read(one.directory / "weights-0.safetensors")[0] for name, one in runs.items()}

    def same(a: str, b: str) -> bool:
        return all(torch.equal(weights[a][key], weights[b][key]) for key in weights[a])

    assert same("start-1/baseline seed 0", "seeds/baseline seed 1")
    assert not same("start-1/baseline seed 0", "seeds/baseline seed 0")
    assert runs["start-1/baseline seed 0"].spec.seed == 0  # the data order depends on it alone


def test_a_row_is_what_scipy_says_of_images_drawn_by_hand(series: StudySeries, outcome: Outcome) -> None:
    """Latents and labels from their streams, the labels the same for both, DDIM though the task is ancestral."""
    runs, data = {one.name: one for one in finished_runs(series)}, digits()
    streams, names = Streams("consistency"), ("seeds/baseline seed 0", "seeds/clts seed 1")
    latents = draw_normals(streams, "latents", 0, (LATENTS, 1, 8, 8))
    labels = torch.from_numpy(streams.at("labels").integers(10, size=LATENTS))
    images = [
        ddim(runs[name].network(LAST, data, CPU), runs[name].diffusion(data, CPU), latents, 3, labels).reshape(LATENTS, 64)
        for name in names
    ]
    apart = cdist(*images)
    row = scores(outcome, "clts against baseline, other seed").query("a == @names[0] and b == @names[1] and space == 'pixels'")
    assert row["shared"].item() == pytest.approx(np.diag(apart).mean(), rel=1e-5)
    assert row["different"].item() == pytest.approx(apart[~np.eye(LATENTS, dtype=bool)].mean(), rel=1e-5)
    assert row["fd_b"].item() == pd.read_csv(runs[names[1]].directory / "evals.csv").query("iteration == @LAST")["fd"].item()


def test_labels_reach_the_network(series: StudySeries) -> None:
    probe = Probe.of(series.task, LATENTS, CPU)
    assert probe.labels is not None
    assert len(probe.labels.unique()) > 5


def test_what_lies_beyond_seeds_is_between_less_the_mean_within(outcome: Outcome) -> None:
    for subject in ("clts", "channels-8"):
        between, within = (scores(outcome, f"{subject} {rest}") for rest in ("against baseline, other seed", "among itself"))
        table = outcome.tables["consistency-groups"].query("iteration == @LAST")
        for space in ("pixels", "features"):
            means = [one[one["space"] == space]["score"].mean() for one in (between, within, scores(outcome, NEITHER_LABEL))]
            row = table[(table["group"] == f"{subject} against baseline, other seed") & (table["space"] == space)]
            assert row["beyond"].item() == pytest.approx(means[0] - (means[1] + means[2]) / 2)
            assert row["beyond_low"].item() < row["beyond"].item() < row["beyond_high"].item()


def test_the_standard_error_over_seeds_is_that_of_twice_the_mean_effect_where_effects_of_seeds_add_up() -> None:
    """Score of a pair: 1 + u_a + u_b. The mean over all pairs is 1 + 2 mean(u), of standard error 2 sd(u) / sqrt(n)."""
    effects = np.array([0.1, -0.05, 0.02, 0.2, -0.1])

    def pair_scores(group: Group, shift: float) -> list[PairScore]:
        return [
            PairScore(
                0,
                GeneratorPair(group, "", "", frozenset((a, b))),
                "",
                Agreement(1 + shift + effects[a] + effects[b], 1, 0, np.ones(9)),
            )
            for a, b in combinations(range(5), 2)
        ]

    against, among = Group(Relation.OTHER_SEED, "m"), Group(Relation.AMONG_ITSELF, "m")
    measured = pair_scores(Group(Relation.AMONG_ITSELF, "another subject"), 7.0)
    measured += pair_scores(NEITHER, 0) + pair_scores(against, 0.3) + pair_scores(among, 0.1)
    expected = 2 * np.std(effects, ddof=1) / 5**0.5
    row = group_row(measured, against, "")
    assert row["seed_se"] == pytest.approx(expected)
    assert row["beyond"] == pytest.approx(0.3 - 0.05)
    assert row["beyond_seed_se"] == pytest.approx(0, abs=1e-12)  # the effects of seeds are the same in all three
    assert group_row(measured, NEITHER, "")["seed_se"] == pytest.approx(expected)
    two = [one for one in measured if one.pair.seeds <= {0, 1}]
    assert np.isnan(group_row(two, NEITHER, "")["seed_se"])  # without a seed no pair is left


def test_pairs_are_counted(outcome: Outcome) -> None:
    """Two seeds, a run once more, two with the other's start: of the baseline's pairs 1, 2, 2 and 2."""
    table = outcome.tables["consistency"].query("iteration == @LAST and space == 'pixels'")["group"].value_counts()
    assert [table[group] for group in (SAME_RUN_LABEL, SAME_START_LABEL, SAME_ORDER_LABEL, NEITHER_LABEL)] == [1, 2, 2, 2]
    assert table["clts against baseline, other seed"] == table["channels-8 against baseline, same seed"] == 2


def test_the_same_again_is_equal_to_the_byte(series: StudySeries, outcome: Outcome, tmp_path: Path) -> None:
    again = analyze_consistency(series, LATENTS, "cpu")
    files = [{path.name: path.read_bytes() for path in one.publish(tmp_path, "consistency")} for one in (outcome, again)]
    assert files[0] == files[1]
    assert sorted(files[0]) == ["consistency-grid.png", "consistency-groups.csv", "consistency.csv", "consistency.png"]


def test_pairs_come_in_order_of_their_groups() -> None:
    members = [trained(), trained(order=1, start=1), trained("again"), trained(method="clts")]
    assert [group_label(pair.group) for pair in group_pairs(members)][:2] == [SAME_RUN_LABEL, NEITHER_LABEL]
