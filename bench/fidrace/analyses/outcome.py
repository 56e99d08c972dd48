"""The result of an analysis: tables, pictures and findings in words."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fidrace.storage.atomic import write_atomic
from fidrace.storage.tables import csv_text


@dataclass(frozen=True)
class Outcome:
    """`tables` by the name of their file; `picture`, a PNG; `lines`, one finding each; `grids`, further PNGs by name."""

    tables: dict[str, pd.DataFrame]
    picture: bytes
    lines: list[str]
    grids: dict[str, bytes] = field(default_factory=dict)

    def publish(self, folder: Path, kind: str) -> list[Path]:
        """Write `kind`.png, the other pictures and the tables into `folder`; return the paths."""
        files = {folder / f"{kind}.png": self.picture, **{folder / f"{name}.png": grid for name, grid in self.grids.items()}}
        for name, table in self.tables.items():
            files[folder / f"{name}.csv"] = csv_text(table).encode()
        for path, content in files.items():
            write_atomic(path, content)
        return sorted(files)
