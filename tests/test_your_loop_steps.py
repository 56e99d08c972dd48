"""fidrace.torch around the optimizer's step, beside torch's own schedulers, and whatever happens inside; and its log."""

import contextlib
import copy
import json
import types

import pytest
import torch

import fidrace.torch as fr
from fidrace.errors import InputError
from tests.loops import at, discrete, optimizer_of

SCHEDULERS = {
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "one-cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=20),
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3),  # multiplies the current learning rate
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("attached", [False, True])
def test_mdlrc_takes_the_learning_rate_and_beta1_for_a_step_and_gives_them_back(name, attached):
    own, _ = optimizer_of()
    own_schedule = SCHEDULERS[name](own)
    optimizer, weight = optimizer_of()
    schedule, race, inside = SCHEDULERS[name](optimizer), discrete("mdlrc", horizon=10), []
    optimizer.register_step_pre_hook(lambda *_: inside.append(None))
    if attached:
        race.attach(optimizer)
    optimizer.register_step_pre_hook(lambda one, *_: inside.append((one.param_groups[0]["lr"], one.param_groups[0]["betas"])))
    for n in range(10):
        own.step(), own_schedule.step()
        race(torch.tensor([1]))
        weight.grad = torch.ones(3)
        before = optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]
        if attached:
            optimizer.step()
        else:
            with race.step(optimizer):
                optimizer.step()
        left = 0.9 * (1 - n / 10)  # Demon, arXiv 1910.04952
        assert inside[-1] == (pytest.approx(before[0] * (1 - 0.09 * n)), (pytest.approx(left / (0.1 + left)), before[1][1]))
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == before
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == own.param_groups[0]["lr"]
        assert optimizer.param_groups[0]["betas"] == own.param_groups[0]["betas"]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Rprop, torch.optim.RMSprop])
def test_an_optimizer_without_beta1_is_refused_and_left_alone(kind):
    race = at(discrete("mdlrc"), 50)
    optimizer, _ = optimizer_of(kind)
    before = copy.deepcopy(optimizer.state_dict())
    race(torch.tensor([1]))
    with pytest.raises(InputError, match=f"{kind.__name__} has none"), race.step(optimizer):
        pass
    assert optimizer.state_dict() == before


@pytest.mark.parametrize("attached", [False, True])
def test_a_step_that_fails_gives_the_optimizer_s_numbers_back(attached, monkeypatch):
    race, (optimizer, weight) = at(discrete("mdlrc"), 50), optimizer_of()
    weight.grad = torch.ones(3)
    monkeypatch.setattr(optimizer, "step", lambda: 1 / 0)
    if attached:
        race.attach(optimizer)
    race(torch.tensor([1]))
    with pytest.raises(ZeroDivisionError), contextlib.nullcontext() if attached else race.step(optimizer):
        optimizer.step()
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"], race.n) == (1e-3, (0.9, 0.999), 50)


def test_a_race_is_attached_once_and_not_stepped_beside():
    race, (optimizer, _) = discrete("mdlrc"), optimizer_of()
    race.attach(optimizer)
    with pytest.raises(InputError, match="has a race already"):
        race.attach(optimizer)
    race(torch.tensor([1]))
    with pytest.raises(InputError, match="Use one of the two"), race.step(optimizer):
        optimizer.step()


def test_a_step_that_accelerate_only_accumulates_does_not_count():
    race, (optimizer, _) = discrete("uncertainty"), optimizer_of()
    optimizer.gradient_state = types.SimpleNamespace(sync_gradients=False)
    for n in range(4):
        optimizer.gradient_state.sync_gradients = n % 2 == 1
        race(torch.tensor([n, 900 + n]))
        with race.step(optimizer, torch.ones(2)):
            optimizer.step()
    assert race.n == 2


@pytest.mark.parametrize("rate", [1e-3, torch.tensor(1e-3)])
@pytest.mark.parametrize("name", ["mdlrc", "baseline"])
def test_a_scheduler_inside_the_step_is_refused(rate, name):
    race, (optimizer, weight) = at(discrete(name), 50), optimizer_of()
    optimizer.param_groups[0]["lr"] = before = rate
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    race(torch.tensor([1]))
    weight.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(InputError, match="call the scheduler after it"), race.step(optimizer):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == before


def test_the_log_of_a_loop_is_imported(tmp_path, fidrace):
    for name in ("baseline", "min-snr"):
        for seed in range(3):
            race = discrete(name, seed=seed)
            for step in (100, 200, 300):
                fid = torch.tensor(60.0 - step / 10 - (name == "min-snr"))
                file = fr.log(tmp_path / "logs", step=step, fid=fid, race=race)
    whole = file.read_text()
    with file.open("a") as stream:
        stream.write('{"step": 400, "fi')  # killed in the middle
    fr.log(tmp_path / "logs", step=400, fid=9.0, race=race)
    assert file.read_text().startswith(whole)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()[-2:]] == [300, 400]
    fidrace("import", "jsonl", file, "--out", tmp_path / "tables")
    assert "min-snr" in fidrace("score", tmp_path / "tables", "--target", "40").stdout
    with pytest.raises(InputError, match="fid is list, not a number"):
        fr.log(tmp_path, step=1, fid=[3.0])
    with pytest.raises(InputError, match="no distance"):
        fr.log(tmp_path, step=1, loss=3.0)
    with pytest.raises(InputError, match="step=-1 is not"):
        fr.log(tmp_path, step=-1, fid=3.0)
