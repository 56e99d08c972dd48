"""The files that a run leaves in its directory. Rank 0 writes them; the other ranks' calls do nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from fidrace.data.base import Images, select_images
from fidrace.evaluate.sample_grid import MOST_IN_FRAME, frame_png, grid_png
from fidrace.storage import checked_tensors as sealed
from fidrace.storage.atomic import Row, sweep, write_atomic, write_json
from fidrace.storage.checked_tensors import Tensors
from fidrace.storage.tables import EVAL_COLUMNS, FRAME, REAL, with_extra_columns, write_table
from fidrace.train.process_group import ProcessGroup

GRID_SAMPLES = 100  # samples in the picture of the latest evaluation


class RunFiles:
    """Rows, pictures and weights of one run."""

    def __init__(self, directory: Path, ranks: ProcessGroup):
        self.directory, self.ranks = directory, ranks

    def prepare(self) -> None:
        """Make the directory, and remove what an interrupted write left in it."""
        if self.ranks.is_first:
            self.directory.mkdir(parents=True, exist_ok=True)
            sweep(self.directory)

    def write_row(self, row: Row) -> None:
        """Write run.json, the row of runs.csv; not over the failure of another rank."""
        if self.ranks.is_first and not self.ranks.failure():
            write_json(self.directory / "run.json", row)

    def write_evaluations(self, rows: Sequence[Row]) -> None:
        """Write evals.csv."""
        if self.ranks.is_first:
            write_table(self.directory / "evals.csv", *with_extra_columns([*rows], EVAL_COLUMNS))

    def write_pictures(self, images: Tensor, iteration: int, latest: bool) -> None:
        """Write a frame of images[N, C, H, W], samples at an iteration, and if it is the latest also the larger picture."""
        if self.ranks.is_first:
            if latest:
                write_atomic(self.directory / "samples.png", grid_png(images[:GRID_SAMPLES]))
            write_atomic(self.directory / FRAME.format(iteration), frame_png(images))

    def write_real(self, images: Images) -> None:
        """Write a frame of images[N, C, H, W], real ones, beside the task's runs, unless another run has."""
        path = self.directory.parents[1] / REAL
        if self.ranks.is_first and not path.exists():
            write_atomic(path, frame_png(select_images(images, np.arange(min(len(images), MOST_IN_FRAME)))))

    def write_weights(self, name: str, weights: Tensors) -> None:
        """Write the averaged weights to the file `name`."""
        if self.ranks.is_first:
            sealed.write(self.directory / name, weights, {})
