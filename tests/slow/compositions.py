"""Every method by itself for 200 steps on digits, and every allowed composition of two: none may fail.

    python -m tests.slow.compositions [STEPS [STEPS_OF_TWO]]      0 leaves a half out; docs/methods.md has its last outcome

Alone a method trains as the task says and is evaluated; together two train on batches of 16. A run fails if a hook raises, or
if a loss or a weight of the average is not finite.
"""

import sys
from collections import Counter
from itertools import combinations
from time import process_time

import torch

from fidrace.data.loading import load_data
from fidrace.errors import InputError
from fidrace.evaluate.evaluator import Evaluator
from fidrace.method.composition import Composition
from fidrace.method.registry import Registry
from fidrace.spec.task import Task, load_task
from fidrace.train.loop import Training
from fidrace.train.process_group import ProcessGroup

REGISTRY = Registry()
BRIEF = {"budget.iterations": 200, "budget.evaluations": 1, "quality.samples": 300}


def train(task: Task, method: Composition, steps: int) -> tuple[Training, str]:
    """The training after `steps`, and what went wrong with it."""
    one = Training(task, method, 0, load_data(task.data), ProcessGroup(torch.device("cpu")))
    try:
        one.advance(steps)
        one.observe_losses()
    except Exception as error:
        return one, f"{type(error).__name__}: {error}"
    finite = all(parameter.isfinite().all() for parameter in one.ema.parameters())
    return one, "" if finite else "the average is not finite"


def alone(steps: int) -> int:
    task, start, failed = load_task("digits", BRIEF), process_time(), 0
    data = load_data(task.data)
    for name in REGISTRY.methods:
        one, wrong = train(task, REGISTRY.compose(name), steps)
        distance = float("nan") if wrong else float(Evaluator(task, data, one).measure(lambda: None)[0]["fd"])
        failed += bool(wrong)
        print(f"{name}: {wrong or f'FD {distance:.1f}'}", flush=True)
    print(f"{len(REGISTRY.methods)} methods, {failed} failed, {(process_time() - start) / 60:.0f} CPU minutes", flush=True)
    return failed


def together(steps: int) -> int:
    task, start = load_task("digits", BRIEF | {"optimizer.batch": 16}), process_time()
    found: Counter[str] = Counter()
    for pair in combinations(REGISTRY.methods, 2):
        try:
            composed = REGISTRY.compose("+".join(pair))
            _, wrong = train(task, composed, steps)
        except InputError:  # both claim one aspect, or one claims none
            found["refused"] += 1
            continue
        found["failed" if wrong else "raced"] += 1
        if wrong:
            print(f"{composed}: {wrong}", flush=True)
    for outcome, count in found.most_common():
        print(f"{count} pairs {outcome}")
    print(f"{(process_time() - start) / 60:.0f} CPU minutes", flush=True)
    return found["failed"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    steps, steps_of_two = [*map(int, sys.argv[1:]), *[200, 200][len(sys.argv) - 1 :]]
    failed = (alone(steps) if steps else 0) + (together(steps_of_two) if steps_of_two else 0)
    sys.exit(bool(failed))
