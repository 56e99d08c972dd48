"""CIFAR-10 (Krizhevsky 2009): 50,000 training images and its own 10,000 test images, held out; 32x32 in colour."""

import warnings
from pathlib import Path

import numpy as np

from fidrace.data.base import Data, content_sha256
from fidrace.data.images import Bytes
from fidrace.errors import InputError
from fidrace.method.base import Ints
from fidrace.spec.task import DataConfig
from fidrace.storage.cache import Missing, cache_path

FETCH_REMEDY = "get it with: fidrace doctor cifar10 --fetch"


def cifar10(config: DataConfig) -> Data:
    """Load the data set from the task's root. Raises Missing if it is absent, InputError if a file is not the published one
    or the task asks for another size, split or number of images."""
    root = check_files(config)
    if config.size not in (None, 32):
        raise InputError(f"data.size = {config.size}: CIFAR-10's images are 32 x 32; leave it out")
    if config.heldout:
        raise InputError(f"data.heldout = {config.heldout}: CIFAR-10 has its own test images, held out; leave it out")
    train, train_labels = _part(root, train=True)
    heldout, heldout_labels = _part(root, train=False)
    if config.images not in (None, len(train)):
        raise InputError(f"{root}: {len(train)} training images, the task says data.images = {config.images}")
    sha256 = content_sha256(train, train_labels, heldout, heldout_labels)
    folder = cache_path("images", f"cifar10-{sha256[:16]}")
    return Data(train, train_labels, heldout, heldout_labels, levels=256, sha256=sha256, folder=folder)


def check_files(config: DataConfig) -> Path:
    """The data set's root. Raises Missing if CIFAR-10 is absent, InputError if a file is not the published one."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    root = config.root or cache_path("cifar10")
    folder = root / CIFAR10.base_folder
    if not folder.is_dir():
        raise Missing(f"no CIFAR-10 ({CIFAR10.base_folder}) in {root}; {FETCH_REMEDY}")
    published = [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]
    for name, md5 in published:
        if not check_integrity(str(folder / name), md5):
            raise InputError(
                f"{folder / name} is missing or damaged (its MD5 is not {md5}); remove {folder} and {FETCH_REMEDY}"
            )
    return root


def _part(root: Path, train: bool) -> tuple[Bytes, Ints]:
    """Images [N, 3, 32, 32], bytes, and labels [N].

    The files are pickles, which can run code when read. torchvision compares their MD5 with the published one before it
    reads any, also without a download (CIFAR10.__init__, _load_meta), so only published files are read.
    """
    from torchvision.datasets import CIFAR10

    with warnings.catch_warnings():
        # Python 2's numpy wrote them, with 0 for False; numpy 2.4.0 to 2.4.4 warn about that (numpy pull request 31177).
        warnings.filterwarnings("ignore", message=r"dtype\(\): align")
        data = CIFAR10(str(root), train=train, download=False)
    return np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), np.array(data.targets, dtype=np.int64)


def fetch_cifar10(config: DataConfig) -> None:
    """Download CIFAR-10 from its author's site into the task's root; raises InputError if that fails."""
    from torchvision.datasets import CIFAR10

    root = config.root or cache_path("cifar10")
    try:
        with warnings.catch_warnings():
            # The archive's MD5 is checked first, so it needs no filter, whose absence Python 3.12 and 3.13 warn about.
            warnings.simplefilter("ignore", DeprecationWarning)
            CIFAR10(str(root), download=True)
    except (OSError, RuntimeError, RecursionError) as error:
        raise InputError(f"cannot download {CIFAR10.url} to {root}: {error}") from error
