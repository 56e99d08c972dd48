"""A run's checkpoints in its folder. Two are kept, so that a damaged one costs minutes and not the run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fidrace.errors import InputError
from fidrace.storage import checked_tensors as sealed
from fidrace.storage.checked_tensors import Tensors

FORMAT = 2  # version of the tensors' and facts' names
CHECKPOINTS_KEPT = 2
CHECKPOINT_REMEDY = "remove it, and the same command resumes from the checkpoint before it, or from the start"


class Checkpoints:
    """The checkpoints of one run. Only the process that has the run may save or clear."""

    def __init__(self, folder: Path, run: str):
        self.folder, self.run = folder, run
        self.whole: list[Path] = []  # known to be undamaged, oldest first

    def latest(self, warn: Callable[[str], None]) -> tuple[Tensors, dict[str, Any]] | None:
        """The newest undamaged state, or None; `warn` is called for damaged ones. Raises InputError if it belongs to another
        run or another version's format."""
        for path in reversed(paths := checkpoints(self.folder)):
            try:
                tensors, facts = sealed.read(path)
            except (sealed.Damaged, OSError) as error:
                instead = "the checkpoint before it" if path != paths[0] else "the start"
                warn(f"{path}: damaged ({error}); resuming from {instead}")
                continue
            if facts.get("format") != FORMAT:
                raise InputError(f"{path}: format {facts.get('format')}, this fidrace reads {FORMAT}; {CHECKPOINT_REMEDY}")
            if facts.get("run") != self.run:
                raise InputError(f"{path}: belongs to the run {facts.get('run')}; {CHECKPOINT_REMEDY}")
            self.whole = [path]
            return tensors, facts
        return None

    @contextmanager
    def restore_errors(self) -> Iterator[None]:
        """Convert errors raised while restoring the latest state into an InputError that names its file."""
        try:
            yield
        except (RuntimeError, LookupError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.whole[-1]}: does not fit this run ({reason}); {CHECKPOINT_REMEDY}") from error

    def save(self, iteration: int, tensors: Tensors, facts: dict[str, Any]) -> None:
        """Write a checkpoint, then remove all but the last CHECKPOINTS_KEPT undamaged ones."""
        path = self.folder / f"checkpoint-{iteration:09}.safetensors"
        sealed.write(path, tensors, {"format": FORMAT, "run": self.run, **facts})
        self.whole = [*(kept for kept in self.whole if kept != path), path][-CHECKPOINTS_KEPT:]
        for other in checkpoints(self.folder):
            if other not in self.whole and not other.is_dir():
                other.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all checkpoints."""
        for path in checkpoints(self.folder):
            if not path.is_dir():
                path.unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoint files in `folder`, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def add_prefix(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def strip_prefix(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's state as tensors named `parameter/key`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{key}": value for index, entry in state.items() for key, value in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, steps: int) -> None:
    """Load the optimizer's state after `steps` steps; raises ValueError if it does not fit.

    Moments get their parameters' memory layout, since a fused step walks both in memory order.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {f"{index}/{key}": p.shape for index, p in enumerate(parameters) for key in ("exp_avg", "exp_avg_sq")}
    counts = {name: float(value) for name, value in tensors.items() if name.endswith("/step")}
    given = {name: value.shape for name, value in tensors.items() if name not in counts}
    if not given.items() <= moments.items() or len(given) != 2 * len(counts):  # unused weights have no moments
        raise ValueError("the optimizer's moments belong to another network")
    if {*counts.values()} != ({steps} if steps else set()):
        raise ValueError(f"the optimizer has not made {steps} steps")
    state: dict[int, Tensors] = {}
    for name, value in tensors.items():
        index, key = name.split("/")
        parameter = parameters[int(index)]
        laid_out = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
        state.setdefault(int(index), {})[key] = laid_out.detach()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
