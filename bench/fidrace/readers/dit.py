"""`fidrace import dit`: what guided-diffusion's evaluator printed of samples by DiT, SiT, fast-DiT or REPA.

Their sample_ddp.py names sample files DiT-XL-2-0400000-size-256-vae-ema-cfg-1.5-seed-0.npz (facebookresearch/DiT @ed81ce2,
sample_ddp.py:39,86-88; REPA's generate.py:95-96 adds -sde): iterations, guidance and the seed of *sampling* stand in the name.
SiT's are SiT-XL-2-0400000-cfg-1.0-64-ODE-250-dopri5 (willisma/SiT @a87098c, sample_ddp.py): sampler and its steps, no seed.
The seed of training stands nowhere.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from fidrace.readers.log import Reading, Wanted
from fidrace.readers.openai import EVALUATOR
from fidrace.readers.printed import Dialect, read_printed


def join_names(facts: dict[str, str]) -> dict[str, str]:
    """The facts of either form of name, under the same names."""
    sampler = "-".join(filter(None, (facts.get("mode"), facts.get("kind", "").lower(), facts.get("solver"))))
    told = {"guidance": facts.get("guidance") or facts.get("cfg", ""), "sampler": sampler}
    return {name: text for name, text in {**told, "sampling_steps": facts.get("sampling_steps", "")}.items() if text}


DIALECT = Dialect(
    "dit",
    "iterations",
    re.compile(
        r"(?P<progress>\d{7,})-(?:size-\d+-vae-[A-Za-z0-9]+-cfg-(?P<guidance>\d+(?:\.\d+)?)-seed-\d+(?:-(?P<mode>[a-z]+))?"
        r"|cfg-(?P<cfg>\d+(?:\.\d+)?)-\d+-(?P<kind>ODE|SDE)-(?P<sampling_steps>\d+)-(?P<solver>[A-Za-z0-9]+))(?:\.npz)?"
    ),
    EVALUATOR,
    rename=join_names,
)


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """Files of evaluator.py's output, named after DiT's sample files or with their names in them."""
    return read_printed(paths, wanted, DIALECT)
