"""What a run multiplies float32 in is its own setting, and both of torch's sets of flags can be read whatever it is."""

from collections.abc import Iterator

import pytest
import torch

from fidrace.data.loading import load_data
from fidrace.evaluate.features import load_features
from fidrace.method.registry import Registry
from fidrace.spec.task import load_task
from fidrace.train.loop import Training
from fidrace.train.precision import full_precision
from fidrace.train.process_group import ProcessGroup

TRUE = (False, False, "highest", "ieee", "ieee", "ieee")
TF32 = (True, True, "high", "tf32", "tf32", "ieee")  # the CPU keeps true float32


@pytest.fixture(autouse=True)
def _leave_the_flags() -> Iterator[None]:
    with full_precision():
        yield


def flags() -> tuple[bool | str, ...]:
    """The older flags (products, convolutions, products by name), then the newer ones (products, convolutions, the CPU's)."""
    older = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    newer = (
        one.fp32_precision for one in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.mkldnn.matmul)
    )
    return *older, *newer


def build(precision: str) -> Training:
    task = load_task("digits", {"speed.precision": precision, "optimizer.batch": 8})
    return Training(task, Registry().compose("baseline"), 0, load_data(task.data), ProcessGroup(torch.device("cpu")))


def record_inside(training: Training) -> list[tuple[bool | str, ...]]:
    """The flags at every forward pass of the network or of its average from now on."""
    seen: list[tuple[bool | str, ...]] = []
    for network in (training.network, training.ema):
        network.register_forward_pre_hook(lambda module, inputs: seen.append(flags()))
    return seen


@pytest.mark.parametrize("order", [("fp32", "tf32"), ("tf32", "fp32"), ("tf32", "bf16")])
def test_each_run_computes_in_its_own_precision_whichever_was_built_last(order: tuple[str, str], one_thread: None) -> None:
    runs = [build(precision) for precision in order]
    seen = [record_inside(run) for run in runs]
    for _ in range(2):
        for run in runs:
            run.step()
            run.predict(torch.zeros(2, 1, 8, 8), torch.zeros(2))
    for precision, inside in zip(order, seen, strict=True):
        assert inside == [TF32 if precision == "tf32" else TRUE] * 4


@pytest.mark.parametrize(("precision", "expected"), [("fp32", TRUE), ("bf16", TRUE), ("tf32", TF32)])
@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_after_a_run_both_sets_of_flags_can_be_read_and_agree(
    before: str, precision: str, expected: tuple[bool | str, ...], one_thread: None
) -> None:
    torch.set_float32_matmul_precision(before)
    run = build(precision)
    run.step()
    assert flags() == expected
    with full_precision():
        assert flags() == TRUE
    assert flags() == expected


@pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
def test_features_leave_what_a_program_chose_by_the_older_flags(chosen: str) -> None:
    torch.set_float32_matmul_precision(chosen)
    torch.backends.cudnn.allow_tf32 = True
    before = flags()
    load_features(load_task("digits").quality, torch.device("cpu"))(torch.zeros(2, 1, 8, 8))
    assert flags() == before
    assert before[2] == chosen
