"""`fidrace import openai`: what guided-diffusion's evaluator printed, and names of improved- or guided-diffusion's checkpoints.

guided-diffusion @22e0df8, evaluations/evaluator.py:55-60 prints Inception Score, FID, sFID, Precision and Recall, a line each;
checkpoints are `model050000.pt` and `ema_0.9999_050000.pt` (train_util.py:271-281; the rate is read as the fact `ema`). The
evaluator sees samples only, so each output needs a checkpoint's name: in it, or in its file's name.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from fidrace.readers.log import Reading, Wanted
from fidrace.readers.printed import NUMBER, Dialect, read_printed

EVALUATOR = {"FID": re.compile(rf"FID:\s*{NUMBER}")}  # not sFID
DIALECT = Dialect(
    "openai",
    "iterations",
    re.compile(r"(?:(?<![A-Za-z])model|ema_(?P<ema>0?\.\d+)_)(?P<progress>\d{6,})(?:\.pt)?"),
    EVALUATOR,
    rename=lambda facts: {"ema": "none", **facts},
)


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """Files of evaluator.py's output, named after checkpoints or with their names in them."""
    return read_printed(paths, wanted, DIALECT)
