"""Data sets by their kind: load them as arrays, or describe them without loading."""

from pathlib import Path

import numpy as np

from fidrace.data.base import Data, content_sha256
from fidrace.data.cifar10 import check_files, cifar10
from fidrace.data.image_folder import check_config, list_images, load_image_folder
from fidrace.data.mnist import mnist, mnist_file
from fidrace.errors import InputError
from fidrace.spec.task import DataConfig

# Grey levels 0 to 16 and labels, as scikit-learn's load_digits has them (the test set of "Optical Recognition of Handwritten
# Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0), split by its train_test_split(test_size=297,
# stratify=labels, random_state=0). A file, because importing scikit-learn takes longer than a short run.
DIGITS = Path(__file__).parent / "digits.npz"


def load_data(config: DataConfig) -> Data:
    """Load the data set that a task names. Raises Missing if it is absent, and InputError if its content is not the one the
    task was made for."""
    data = _load(config)
    if config.sha256 and data.sha256 != config.sha256:
        raise InputError(f"data set {config.kind!r} has SHA-256 {data.sha256}, the task was made for {config.sha256}")
    return data


def _load(config: DataConfig) -> Data:
    match config.kind:
        case "digits":
            return digits()
        case "mnist":
            return mnist()
        case "cifar10":
            return cifar10(config)
        case "imagenet" | "folder":
            return load_image_folder(config)


def describe_data(config: DataConfig) -> str:
    """Describe the data set in one line, without decoding or writing anything. Raises Missing if it is absent, and InputError
    if it is damaged."""
    if config.kind == "digits":
        return "1,797 images of scikit-learn, packaged with fidrace"
    if config.kind == "mnist":
        return f"{mnist_file()}: 5,000 images of MNIST"
    if config.kind == "cifar10":
        return f"{check_files(config)}: CIFAR-10, every file as published"
    root, names = list_images(config)
    check_config(config, root, len(names))
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return f"{root}: {len(names):,} images" + (f" in {len(folders):,} folders" if folders else "")


def digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, 8x8 with 17 grey levels: 1,500 to train, 297 held out, stratified."""
    with np.load(DIGITS, allow_pickle=False) as file:
        train, heldout = ((file[part] / 8 - 1).astype(np.float32) for part in ("train", "heldout"))
        train_labels, heldout_labels = (file[f"{part}_labels"].astype(np.int64) for part in ("train", "heldout"))
    sha256 = content_sha256(train, train_labels, heldout, heldout_labels)
    return Data(train, train_labels, heldout, heldout_labels, levels=17, sha256=sha256)
