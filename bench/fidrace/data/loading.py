"""Data sets by their kind: load them as arrays, or describe them without loading."""

from fidrace.data.base import Data
from fidrace.data.cifar10 import check_files, cifar10
from fidrace.data.digits import digits
from fidrace.data.image_folder import check_config, list_images, load_image_folder
from fidrace.errors import InputError
from fidrace.spec.task import DataConfig


def load_data(config: DataConfig) -> Data:
    """Load the data set that a task names. Raises Missing if it is absent, and InputError if its content is not the one the
    task was made for."""
    data = _load(config)
    if config.sha256 and data.sha256 != config.sha256:
        raise InputError(f"data set {config.kind!r} has SHA-256 {data.sha256}, the task was made for {config.sha256}")
    return data


def _load(config: DataConfig) -> Data:
    if config.kind == "digits":
        return digits()
    return cifar10(config) if config.kind == "cifar10" else load_image_folder(config)


def describe_data(config: DataConfig) -> str:
    """Describe the data set in one line, without decoding or writing anything. Raises Missing if it is absent, and InputError
    if it is damaged."""
    if config.kind == "digits":
        return "1,797 images of scikit-learn, packaged with fidrace"
    if config.kind == "cifar10":
        return f"{check_files(config)}: CIFAR-10, every file as published"
    root, names = list_images(config)
    check_config(config, root, len(names))
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return f"{root}: {len(names):,} images" + (f" in {len(folders):,} folders" if folders else "")
