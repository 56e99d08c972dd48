"""`fidrace import tensorboard`: event files, through TensorBoard's own reader (pip install 'fidrace[tensorboard]').

The axis is each event's own step. SpeeD's logger (tools/log_utils.py:67) writes without steps: every point is then at 0, and
such a file is refused. A resumed run writes a further file, so a fall of the step is a restart.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fidrace.errors import InputError
from fidrace.readers.log import Evaluation, Reading, Wanted, choose_distance, kind_of, likely, nothing_found
from fidrace.score.columns import ITERATIONS

READER = "tensorboard"
FRAME = 16  # bytes around each record of a file: its length, and two checksums
STEP = "step"


def read(paths: Sequence[Path], wanted: Wanted) -> Reading:
    """Event files, or folders of them; --columns fid=TAG chooses the tag, kimg=step says that steps count kimg."""
    if len([path for path in paths if path.is_dir()]) > 1:
        raise InputError(f"{paths[0]} and {paths[1]}: two folders may be two runs; import one after the other")
    files = [file for path in paths for file in event_files(path)]
    said = wanted.unit_and_column()
    if said and said[1] != STEP:
        raise InputError(f"--columns {said[0]}={said[1]}: events have a step only; write {said[0]}=step")
    points, remarks = [], []
    for file in files:
        found, cut = scalars(file)
        points += found
        remarks += cut
    if not points:
        raise nothing_found(files[0], "no scalars", READER, remarks)
    tag = choose_distance(files[0], [name for name, *_ in points], wanted)
    chosen = [(step, value, place) for name, step, value, place in points if name == tag]
    if len(chosen) > 1 and {step for step, *_ in chosen} == {0}:
        raise InputError(f"{files[0]}: all {len(chosen)} events of {tag!r} are at step 0: this log was written without steps")
    unit = said[0] if said else ITERATIONS
    evaluations = [Evaluation(float(step), value, place) for step, value, place in chosen]
    return Reading(unit, kind_of(tag), evaluations, remarks=remarks, appended=True, files=files)


def event_files(path: Path) -> list[Path]:
    """The event files of a folder, in the order of their names, which begin with the time; or the file itself."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*tfevents*"))
    if not files:
        raise InputError(f"{path}: no event file (*tfevents*) in this folder")
    return files


def scalars(path: Path) -> tuple[list[tuple[str, int, float, str]], list[str]]:
    """The scalars of one file: tag, step, value and place; and a remark if the file ends within a record."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
    except ModuleNotFoundError as error:
        raise InputError(f"event files need {error.name}: pip install 'fidrace[tensorboard]'") from None

    size = path.stat().st_size
    found: list[tuple[str, int, float, str]] = []
    read = 0
    try:
        for n, record in enumerate(RawEventFileLoader(str(path)).Load(), 1):
            read += len(record) + FRAME
            event = Event.FromString(record)
            found += [(tag, event.step, value, f"{path}: event {n}") for tag, value in values_of(event)]
    except (DecodeError, ValueError, TypeError) as error:
        raise InputError(f"{path}: no event file: {' '.join(str(error).split())}{likely(path, READER)}") from None
    if not read:
        raise InputError(f"{path}: no event file, or an empty one{likely(path, READER)}")
    return found, [] if read == size else [f"{path}: cut off or damaged after {read:,} of {size:,} bytes; the rest is left out"]


def values_of(event: Any) -> Iterator[tuple[str, float]]:
    """The scalars of one event, by tag: torch writes simple values, TensorFlow 2 tensors of one number."""
    from tensorboard.util.tensor_util import make_ndarray

    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield value.tag, float(value.simple_value)
        elif value.HasField("tensor") and value.metadata.plugin_data.plugin_name in ("", "scalars"):
            array = make_ndarray(value.tensor)
            if array.size == 1 and array.dtype.kind in "fiu":
                yield value.tag, float(array.reshape(()))
