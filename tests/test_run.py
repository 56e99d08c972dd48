"""One run: interrupted and resumed it is the uninterrupted one, bit for bit; what goes wrong in it stays in it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.execute.events import Event
from fidrace.execute.run import Interrupted, Run
from fidrace.method.registry import Registry
from fidrace.spec.study import RunSpec, define_study
from fidrace.storage import checked_tensors as sealed
from fidrace.train.architectures import build_network
from fidrace.train.checkpoint import checkpoints
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

CHANGES = {
    "budget.evaluations": 3,
    "quality.samples": 80,
    "sampler.steps": 2,
    "optimizer.batch": 16,
    "quality.heldout_repeats": 1,
    "network.dropout": 0.1,
    "optimizer.warmup": 5,
}
ALONE = ProcessGroup(torch.device("cpu"))
TIMES = ["train_seconds"]

ADAPTIVE = '''
import numpy as np
from fidrace.method import Floats, Ints, Method

class Adaptive(Method, name="adaptive", source="a test", evidence="inferred"):
    """Weights each tenth of t by the inverse of its running loss."""

    def prepare(self, schedule):
        super().prepare(schedule)
        self.mean = np.ones(10)

    def observe(self, t: Ints, loss: Floats) -> None:
        for tenth, value in zip(t * 10 // self.schedule.T, loss):
            self.mean[tenth] = 0.9 * self.mean[tenth] + 0.1 * value

    def loss_weight(self, progress: float) -> Floats:
        return 1 / self.mean[np.arange(self.schedule.T) * 10 // self.schedule.T]

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"].copy()
'''


def spec(method: str, folder: Path, **changes: object) -> RunSpec:
    (folder / "methods").mkdir(exist_ok=True)
    (folder / "methods" / "adaptive.py").write_text(ADAPTIVE)
    study = define_study("digits", [method], "3,", 36, changes=CHANGES | changes, methods_path=[str(folder / "methods")])
    return next(one for one in study.specs() if one.method == study.methods[-1])


def run(one: RunSpec, root: Path, stop_after: int | None = None) -> tuple[Run, list[Event]]:
    """Execute, asking it to stop after so many iterations of this call."""
    events: list[Event] = []
    work = Run(one, root, ALONE, events.append)
    begun: list[int] = []

    def should_stop() -> bool:
        begun.append(work.training.iteration)
        return stop_after is not None and work.training.iteration - begun[0] >= stop_after

    if stop_after is None:
        work.execute(should_stop)
    else:
        with pytest.raises(Interrupted):
            work.execute(should_stop)
    return work, events


def without_times(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / "evals.csv").drop(columns=TIMES)


SHORT = {"diffusion.timesteps": 20}  # so that `importance` has seen every timestep before the end


@pytest.mark.parametrize(
    ("method", "stops", "changes"),
    [
        ("baseline", (12,), {}),
        ("clts+mdlrc", (36,), {}),
        ("adaptive", (5, 10, 15), {}),
        ("uncertainty", (5, 10, 15), {}),
        ("difficulty-curriculum[stages=3]", (5, 17), {}),
        ("importance", (5, 20), SHORT),
        ("importance[history=4]+stratified+mdlrc", (13,), SHORT),
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    method: str, stops: tuple[int, ...], changes: dict[str, object], tmp_path: Path
) -> None:
    one = spec(method, tmp_path, **changes)
    whole, _ = run(one, tmp_path / "whole")
    for stop in stops:
        run(one, tmp_path / "parts", stop_after=stop)
        assert checkpoints(tmp_path / "parts" / one.directory)
    parts, _ = run(one, tmp_path / "parts")
    assert not checkpoints(tmp_path / "parts" / one.directory)
    for name in ("ema.safetensors", "samples.png"):
        first, second = ((tmp_path / side / one.directory / name).read_bytes() for side in ("whole", "parts"))
        assert first == second, name
    tables = [without_times(tmp_path / side / one.directory) for side in ("whole", "parts")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    mine, theirs = whole.training.tensors(), parts.training.tensors()
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine)


def test_the_adaptive_methods_of_these_tests_do_adapt(tmp_path: Path) -> None:
    def state(method: str, **changes: object) -> dict[str, np.ndarray]:
        return run(spec(method, tmp_path, **changes), tmp_path)[0].training.method.state_dict()

    assert np.ptp(state("adaptive")["adaptive.mean"]) > 0.01
    assert np.ptp(state("uncertainty")["uncertainty.mean"]) > 0.01
    assert state("difficulty-curriculum[stages=3]")["difficulty-curriculum.pace"][0] == 3
    assert state("importance", **SHORT)["importance.seen"].min() >= 10


def test_evaluations_come_on_the_grid_and_once_past_the_budget(tmp_path: Path) -> None:
    work, events = run(spec("baseline", tmp_path), tmp_path)
    assert [row["iteration"] for row in work.evaluations] == [0, 12, 24, 36, 48]
    assert [event.iteration for event in events if event.kind == "evaluation"] == [0, 12, 24, 36, 48]
    row = work.row
    assert (row["status"], row["iterations"], row["images"], row["forwards"]) == ("finished", 48, 48 * 16, 48)
    assert 0 < row["train_seconds"] == pytest.approx(work.training.seconds, abs=1e-3)


def test_training_time_excludes_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations made slow by a second each leave the training clock as it was, however busy the machine."""
    from time import perf_counter, sleep

    from fidrace.execute.run import Evaluator
    from fidrace.train.loop import Training

    measure, advance, spent = Evaluator.measure, Training.advance, []

    def timed(self: Training, iterations: int) -> None:
        start = perf_counter()
        advance(self, iterations)
        spent.append(perf_counter() - start)

    monkeypatch.setattr(Training, "advance", timed)
    monkeypatch.setattr(Evaluator, "measure", lambda self, pause: (sleep(1), measure(self, pause))[1])
    work, _ = run(spec("baseline", tmp_path), tmp_path)
    assert work.eval_seconds > 5
    assert 0 < work.training.seconds <= sum(spent)


def test_a_loss_that_stops_being_finite_ends_the_run_as_diverged_with_what_it_measured(tmp_path: Path) -> None:
    work, events = run(spec("baseline", tmp_path, **{"optimizer.lr": 1e30}), tmp_path)
    assert work.row["status"] == "diverged"
    assert "not finite" in work.row["error"]
    table = pd.read_csv(tmp_path / work.spec.directory / "evals.csv")
    assert table["iteration"].tolist()[0] == 0
    assert len(table) < 5
    assert events[-1].facts["status"] == "diverged"


def test_held_out_loss_is_one_grid_for_all_seeds_and_its_bins_average_to_it(tmp_path: Path) -> None:
    work, _ = run(spec("baseline", tmp_path), tmp_path)
    grid = work.evaluator.heldout
    other = Run(spec("clts", tmp_path), tmp_path, ALONE, lambda event: None).evaluator.heldout
    assert all(torch.equal(getattr(grid, name), getattr(other, name)) for name in ("x0", "t", "index"))
    rows = torch.arange(297)
    assert torch.equal(grid.noise(rows), torch.cat([other.noise(part) for part in rows.split(100)]))
    assert (np.diff(grid.t.numpy()) >= 0).all()
    assert grid.t.double().mean() == pytest.approx(500, abs=2)
    assert sorted(grid.index.tolist()) == list(range(297))
    sizes = [len(part) for part in np.array_split(np.arange(297), 10)]
    last = work.evaluations[-1]
    bins = [last[f"val_loss_bin{k}"] for k in range(10)]
    assert last["val_loss"] == pytest.approx(np.average(bins, weights=sizes))
    assert work.evaluations[0]["val_loss"] == pytest.approx(1, abs=0.05)  # the zero network's eps-MSE is that of noise


def test_adams_bias_correction_by_the_current_beta_is_within_one_percent_of_the_exact_one() -> None:
    """What `Training.set_optimizer` says of torch's 1 - beta^step against 1 - prod(beta_i) over mdlrc's schedule."""
    from fidrace.methods.mdlrc import demon_beta

    horizon = 500
    betas = np.array([demon_beta(n / horizon, 0.9) for n in range(horizon)])
    used, exact = 1 - betas ** np.arange(1, horizon + 1), 1 - np.cumprod(betas)
    assert np.abs(exact / used - 1).max() < 0.01
    assert np.abs(exact / used - 1)[60:].max() < 1e-3


def test_the_distance_of_many_samples_is_measured_once_at_the_budget_and_survives_a_stop(tmp_path: Path) -> None:
    one = spec("baseline", tmp_path, **{"quality.final_samples": 300, "quality.kid": True})
    whole, _ = run(one, tmp_path / "whole")
    at_budget = next(row for row in whole.evaluations if row["iteration"] == 36)
    assert whole.row["final_samples"] == 300
    assert 0 < whole.row["final_fd"] < at_budget["fd"]  # fewer samples, larger distance
    assert all(row["kid"] > 1 for row in whole.evaluations)  # far from real images; of samples and themselves it is below 0
    run(one, tmp_path / "parts", stop_after=40)
    parts, _ = run(one, tmp_path / "parts")
    assert parts.row["final_fd"] == whole.row["final_fd"]
    assert "final_fd" not in run(spec("baseline", tmp_path), tmp_path)[0].row


def test_code_of_a_method_that_changed_since_its_study_began_is_noticed(tmp_path: Path) -> None:
    one = spec("adaptive", tmp_path)
    (tmp_path / "methods" / "adaptive.py").write_text(ADAPTIVE.replace("0.9", "0.8"))
    with pytest.raises(InputError, match=r"'adaptive' on .* is not the code that this study started with"):
        Run(one, tmp_path, ALONE, lambda event: None)


def test_weights_of_every_evaluation_are_kept_where_asked_and_nothing_else_changes(tmp_path: Path) -> None:
    whole, kept = spec("baseline", tmp_path), spec("baseline", tmp_path, **{"budget.keep_weights": True})
    assert kept.directory == whole.directory  # the same study
    run(whole, tmp_path / "whole")
    run(kept, tmp_path / "kept")
    mine, theirs = tmp_path / "kept" / kept.directory, tmp_path / "whole" / whole.directory
    weights = {int(path.stem.partition("-")[2]): sealed.read(path)[0] for path in mine.glob("weights-*.safetensors")}
    assert sorted(weights) == [0, 12, 24, 36, 48]
    assert {path.name for path in theirs.iterdir()} == {path.name for path in mine.iterdir() if "weights" not in path.name}
    assert without_times(mine).equals(without_times(theirs))
    for name, value in sealed.read(theirs / "ema.safetensors")[0].items():
        assert torch.equal(weights[48][name], value)
    initial = build_network(kept.task.network, (1, 8, 8), kept.seed).state_dict()
    assert all(torch.equal(weights[0][name], value) for name, value in initial.items())


def test_the_initial_weights_can_be_another_seeds(tmp_path: Path) -> None:
    def start(seed: int, init: int | None) -> dict[str, torch.Tensor]:
        config = spec("baseline", tmp_path, **{} if init is None else {"network.init": init}).task.network
        return build_network(config, (1, 8, 8), seed).state_dict()

    assert all(torch.equal(start(3, 0)[name], value) for name, value in start(0, None).items())
    assert not all(torch.equal(start(3, None)[name], value) for name, value in start(0, None).items())


def test_a_clipped_gradient_keeps_its_direction_and_has_the_norm_that_was_asked_for(tmp_path: Path) -> None:
    def gradient(**changes: float) -> torch.Tensor:
        one = spec("baseline", tmp_path, **changes)
        training = Training(one.task, Registry().compose("baseline"), 3, load_data(one.task.data), ALONE)
        for _ in range(3):  # the output is zero at first, and most gradients with it
            training.step()
        return torch.cat([parameter.grad.flatten() for parameter in training.network.parameters()])

    free, clipped, loose = gradient(), gradient(**{"optimizer.clip": 1e-3}), gradient(**{"optimizer.clip": 1e6})
    assert torch.equal(free, loose)
    assert float(clipped.norm()) == pytest.approx(1e-3, rel=1e-3)
    assert free.norm() > 1e-2
    # Adam's steps do not know a gradient's scale, so that the first of them are alike
    assert torch.nn.functional.cosine_similarity(free, clipped, dim=0) > 0.999
