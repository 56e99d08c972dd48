"""Data sets by their kind: whether they are there, and as arrays."""

from fidrace.data.base import Data
from fidrace.data.cifar10 import check_files, cifar10
from fidrace.data.digits import digits
from fidrace.data.image_folder import check_config, list_images, load_image_folder
from fidrace.errors import InputError
from fidrace.spec.task import DataConfig


def load_data(config: DataConfig) -> Data:
    """The data set that a task names; raises Missing where it is not there, and InputError where its content is not what
    the task was made for."""
    data = _load(config)
    if config.sha256 and data.sha256 != config.sha256:
        raise InputError(f"data set {config.kind!r} has SHA-256 {data.sha256}, the task was made for {config.sha256}")
    return data


def _load(config: DataConfig) -> Data:
    if config.kind == "digits":
        return digits()
    return cifar10(config) if config.kind == "cifar10" else load_image_folder(config)


def describe_data(config: DataConfig) -> str:
    """What is there, as a line for a person; nothing is decoded or written. Raises Missing where nothing is, and
    InputError where it is damaged."""
    if config.kind == "digits":
        return "1,797 images in the package scikit-learn"
    if config.kind == "cifar10":
        return f"{check_files(config)}: CIFAR-10, every file as published"
    root, names = list_images(config)
    check_config(config, root, len(names))
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return f"{root}: {len(names):,} images" + (f" in {len(folders):,} folders" if folders else "")
