"""What this machine has of what a task needs; of what is missing, the one line that gets it."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fidrace.data.cifar10 import fetch_cifar10
from fidrace.data.loading import describe_data as found_data
from fidrace.errors import InputError
from fidrace.evaluate.inception import fetch_weights, weights_path
from fidrace.execute.local import devices
from fidrace.spec.task import Task
from fidrace.storage.cache import cache_path, open_verified

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """`what` was looked for and what was `said` of it; where it is not `there`, that ends with what to do."""

    what: str
    said: str
    there: bool = True


def machine() -> list[Finding]:
    """Of any machine: torch, devices, number formats."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    capability = torch.backends.cpu.get_cpu_capability()
    native = "bf16 natively" if torch.cpu._is_avx512_bf16_supported() else "bf16 emulated, which is slow"
    found = [
        Finding("torch", f"{torch.__version__}, Python {platform.python_version()}"),
        Finding("cpu", f"{platform.machine()}, {cores} cores, {capability}, {native}, {memory:.0f} GiB"),
    ]
    gpus = [name for name in devices("auto") if name != "cpu"]
    for name in gpus:
        properties = torch.cuda.get_device_properties(name)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
        found.append(Finding(name, f"{properties.name}, {properties.total_memory / GIB:.0f} GiB, {bf16}"))
    return found if gpus else [*found, Finding("gpu", "none that torch can use: runs go to the CPU")]


def needs(task: Task) -> list[Finding]:
    """What a task needs beyond a machine."""
    found = [ask("data", lambda: found_data(task.data)), describe_space(task)]
    if task.quality.features == "inception":
        found.append(ask("weights", lambda: describe_weights(task)))
    if task.quality.reference:
        there = task.quality.reference.is_file()
        found.append(Finding("reference", f"{task.quality.reference}{'' if there else ': no such file'}", there))
    if task.network.kind == "diffusers":
        there = importlib.util.find_spec("diffusers") is not None
        found.append(Finding("diffusers", "installed" if there else "not there; pip install 'fidrace[diffusers]'", there))
    return found


def ask(what: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(what, question())
    except InputError as error:
        return Finding(what, str(error), there=False)


def describe_weights(task: Task) -> str:
    """Where Inception's weights are; raises InputError where they are not, or are others."""
    path = task.quality.weights or weights_path()
    with open_verified(path, task.quality.features_sha256, f"`fidrace doctor {task.name} --fetch` gets it, 91 MiB"):
        return f"{path}, SHA-256 as the task names it"


def describe_space(task: Task) -> Finding:
    """Whether images brought to size would fit into the cache."""
    place = next(folder for folder in (cache_path(), *cache_path().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free / GIB
    channels, height, width = task.data.shape
    needed = (task.data.images or 0) * channels * height * width / GIB if task.data.kind in ("imagenet", "folder") else 0.0
    said = f"{cache_path()}: {free:.0f} GiB free" + (
        f", {needed:.0f} needed for the images at {height}x{width}" if needed else ""
    )
    there = free > needed
    return Finding("cache", said if there else f"{said}; FIDRACE_CACHE=DIR names another place", there)


def fetch(task: Task) -> None:
    """Download what a task needs and anybody may have; what is there already stays, and of what nobody can fetch for you
    `needs` tells. Raises InputError where a download fails."""
    if task.quality.features == "inception" and not (task.quality.weights or weights_path()).is_file():
        fetch_weights(task.quality.weights or weights_path())
    if task.data.kind == "cifar10" and not ask("data", lambda: found_data(task.data)).there:
        fetch_cifar10(task.data)
