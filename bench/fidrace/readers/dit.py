"""`fidrace import dit`: what guided-diffusion's evaluator printed of samples by DiT, SiT, fast-DiT or REPA.

Their sample_ddp.py names sample files DiT-XL-2-0400000-size-256-vae-ema-cfg-1.5-seed-0.npz (facebookresearch/DiT @ed81ce2,
sample_ddp.py:39,86-88; REPA's generate.py:95-96 adds -sde): iterations, guidance and the seed of *sampling* stand in the name.
The seed of training stands nowhere.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from fidrace.readers.log import Reading, Wanted
from fidrace.readers.openai import EVALUATOR
from fidrace.readers.printed import Dialect, read_printed

DIALECT = Dialect(
    "dit",
    "iterations",
    re.compile(
        r"(?P<progress>\d{7})-size-\d+-vae-[A-Za-z0-9]+-cfg-(?P<guidance>\d+(?:\.\d+)?)-seed-\d+(?:-(?P<sampler>[a-z]+))?(?:\.npz)?"
    ),
    EVALUATOR,
)


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """Files of evaluator.py's output, named after DiT's sample files or with their names in them."""
    return read_printed(paths, wanted, DIALECT)
