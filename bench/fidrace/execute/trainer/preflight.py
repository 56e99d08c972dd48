"""Checks of a study with a trainer before it starts, and what its commands will be."""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from fidrace.errors import InputError
from fidrace.evaluate.sample_distance import reference_of
from fidrace.execute.trainer.checkpoints import find_checkpoints
from fidrace.spec.command import command_words
from fidrace.spec.study import Study
from fidrace.spec.trainer import TrainerTask


def check_trainer(study: Study) -> None:
    """Raise InputError if no run of this study could start, or none could be measured."""
    trainer = trainer_of(study).trainer
    assert trainer.source
    if not trainer.source.is_dir():
        raise InputError(f"trainer.source {trainer.source}: no such folder")
    find_checkpoints(trainer.source / "{out}", trainer)
    own_fid = trainer.fid.command if trainer.fid else ""
    commands = {"command": trainer.command, "resume": trainer.resume, "evaluate": trainer.evaluate, "fid": own_fid}
    for name, template in commands.items():
        for method in study.methods if template and not trainer.shell else ():
            program = command_words(template, {"arguments": trainer.arguments_of(method), "method": method})[0]
            here = trainer.source / program if "/" in program else Path(shutil.which(program) or "")
            if not here.is_file() or not os.access(here, os.X_OK):
                raise InputError(f"trainer.{name}: no program {program!r} that can be started in {trainer.source}")
    if trainer.fid is None:
        reference_of(trainer.ref_path(), trainer.features, torch.device("cpu"))


def command_lines(study: Study) -> Iterator[str]:
    """The first command of each method, and how its checkpoints are measured, as somebody would type them."""
    task = trainer_of(study)
    trainer = task.trainer
    yield f"in {trainer.source}:"
    for method in study.methods:
        out = Path("OUT")
        values = {"out": out, "seed": study.seeds[0], "method": method, "budget": task.budget.iterations}
        words = command_words(trainer.command, {**values, "arguments": trainer.arguments_of(method)}, trainer.shell)
        yield f"  {shlex.join(words)}"
    steps = ", ".join(map(str, task.budget.evaluation_steps()))
    yield f"then each checkpoint at steps {steps}: {trainer.evaluate or 'no samples of its own'}"


def trainer_of(study: Study) -> TrainerTask:
    assert isinstance(study.task, TrainerTask)
    return study.task
