"""`fidrace import flow-matching`: log.txt of its image example, one JSON object an epoch, and args.json beside it.

facebookresearch/flow_matching @11568d3, examples/image/train.py:163-209: `epoch` counts from 0, so that the line of epoch 99 is
written after 100 epochs; `eval_fid` stands in every eval_frequency-th. A resumed run appends. args.json (45-48) has batch_size
(per GPU), accum_iter, world_size, seed, fid_samples, ode_method, ode_options, cfg_scale and use_ema, whose decay is 0.999
(models/ema.py:16).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fidrace.readers.columns import as_text, number
from fidrace.readers.log import Reading, Wanted, check_files, nothing_found
from fidrace.readers.records import read_configuration, read_records, records_of

READER = "flow-matching"
FACTS = {"n": "fid_samples", "sampler": "ode_method", "guidance": "cfg_scale"}


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """flow_matching's log.txt, or the folder that holds it."""
    paths = [path / "log.txt" if path.is_dir() else path for path in paths]
    check_files(paths, READER, most=1)
    path = paths[0]
    records, remarks = records_of(path, READER)
    if not any("epoch" in row for _, row, _ in records):
        raise nothing_found(path, "no line has an epoch", READER, remarks)
    rows = [(place, {**row, "epoch": number(row["epoch"], place, "epoch") + 1}) for place, row, _ in records if "epoch" in row]
    if not any("eval_fid" in row for _, row in rows) and "fid" not in wanted.columns:
        raise nothing_found(path, "no line has eval_fid: it was trained without --compute_fid", READER, remarks)
    wanted = replace(wanted, columns={"epoch": "epoch", "fid": "eval_fid", **wanted.columns})
    reading = read_records(path, rows, wanted, READER)
    options = path.parent / "args.json"
    arguments = read_configuration(options)
    files = [path, options] if options.exists() else [path]
    seed = as_text(arguments.get("seed"))
    return replace(reading, metric="fid", facts=facts_of(arguments), seed=seed, remarks=remarks, appended=True, files=files)


def facts_of(arguments: dict[str, Any]) -> dict[str, str]:
    """What args.json tells of how FID was measured, and of the global batch."""
    facts = {ours: as_text(arguments.get(theirs)) for ours, theirs in FACTS.items()}
    if "use_ema" in arguments:
        facts["ema"] = "0.999" if arguments["use_ema"] else "none"
    sizes = [size for name in ("batch_size", "accum_iter", "world_size") if isinstance(size := arguments.get(name), int)]
    if len(sizes) == 3:
        facts["batch"] = str(math.prod(sizes))
    options = arguments.get("ode_options")
    step = options.get("step_size") if isinstance(options, dict) else None
    if isinstance(step, float) and step > 0:
        facts["sampling_steps"] = str(round(1 / step))
    return {name: value for name, value in facts.items() if value}
