"""A pickle that runs code where it is opened."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Marking:
    """Its unpickling makes the folder `marker`."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.marker),)
