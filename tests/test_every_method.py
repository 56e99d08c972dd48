"""What holds for every method of the registry, and that `--check` finds a method for which it does not."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from fidrace.method.base import NoiseSchedule
from fidrace.method.conformance import examine
from fidrace.method.noise_schedule import parse_noise_schedule
from fidrace.method.registry import Registry
from fidrace.method.rehearsal import ideal_loss, rehearse
from fidrace.train.diffusion import Diffusion
from tests.test_formulas import GRIDS, HORIZON, NAMES, REGISTRY, prepared

BARE = ["tuned"]  # which changes nothing without a setting, as test_tuning.py has it
VARIANTS = [
    *sorted({*NAMES} - {*BARE}),
    "tuned[lr=0.002]",
    "speed[variant=code]",
    "logit-normal[weight=eps]",
    "clts[sigma=0.1]",
    "clts+stratified",
]

DRAWING = [name for name in VARIANTS if {"timesteps", "uniforms"} & REGISTRY.compose(name).claims.keys()]
DRAWS = 400_000  # 100 expected at each of 4,000 timesteps
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def uniforms() -> np.ndarray:
    return np.random.default_rng(0).random((DRAWS // 500, 500))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", DRAWING)
def test_drawn_timesteps_follow_the_density(name: str, grid: str, uniforms: np.ndarray) -> None:
    """4 sigma for the whole family of timesteps, by Bonferroni: 1000 to 4000 of them would pass 4 sigma one by one by chance
    now and then. Tenths of T are held to 4 sigma as they stand."""
    composition, done = prepared(name, grid), 0
    T = len(parse_noise_schedule(grid))
    for n in (0, HORIZON // 2, HORIZON):
        rehearse(composition, done, n, batch=500)
        done = n
        p = composition.timestep_density(n)
        expected = DRAWS * (np.full(T, 1 / T) if p is None else p)
        drawn = np.bincount(np.concatenate([composition.timesteps(u, n) for u in uniforms]), minlength=T)
        assert not drawn[expected == 0].any()
        tenths = [np.add.reduceat(each, np.arange(0, T, T // 10)) for each in (drawn, expected)]
        assert (np.abs(tenths[0] - tenths[1]) <= 4 * np.sqrt(np.maximum(tenths[1], 1))).all()
        common = expected > 50  # rare timesteps are pooled, so that counts are near-Gaussian
        observed, awaited = (np.append(each[common], each[~common].sum()) for each in (drawn, expected))
        family = stats.norm.isf(stats.norm.sf(4) / len(awaited))
        assert (np.abs(observed - awaited) <= family * np.sqrt(np.maximum(awaited, 1))).all()
        if "stratified" not in name and "code" not in name:  # whose draws are not independent
            assert stats.chisquare(observed[awaited > 0], awaited[awaited > 0]).pvalue > 1e-5


WEIGHTING = [name for name in NAMES if "weight" in REGISTRY.methods[name]().aspects()]


@pytest.mark.parametrize("name", WEIGHTING)
@pytest.mark.parametrize("schedule", GRIDS)
def test_one_predictor_as_eps_x0_and_v_has_one_weighted_loss(name: str, schedule: str) -> None:
    """By the harness, and by hand: w on the eps-MSE is w S on the x0-MSE and w S / (S + 1) on the v-MSE."""
    abar = parse_noise_schedule(schedule)
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(0, len(abar) - 1, len(abar) // 100)
    x0 = torch.rand(len(t), 1, 8, 8, generator=generator, dtype=torch.float64) * 2 - 1
    eps, error = torch.randn(2, *x0.shape, generator=generator, dtype=torch.float64)
    a = torch.tensor(abar)[t][:, None, None, None]
    x0_hat = x0 - ((1 - a) / a).sqrt() * error  # what eps + error says of x0
    v_hat = a.sqrt() * (eps + error) - (1 - a).sqrt() * x0_hat
    v = a.sqrt() * eps - (1 - a).sqrt() * x0
    said = {"eps": eps + error, "x0": x0_hat, "v": v_hat}
    snr = (a / (1 - a)).flatten()
    factor = {"eps": torch.ones_like(snr), "x0": snr, "v": snr / (snr + 1)}
    mse = {kind: (said[kind] - true).square().flatten(1).mean(1) for kind, true in {"eps": eps, "x0": x0, "v": v}.items()}
    losses, by_hand = {}, {}
    for kind in ("eps", "x0", "v"):
        method = REGISTRY.compose(name)
        method.prepare(NoiseSchedule(abar, kind, horizon=HORIZON))  # type: ignore[arg-type]
        rehearse(method, 0, 300, batch=500)
        w = method.loss_weight(300)
        w = torch.ones(len(t)).double() if w is None else torch.tensor(w)[t]
        network = lambda x, scaled, labels, kind=kind: said[kind].float()  # noqa: E731
        loss = Diffusion(abar, kind).eps_mse(network, x0.float(), eps.float(), t)  # type: ignore[arg-type]
        losses[kind], by_hand[kind] = float((w * loss).mean()), float((w * factor[kind] * mse[kind]).mean())
    assert list(by_hand.values()) == pytest.approx([by_hand["eps"]] * 3, rel=1e-9)
    assert list(losses.values()) == pytest.approx([by_hand["eps"]] * 3, rel=1e-3)


@pytest.mark.parametrize("of", ["beta", "edm-lognormal", "gaussian", "laplace", "logit-normal"])
def test_a_density_s_draws_and_its_objective_come_apart(of: str) -> None:
    """E over t of w: p w is the objective's share of each timestep; the density's own p, or the baseline's 1/T."""
    p = prepared(of).timestep_density(0)
    np.testing.assert_allclose(prepared(f"as-weight[of={of}]").loss_weight(0) / len(p), p, rtol=1e-12)
    corrected = prepared(f"corrected[of={of}]")
    np.testing.assert_array_equal(corrected.timestep_density(0), p)
    np.testing.assert_allclose((p * corrected.loss_weight(0))[p > 0], 1 / len(p), rtol=1e-12)


def test_min_snr_is_what_its_paper_says_on_each_prediction() -> None:
    """min(S, 5) on the x0-MSE and min(S, 5) / (S + 1) on the v-MSE."""
    abar = parse_noise_schedule("cosine-1000")
    snr = abar / (1 - abar)
    w = prepared("min-snr").loss_weight(0)
    for prediction, published in (("x0", np.clip(snr, None, 5)), ("v", np.clip(snr, None, 5) / (snr + 1))):
        to_eps = Diffusion(abar, prediction).to_eps_mse.double().numpy()  # type: ignore[arg-type]
        np.testing.assert_allclose(w * to_eps, published, rtol=1e-5)


def test_the_ideal_denoiser_of_gaussian_data_has_the_loss_that_regression_finds() -> None:
    rng = np.random.default_rng(0)
    schedule = NoiseSchedule(parse_noise_schedule("linear-1000"), sigma_data=0.75)
    for t in (10, 300, 800):
        x0, eps = 0.75 * rng.standard_normal(10**6), rng.standard_normal(10**6)
        x = np.sqrt(schedule.abar[t]) * x0 + np.sqrt(1 - schedule.abar[t]) * eps
        left = eps - x * (x @ eps) / (x @ x)
        assert ideal_loss(schedule)[t] == pytest.approx(left.var(), rel=0.01)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_method_passes_the_checks(name: str) -> None:
    assert [wrong for _, wrong in examine(REGISTRY, name) if wrong] == []


FAULTS = {
    "sums to 0.9": "def timestep_density(self, progress): return np.full(self.schedule.T, 0.9 / self.schedule.T)",
    "negative": "def timestep_density(self, progress): p = np.full(self.schedule.T, 2.0); p[0] = -1; return p / p.sum()",
    "not finite": "def loss_weight(self, progress): return np.where(np.arange(self.schedule.T) == 3, np.nan, 1.0)",
    "every weight is 0": "def loss_weight(self, progress): return np.zeros(self.schedule.T)",
    "not an array of": "def loss_weight(self, progress): return np.ones(self.schedule.T + 1)",
    "beta1 is 1": "def optimizer(self, progress): return 1.0, progress",
    "multiplied by -": "def optimizer(self, progress): return 0.5 - progress, None",
    "is drawn": "def timesteps(self, u, progress): return np.round(u * self.schedule.T).astype(int)",
    "sigma off": "def timesteps(self, u, progress): return (u**1.1 * self.schedule.T).astype(int)",
    "not int64": "def timesteps(self, u, progress): return u * (self.schedule.T - 1)",
    "asked twice": "def optimizer(self, progress): return np.random.random(), None",
    "another order": "def optimizer(self, progress): self.first = getattr(self, 'first', progress); return self.first, None",
    "after others": "\n".join(
        [
            "seen = []",
            "    def observe(self, t, loss): self.seen.append(1)",
            "    def optimizer(self, progress): return float(len(self.seen)), None",
        ]
    ),
    "saved and restored": "\n".join(
        [
            "def prepare(self, schedule): super().prepare(schedule); self.seen = 0",
            "    def observe(self, t, loss): self.seen += 1",
            "    def optimizer(self, progress): return float(self.seen), None",
        ]
    ),
    "30 iterations after": "\n".join(
        [
            "def prepare(self, schedule): super().prepare(schedule); self.seen, self.half = 0, 0",
            "    def observe(self, t, loss): self.seen += 1; self.half = self.seen // 50",
            "    def optimizer(self, progress): return float(self.half), None",
            "    def state_dict(self): return {'half': np.array(self.half)}",
            "    def load_state_dict(self, state): self.half = int(state['half'])",
        ]
    ),
    "twice the budget": "def optimizer(self, progress): return 1 - 0.9 * progress, None",
    "after 250 iterations": "\n".join(
        [
            "def prepare(self, schedule): super().prepare(schedule); self.seen = 0",
            "    def observe(self, t, loss): self.seen += 1",
            "    def optimizer(self, progress): return (1.0 if self.seen < 200 else 0.1), None",
        ]
    ),
    "read-only": "def loss_weight(self, progress): self.schedule.abar[:9] = 0.3; return np.ones(self.schedule.T)",
    "predicting v": "def loss_weight(self, progress): s = self.schedule; return s.snr * (np.nan if s.prediction == 'v' else 1)",
    "batches of 1, 7 and 64": "def uniforms(self, u): return u[:50]",
    "SystemExit": "def loss_weight(self, progress): raise SystemExit(0)",
    "ZeroDivisionError": "def loss_weight(self, progress): return np.ones(self.schedule.T) * (1 // round(progress))",
    "claims no aspect": "def observe(self, t, loss): pass",
    "answers as the baseline does": "\n".join(
        [
            "def timestep_density(self, progress): return np.full(self.schedule.T, 1 / self.schedule.T)",
            "    def loss_weight(self, progress): return np.ones(self.schedule.T)",
            "    def optimizer(self, progress): return 1.0, None",
            "    def uniforms(self, u): return u + 0",
        ]
    ),
    "loss_weights is no hook; did you mean 'loss_weight'?": "\n".join(
        [
            "def loss_weights(self, progress): return np.ones(self.schedule.T)",
            "    def optimizer(self, progress): return 0.5, None",
        ]
    ),
    "optimiser is no hook; did you mean 'optimizer'?": "\n".join(
        ["@property", "    def optimiser(self): return 0.5", "    def optimizer(self, progress): return 0.5, None"]
    ),
    "zzz is no hook (choices: aspects, ": "\n".join(
        ["zzz = staticmethod(len)", "    def optimizer(self, progress): return 0.5, None"]
    ),
}


@pytest.mark.parametrize("named", FAULTS)
def test_the_checks_name_what_is_wrong(named: str, tmp_path: Path) -> None:
    head = "import numpy as np\nfrom fidrace.method import Method\n"
    line = 'class Faulty(Method, name="faulty", source="a test", evidence="inferred"):\n'
    (tmp_path / "faulty.py").write_text(f"{head}{line}    {FAULTS[named]}\n")
    assert any(named in wrong for _, wrong in examine(Registry([tmp_path]), "faulty"))  # the later checks are not run


def test_what_changes_something_by_its_own_helpers_or_late_passes(tmp_path: Path) -> None:
    """Public helpers that the class calls are no misspelt hooks; a part of a composition must change something alone."""
    late = [
        "class Late(Method, name='late', source='a test', evidence='inferred'):",
        "    def prepare(self, schedule): super().prepare(schedule); self.begin()",
        "    def begin(self): self.count = 0",
        "    def observe(self, t, loss): self.count += 1",
        "    def loss_weight(self, progress): return np.full(self.schedule.T, 0.5 if self.count >= 900 else 1.0)",
        "    def state_dict(self): return {'count': np.array(self.count)}",
        "    def load_state_dict(self, state): self.count = int(state['count'])",
    ]
    (tmp_path / "late.py").write_text("\n".join(["import numpy as np", "from fidrace.method import Method", *late]))
    registry = Registry([tmp_path])
    assert [wrong for _, wrong in examine(registry, "late") if wrong] == []
    found = [wrong for _, wrong in examine(registry, "p2[gamma=0]+clts") if wrong]
    assert len(found) == 1
    assert found[0].startswith("p2[gamma=0.0] changes nothing")
    assert [wrong for _, wrong in examine(registry, "baseline") if wrong] == []


def test_the_docs_have_a_row_for_every_method_and_for_nothing_else() -> None:
    """What a row says of aspects, horizon and evidence is what the registry says."""
    rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", (ROOT / "docs" / "methods.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == NAMES
    for name, rest in rows:
        method = REGISTRY.methods[name]
        changes, horizon, evidence = (cell.strip() for cell in rest.split("|")[:3])
        said = (", ".join(method().aspects()) or "nothing", "yes" if method.depends_on_horizon() else "no", method.evidence)
        assert (changes, horizon, evidence) == said, name
