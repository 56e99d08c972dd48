"""What this machine has, and what a task or study still needs; each missing thing comes with the line that fixes it."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fidrace.data.cifar10 import fetch_cifar10
from fidrace.data.loading import describe_data
from fidrace.errors import InputError
from fidrace.evaluate.inception import fetch_weights, weights_path
from fidrace.execute.local import devices
from fidrace.execute.preflight import check_methods
from fidrace.spec.study import Study
from fidrace.spec.task import Task
from fidrace.storage.cache import cache_path, open_verified
from fidrace.train.architectures import check_network

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """The result of looking for `what`; if it is not `present`, `text` ends with the fix."""

    what: str
    text: str
    present: bool = True


def describe_machine() -> list[Finding]:
    """torch, devices and number formats of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    capability = torch.backends.cpu.get_cpu_capability()
    native = "native bf16" if torch.cpu._is_avx512_bf16_supported() else "emulated bf16, which is slow"
    findings = [
        Finding("torch", f"{torch.__version__}, Python {platform.python_version()}"),
        Finding("cpu", f"{platform.machine()}, {cores} cores, {capability}, {native}, {memory:.0f} GiB"),
    ]
    gpus = [name for name in devices("auto") if name != "cpu"]
    for name in gpus:
        properties = torch.cuda.get_device_properties(name)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
        findings.append(Finding(name, f"{properties.name}, {properties.total_memory / GIB:.0f} GiB, {bf16}"))
    return findings if gpus else [*findings, Finding("gpu", "none that torch can use: runs use the CPU")]


def find_needs(task: Task) -> list[Finding]:
    """Data, disk space, weights, reference and optional packages that a task needs."""
    findings = [look_for("data", lambda: describe_data(task.data)), look_for_space(task)]
    if task.quality.features == "inception":
        findings.append(look_for("weights", lambda: describe_weights(task)))
    if task.quality.reference:
        present = task.quality.reference.is_file()
        findings.append(Finding("reference", f"{task.quality.reference}{'' if present else ': no such file'}", present))
    if task.network.kind == "diffusers":
        present = importlib.util.find_spec("diffusers") is not None
        text = "installed" if present else "not installed; pip install 'fidrace[diffusers]'"
        findings.append(Finding("diffusers", text, present))
    return findings


def check_study(study: Study) -> list[Finding]:
    """What a run of this study needs: `find_needs` of its task, and that its network and its methods can be built. No image is
    decoded and nothing is written."""
    task, findings = study.own_task, find_needs(study.own_task)
    if all(finding.present for finding in findings if finding.what == "diffusers"):
        checks = {"network": lambda: check_network(task.network, task.data.shape, task.diffusion.learned_sigma)}
    else:
        checks = {}
    checks["methods"] = lambda: check_methods(study)
    return findings + [look_for(what, check) for what, check in checks.items()]


def look_for(what: str, look: Callable[[], str | None]) -> Finding:
    """The finding of `look`, which describes what is there or raises InputError."""
    try:
        return Finding(what, look() or "")
    except InputError as error:
        return Finding(what, str(error), present=False)


def describe_weights(task: Task) -> str:
    """The path of Inception's weights; raises InputError if they are missing or are not the ones that the task names."""
    path = task.quality.weights or weights_path()
    with open_verified(path, task.quality.features_sha256, f"`fidrace doctor {task.name} --fetch` gets it, 91 MiB"):
        return f"{path}, SHA-256 as the task names it"


def look_for_space(task: Task) -> Finding:
    """Whether the cache has room for the task's resized images."""
    existing = next(folder for folder in (cache_path(), *cache_path().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free / GIB
    channels, height, width = task.data.shape
    needed = (task.data.images or 0) * channels * height * width / GIB if task.data.kind in ("imagenet", "folder") else 0.0
    purpose = f", {needed:.0f} needed for the images at {height}x{width}" if needed else ""
    text, present = f"{cache_path()}: {free:.0f} GiB free{purpose}", free > needed
    return Finding("cache", text if present else f"{text}; set FIDRACE_CACHE=DIR to use another disk", present)


def fetch(task: Task) -> None:
    """Download the missing data and weights of a task that are published for everyone; for anything else `find_needs` tells
    the user what to do. Raises InputError if a download fails."""
    if task.quality.features == "inception" and not (task.quality.weights or weights_path()).is_file():
        fetch_weights(task.quality.weights or weights_path())
    if task.data.kind == "cifar10" and not look_for("data", lambda: describe_data(task.data)).present:
        fetch_cifar10(task.data)
