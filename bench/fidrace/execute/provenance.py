"""What a run records of the machine and the code that it ran on."""

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch

from fidrace.spec.study import RunSpec
from fidrace.storage.atomic import Row
from fidrace.train.process_group import ProcessGroup

PACKAGES = ("fidrace", "torch", "numpy", "safetensors", "torch-fidelity")


def provenance(spec: RunSpec, ranks: ProcessGroup) -> Row:
    """The columns of a run's row that say where, by what code, and as which run it was executed."""
    return {
        "device": device_name(ranks),
        "precision": spec.own_task.speed.precision,
        "threads": spec.own_task.budget.threads,
        "config_hash": spec.own_task.fixed_hash(),
        "method_hash": spec.method_hash,
        "revision": revision(),
        "fidrace_version": version("fidrace"),
        "directory": str(spec.directory),
        "host": platform.node(),
        "pid": os.getpid(),
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Python and the packages whose versions can change the last digits of a run."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def device_name(ranks: ProcessGroup) -> str:
    """The device of a run, such as `cpu x86_64` or `2 x NVIDIA A100`."""
    one = torch.cuda.get_device_name(ranks.device) if ranks.device.type == "cuda" else f"cpu {platform.machine()}"
    return one if ranks.count == 1 else f"{ranks.count} x {one}"


@lru_cache
def revision() -> str:
    """The git commit of this code, with `-dirty` if files have changed since; empty outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""

    if not git("ls-files", Path(__file__).name):  # an installed copy inside another project's checkout
        return ""
    return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ":/bench", ":/methods") else "")
