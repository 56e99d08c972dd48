"""The averaged weights of earlier evaluation points, kept as long as a search may ask for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fidrace.errors import InputError
from fidrace.storage import checked_tensors as sealed
from fidrace.storage.tables import KEPT, RUN_REMEDY
from fidrace.train.checkpoint import CHECKPOINTS_KEPT

if TYPE_CHECKING:  # the command, which asks for most_kept alone, would wait a second and a half for the rest
    from fidrace.train.loop import Training


def most_kept(step: int) -> int:
    """The most files of a run at a time: those that each of its checkpoints may ask for, and the one being written."""
    return CHECKPOINTS_KEPT * (step + 1) + 1


class KeptWeights:
    """The kept weights of one run, a file for each iteration. All ranks read them; only the process that has the run may keep
    or sweep."""

    def __init__(self, directory: Path, training: "Training"):
        self.directory, self.training = directory, training
        self.needed: list[set[int]] = []  # iterations that the last checkpoints may still ask for

    def path(self, iteration: int) -> Path:
        return self.directory / KEPT.format(iteration)

    def keep(self, iteration: int) -> None:
        """Write the present averaged weights, those of `iteration`."""
        sealed.write(self.path(iteration), dict(self.training.ema.state_dict()), {})

    @contextmanager
    def put_back(self, iteration: int) -> Iterator[None]:
        """Exchange the averaged weights for those of an earlier iteration until the block ends. Raises InputError if they
        cannot be read."""
        ema = self.training.ema
        present = {name: tensor.clone() for name, tensor in ema.state_dict().items()}
        try:
            tensors, _ = sealed.read(self.path(iteration))
            ema.load_state_dict(tensors)
        except (sealed.Damaged, OSError, RuntimeError) as error:
            ema.load_state_dict(present)
            raise InputError(f"{self.path(iteration)}: cannot be read ({' '.join(str(error).split())}); {RUN_REMEDY}") from None
        try:
            yield
        finally:
            ema.load_state_dict(present)

    def sweep(self, needed: set[int]) -> None:
        """Remove the weights that no kept checkpoint may ask for; `needed`: the iterations that the newest may ask for."""
        self.needed = [*self.needed, needed][-CHECKPOINTS_KEPT:]
        if len(self.needed) < CHECKPOINTS_KEPT:
            return
        paths = {self.path(iteration) for iterations in self.needed for iteration in iterations}
        for path in self.directory.glob(KEPT.format("*")):
            if path not in paths:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all kept weights."""
        for path in self.directory.glob(KEPT.format("*")):
            path.unlink(missing_ok=True)
