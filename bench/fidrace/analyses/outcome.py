"""What an analysis found: tables, a picture, and what a person reads first."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fidrace.storage.atomic import write_atomic


@dataclass(frozen=True)
class Outcome:
    """`tables` by the name of their file; `picture`: a PNG; `lines`: the findings, one each; `grids`: further PNGs by name."""

    tables: dict[str, pd.DataFrame]
    picture: bytes
    lines: list[str]
    grids: dict[str, bytes] = field(default_factory=dict)

    def publish(self, folder: Path, kind: str) -> list[Path]:
        """Write `kind`.png and the tables into `folder`; returns the files."""
        files = {folder / f"{kind}.png": self.picture, **{folder / f"{name}.png": grid for name, grid in self.grids.items()}}
        for name, table in self.tables.items():
            files[folder / f"{name}.csv"] = table.to_csv(index=False, lineterminator="\n").encode()
        for path, content in files.items():
            write_atomic(path, content)
        return sorted(files)
