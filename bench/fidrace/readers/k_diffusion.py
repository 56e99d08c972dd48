"""`fidrace import k-diffusion`: NAME_metrics.csv, which its train.py writes with --evaluate-every.

Columns step, time, loss, fid, kid (crowsonkb/k-diffusion @4601bf0, train.py:328,393). `time` is seconds of training alone;
`step` counts micro-batches under --grad-accum-steps (503). A resumed run appends. FID is of --evaluate-n samples, 2,000 by
default (56), against as many training images: for a perfect model it is about 30 then.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fidrace.readers.csv_file import open_table, read_table
from fidrace.readers.log import Reading, Wanted, check_files, nothing_found, whole_lines

COLUMNS = ("step", "time", "fid")
ASK_N = "k-diffusion writes nowhere how many samples its FID is of (2,000 unless --evaluate-n): say --fact n=2000"


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """k-diffusion's NAME_metrics.csv."""
    check_files(paths, "k-diffusion", most=1)
    path = paths[0]
    lines, remarks = whole_lines(path)
    names = lines[0].strip().split(",") if lines else []
    if missing := [name for name in COLUMNS if name not in names]:
        raise nothing_found(path, f"no column {missing[0]!r}, which k-diffusion's metrics have", "k-diffusion", remarks)
    file = open_table(path, wanted, "k-diffusion")
    if remarks:  # the row that was cut off
        file = replace(file, table=file.table.iloc[:-1], text="\n".join(lines) + "\n")
    columns = {"step": "step", "seconds": "time", **wanted.columns}
    reading = read_table(file, replace(wanted, columns=columns), "k-diffusion")
    return replace(reading, appended=True, remarks=[*reading.remarks, *remarks, ASK_N])
