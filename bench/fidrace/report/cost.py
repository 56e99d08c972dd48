"""The cost of a study, in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidrace.execute.estimate import Estimate
    from fidrace.spec.task import Task


def cost_lines(task: "Task", one: "Estimate", runs: int) -> list[str]:
    """Network size, memory and time of `runs` runs that each cost `one`."""
    peak = f"; {size_text(one.peak_bytes)} measured at most" if one.peak_bytes else ""
    budget = task.budget
    trains, draws = ("at most " if field else "" for field in (budget.stop, budget.stop or budget.search))
    hours = f"{draws}{time_text(3600 * runs * one.hours)} of one {'GPU' if one.on_gpu else 'worker on this CPU'}"
    return [
        f"network: {one.parameters:,} parameters, {flops_text(one.flops)} a step of {task.optimizer.batch} images",
        f"memory: {size_text(one.state_bytes)} for weights, gradients, optimizer state and average, and about "
        f"{size_text(one.activation_bytes)} of activations, if all were float32, "
        f"for {task.microbatch_size()} images at a time{peak}",
        f"time: {one.step_seconds:.3g} s a step on {one.device}, measured over a few steps; "
        f"a run trains for {trains}{time_text(one.train_seconds)} and draws samples for {draws}{time_text(one.eval_seconds)}",
        f"the whole study, {runs} runs: {hours}; computing the features of samples comes on top",
    ]


def size_text(count: float) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def time_text(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h" if hours >= 1 else f"{seconds:.0f} s"


def flops_text(flops: float) -> str:
    return f"{flops / 1e12:,.2f} TFLOP" if flops >= 1e12 else f"{flops / 1e9:,.2f} GFLOP"
