"""The checkpoints that a foreign trainer leaves, by the optimizer steps that their names tell."""

import hashlib
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fidrace.errors import InputError
from fidrace.spec.trainer import TrainerConfig, compile_pattern


def find_checkpoints(out: Path, trainer: TrainerConfig) -> dict[int, Path]:
    """The checkpoints below `out` by their steps, in order. Raises InputError if two have one number of steps."""
    pattern, found = compile_pattern(trainer.checkpoints), dict[int, Path]()
    for folder, _, names in os.walk(out):
        for name in names:
            path = Path(folder, name)
            match = pattern.fullmatch(path.relative_to(out).as_posix())
            if match:
                step = step_of(match[trainer.unit], path.relative_to(out), trainer)
                if step in found and trainer.resume:  # a trainer that begins a new folder when it resumes
                    found[step] = max(found[step], path, key=lambda one: one.stat().st_mtime)
                    continue
                if step in found:
                    raise InputError(
                        f"trainer.checkpoints matches {found[step].relative_to(out)} and {path.relative_to(out)}, both of step "
                        f"{step}: it must match one file for each step"
                    )
                found[step] = path
    return dict(sorted(found.items()))


def step_of(text: str | None, path: Path, trainer: TrainerConfig) -> int:
    """The steps that a checkpoint's name tells; raises InputError for one that is no number."""
    try:
        return round(float(text or "") * trainer.steps_per_unit)
    except (ValueError, OverflowError):
        raise InputError(f"trainer.checkpoints matches {path}, and {trainer.unit} is {text!r}, no number") from None


def choose_checkpoints(steps: Sequence[int], found: dict[int, Path], trainer: TrainerConfig) -> dict[int, Path]:
    """The checkpoint of each evaluation; raises InputError if there is none, or one would serve two."""
    chosen = {step: checkpoint_at(step, found, trainer) for step in steps}
    served: dict[Path, int] = {}
    for step, path in chosen.items():
        if path in served:
            raise InputError(
                f"{path.name} would be measured as step {served[path]} and {step}: choose fewer evaluations, or save more often"
            )
        served[path] = step
    return chosen


def checkpoint_at(step: int, found: dict[int, Path], trainer: TrainerConfig) -> Path:
    """The checkpoint of `step`, or one whose name rounds to it. Raises InputError, naming what there is."""
    if not found:
        raise InputError(
            f"the command has left no checkpoint: trainer.checkpoints {trainer.checkpoints!r} matches no file below {{out}}"
        )
    nearest = min(found, key=lambda one: abs(one - step))
    if abs(nearest - step) > trainer.rounding:
        there = ", ".join(map(str, found)) if len(found) < 10 else f"{min(found)} to {max(found)}, {len(found)} of them"
        raise InputError(
            f"no checkpoint at step {step}: there are {there}; choose budget and evaluations so that each evaluation has one"
        )
    return found[nearest]


def content_hash(path: Path) -> str:
    """SHA-256 of a checkpoint: of what torch.save wrote the tensors' bytes alone, and else the whole file.

    torch.save pickles everything around the tensors, and how a pickle refers to equal objects changes with a resumption:
    two files of equal content would differ. A damaged archive counts as a file.
    """
    digest = hashlib.sha256()
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        tensors = [name for name in archive.namelist() if name.partition("/")[2].startswith("data/")]
        if tensors and archive.testzip() is None:
            for name in tensors:
                digest.update(f"{name.partition('/')[2]}\n".encode() + archive.read(name))
            return digest.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
